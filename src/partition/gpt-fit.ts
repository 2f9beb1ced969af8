// Writes a GPT for another disk size: both copies whole and valid, whatever state the source's were in.
// Invariant: partitions keep their offsets; fitted to the disk it came from, an intact table comes out byte for byte.
// Specification: UEFI 2.10 §5.2.3 (protective MBR) and §5.3.

import { crc32 } from '../base/checksum.js';
import { targetTooSmall } from '../base/errors/partition.js';
import { writeU64LE } from '../base/u64.js';
import type { Bytes } from '../base/units.js';
import { type Extent, extentEnd, overlaps } from '../map/extent.js';
import { headerChecksum } from './gpt-copy.js';
import {
  clearEntry,
  ENTRIES_END,
  ENTRIES_OFFSET,
  hasBootSignature,
  isUsed,
  PROTECTIVE,
  readEntries,
  writeEntry,
  writeStartChs,
} from './mbr-entry.js';
import type { GptRaw, GptTable, Partition, TableImage } from './table.js';

const MAX_U32 = 0xffffffff;

/** Positions of a GPT on a target, in sectors. */
interface Places {
  readonly sectorCount: number;
  readonly lastUsable: number;
  readonly backupEntriesLba: number;
}

/** The bytes of `table` with only the partitions in `kept`, for a target of `targetSize` bytes. */
export function fitGpt(table: GptTable, kept: readonly Partition[], targetSize: Bytes): TableImage {
  const { raw, sectorSize } = table;
  const keptNumbers = new Set(kept.map(({ number }) => number));
  const dropped = table.partitions.filter(({ number }) => !keptNumbers.has(number));
  const places = findPlaces(table, kept, targetSize);
  const lastLba = places.sectorCount - 1;
  const entries = Buffer.from(raw.entries);
  for (const { number } of dropped) entries.fill(0, (number - 1) * raw.entrySize, number * raw.entrySize);

  const primary = { lba: 1, alternateLba: lastLba, entriesLba: raw.primaryEntriesLba };
  const backup = { lba: lastLba, alternateLba: 1, entriesLba: places.backupEntriesLba };
  const at = (lba: number, bytes: Buffer) => ({ offset: lba * sectorSize, bytes });
  return {
    writes: [
      at(places.backupEntriesLba, entries),
      at(lastLba, headerFor(raw, backup, places, entries)),
      at(raw.primaryEntriesLba, entries),
      at(1, headerFor(raw, primary, places, entries)),
      at(0, protectiveMbr(table, places.sectorCount, dropped)),
    ],
    partitions: kept.map((partition) => ({ ...partition, sourceNumber: partition.number })),
  };
}

function findPlaces({ raw, sectorSize }: GptTable, kept: readonly Partition[], targetSize: Bytes): Places {
  const sectorCount = Math.floor(targetSize / sectorSize);
  if (raw.intact && raw.backup && sectorCount === raw.sectorCount) {
    return { sectorCount, lastUsable: raw.lastUsable, backupEntriesLba: raw.backup.entriesLba };
  }
  const arraySectors = raw.entries.length / sectorSize;
  const end = kept.reduce((furthest, { extent }) => Math.max(furthest, extentEnd(extent)), 0);
  const usedSectors = Math.max(end / sectorSize, raw.firstUsable + 1, raw.primaryEntriesLba + arraySectors);
  const needed = (usedSectors + arraySectors + 1) * sectorSize;
  if (sectorCount * sectorSize < needed) throw targetTooSmall({ needed, targetSize });
  const backupEntriesLba = sectorCount - 1 - arraySectors;
  return { sectorCount, lastUsable: backupEntriesLba - 1, backupEntriesLba };
}

function headerFor(
  raw: GptRaw,
  { lba, alternateLba, entriesLba }: { lba: number; alternateLba: number; entriesLba: number },
  { lastUsable }: Places,
  entries: Buffer,
): Buffer {
  const header = Buffer.from(raw.header);
  writeU64LE(header, lba, 24);
  writeU64LE(header, alternateLba, 32);
  writeU64LE(header, lastUsable, 48);
  writeU64LE(header, entriesLba, 72);
  header.writeUInt32LE(crc32(entries.subarray(0, raw.entrySize * raw.entryCount)), 88);
  header.writeUInt32LE(headerChecksum(header, header.readUInt32LE(12)), 16);
  return header;
}

/** Sector 0 for the target: boot code and hybrid entries kept, the protective entry stretched to the target's end. */
function protectiveMbr(table: GptTable, sectorCount: number, dropped: readonly Partition[]): Buffer {
  const { raw, sectorSize } = table;
  const mbr = Buffer.from(raw.mbr);
  const entries = hasBootSignature(mbr)
    ? readEntries(mbr).filter((entry) => isUsed(entry) || entry.type === PROTECTIVE)
    : [];
  if (!entries.some(({ type }) => type === PROTECTIVE)) return newProtectiveMbr(mbr, sectorCount);
  for (const { slot, type, start, count } of entries) {
    const extent: Extent = { offset: start * sectorSize, length: count * sectorSize };
    if (type !== PROTECTIVE) {
      const gone = dropped.some((partition) => overlaps(partition.extent, extent));
      if (gone || start + count > sectorCount) clearEntry(mbr, slot);
    } else if (coversRest({ start, count }, entries, raw.sectorCount) && count !== MAX_U32) {
      const size = Math.min(sectorCount - start, MAX_U32);
      if (size > 0 && size !== count) writeEntry(mbr, { slot, type, start, count: size });
    }
  }
  return mbr;
}

/** In a pure protective MBR its only entry covers the disk; in a hybrid one only an entry up to the old end does. */
function coversRest(
  { start, count }: { start: number; count: number },
  entries: readonly unknown[],
  sourceSectors: number,
): boolean {
  return entries.length === 1 || start + count >= Math.min(sourceSectors, MAX_U32);
}

function newProtectiveMbr(mbr: Buffer, sectorCount: number): Buffer {
  mbr.fill(0, ENTRIES_OFFSET, ENTRIES_END);
  writeEntry(mbr, { slot: 0, type: PROTECTIVE, start: 1, count: Math.min(sectorCount - 1, MAX_U32) });
  writeStartChs(mbr, { slot: 0, lba: 1 });
  mbr[510] = 0x55;
  mbr[511] = 0xaa;
  return mbr;
}
