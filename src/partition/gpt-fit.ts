// Writes a GPT for another disk: both copies whole and valid, whatever state the source's were in.
// Invariant: fitted to the disk it came from, an intact table whose partitions stay comes out byte for byte.
// Specification: UEFI 2.10 §5.3.

import { crc32 } from '../base/checksum.js';
import { targetTooSmall } from '../base/errors/partition.js';
import { writeU64LE } from '../base/u64.js';
import type { Bytes } from '../base/units.js';
import { headerChecksum, MIN_HEADER } from './gpt-copy.js';
import { fitProtectiveMbr } from './gpt-mbr.js';
import { writeGuid } from './guid.js';
import { type Fit, furthestEnd, lbaRange, refuseSharedPlaces, toPiece } from './places.js';
import { resized, wholeSectors } from './sectors.js';
import type { FittedPartition, GptRaw, GptTable, TableImage } from './table.js';

/** Positions of a GPT on a target, in the target's sectors. */
interface Positions {
  readonly sectorCount: number;
  readonly firstUsable: number;
  readonly lastUsable: number;
  readonly primaryEntriesLba: number;
  readonly backupEntriesLba: number;
}

/** The bytes of `table` with the partitions and places of `fit`. */
export function fitGpt(table: GptTable, fit: Fit): TableImage {
  const { sectorSize } = fit;
  const entries = placedEntries(table, fit);
  const positions = findPositions(table, fit, entries.length);
  refuseOnTable(fit, positions, entries.length);
  const lastLba = positions.sectorCount - 1;
  const primary = { lba: 1, alternateLba: lastLba, entriesLba: positions.primaryEntriesLba };
  const backup = { lba: lastLba, alternateLba: 1, entriesLba: positions.backupEntriesLba };
  const header = (place: HeaderPlace): Buffer => headerFor(table.raw, { place, positions, entries, fit });
  const at = (lba: number, bytes: Buffer) => ({ offset: lba * sectorSize, bytes });
  return {
    writes: [
      at(positions.backupEntriesLba, entries),
      at(lastLba, header(backup)),
      at(positions.primaryEntriesLba, entries),
      at(1, header(primary)),
      at(0, fitProtectiveMbr(table, fit, positions.sectorCount)),
    ],
    partitions: fittedPartitions(fit),
  };
}

/** The entry array without the dropped partitions, in whole sectors of the target. */
function placedEntries({ raw, sectorSize, partitions }: GptTable, fit: Fit): Buffer {
  const { entrySize, entryCount } = raw;
  const entries =
    fit.sectorSize === sectorSize
      ? Buffer.from(raw.entries)
      : resized(raw.entries.subarray(0, entrySize * entryCount), wholeSectors(entrySize * entryCount, fit.sectorSize));
  for (const { number } of partitions) {
    const entry = entries.subarray((number - 1) * entrySize, number * entrySize);
    const placed = fit.placed.find(({ source }) => source.number === number);
    if (!placed) {
      entry.fill(0);
      continue;
    }
    const { first, last } = lbaRange(placed.extent, fit.sectorSize);
    writeU64LE(entry, first, 32);
    writeU64LE(entry, last, 40);
    const id = fit.identity?.partitionIds.get(number);
    if (id !== undefined) writeGuid(entry, id, 16);
  }
  return entries;
}

function findPositions({ raw, sectorSize: sourceSector }: GptTable, fit: Fit, arrayLength: Bytes): Positions {
  const { sectorSize, targetSize, placed } = fit;
  const sectorCount = Math.floor(targetSize / sectorSize);
  const same = sectorSize === sourceSector;
  const end = furthestEnd(placed) / sectorSize;
  const arraySectors = arrayLength / sectorSize;
  const primaryEntriesLba = same ? raw.primaryEntriesLba : movedEntriesLba(raw, { sourceSector, sectorSize });
  const lowest = Math.min(...placed.map(({ extent }) => extent.offset / sectorSize));
  const firstUsable = Math.min(same ? raw.firstUsable : primaryEntriesLba + arraySectors, lowest);
  if (same && raw.intact && raw.backup && sectorCount === raw.sectorCount && end <= raw.lastUsable + 1) {
    const { lastUsable, backup } = raw;
    return { sectorCount, firstUsable, lastUsable, primaryEntriesLba, backupEntriesLba: backup.entriesLba };
  }
  const usedSectors = Math.max(end, firstUsable + 1, primaryEntriesLba + arraySectors);
  const needed = (usedSectors + arraySectors + 1) * sectorSize;
  if (sectorCount * sectorSize < needed) throw targetTooSmall({ needed, targetSize });
  const backupEntriesLba = sectorCount - 1 - arraySectors;
  return { sectorCount, firstUsable, lastUsable: backupEntriesLba - 1, primaryEntriesLba, backupEntriesLba };
}

/** Entries that do not follow their header make room for boot loaders of some boards: that room stays in bytes. */
function movedEntriesLba(
  { primaryEntriesLba }: GptRaw,
  { sourceSector, sectorSize }: { sourceSector: Bytes; sectorSize: Bytes },
): number {
  return primaryEntriesLba === 2 ? 2 : Math.max(2, Math.ceil((primaryEntriesLba * sourceSector) / sectorSize));
}

function refuseOnTable({ placed, sectorSize }: Fit, positions: Positions, arrayLength: Bytes): void {
  const { primaryEntriesLba, backupEntriesLba, sectorCount } = positions;
  const piece = (label: string, lba: number, length: Bytes) => ({
    label,
    extent: { offset: lba * sectorSize, length },
  });
  refuseSharedPlaces(
    [
      ...placed.map(toPiece),
      piece('the MBR and the GPT header', 0, 2 * sectorSize),
      piece('the entries of the primary GPT', primaryEntriesLba, arrayLength),
      piece('the entries of the backup GPT', backupEntriesLba, arrayLength),
      piece('the backup GPT header', sectorCount - 1, sectorSize),
    ],
    sectorSize,
  );
}

interface HeaderPlace {
  readonly lba: number;
  readonly alternateLba: number;
  readonly entriesLba: number;
}

function headerFor(raw: GptRaw, wish: { place: HeaderPlace; positions: Positions; entries: Buffer; fit: Fit }): Buffer {
  const { place, positions, entries, fit } = wish;
  const header = resized(raw.header, fit.sectorSize);
  if (header.readUInt32LE(12) > fit.sectorSize) header.writeUInt32LE(MIN_HEADER, 12);
  writeU64LE(header, place.lba, 24);
  writeU64LE(header, place.alternateLba, 32);
  writeU64LE(header, positions.firstUsable, 40);
  writeU64LE(header, positions.lastUsable, 48);
  if (fit.identity) writeGuid(header, fit.identity.diskId, 56);
  writeU64LE(header, place.entriesLba, 72);
  header.writeUInt32LE(crc32(entries.subarray(0, raw.entrySize * raw.entryCount)), 88);
  header.writeUInt32LE(headerChecksum(header, header.readUInt32LE(12)), 16);
  return header;
}

function fittedPartitions({ placed, identity }: Fit): FittedPartition[] {
  return placed.map(({ source, extent }) => ({
    ...source,
    extent,
    id: identity?.partitionIds.get(source.number)?.toLowerCase() ?? source.id,
    sourceNumber: source.number,
  }));
}
