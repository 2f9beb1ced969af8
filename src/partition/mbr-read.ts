// Reads an MBR and the chains of logical partitions in its extended partitions.
// Invariant: every link of a chain stays inside its extended partition and is followed once.
// Specification: the behaviour of Linux (block/partitions/msdos.c): numbers, which entries count, units of sectors.

import * as errors from '../base/errors/partition.js';
import type { Bytes } from '../base/units.js';
import { type Extent, extentEnd } from '../map/extent.js';
import type { Source } from '../source/types.js';
import { type Piece, refuseOverlaps } from './check.js';
import {
  diskSignature,
  hasBootSignature,
  isExtended,
  isUsed,
  type MbrEntry,
  PROTECTIVE,
  readEntries,
} from './mbr-entry.js';
import {
  type Ebr,
  type ExtendedContainer,
  type MbrRaw,
  type MbrTable,
  type Partition,
  partitionLabel,
  type TableWarning,
} from './table.js';
import { mbrTypeName } from './type-names.js';
import { extendedEmpty } from './warnings.js';

const MAX_LOGICALS = 128;
const MAX_RECORDS = 256;
const FIRST_LOGICAL = 5;

/** The disk that is being read. */
interface MbrDisk {
  readonly source: Source;
  readonly sectorSize: Bytes;
  readonly signature: string;
}

/** The table in sector 0, which must have a boot signature. Throws a ToolError if partitions or chains are impossible. */
export async function readMbr(
  source: Source,
  { sectorSize, mbr }: { sectorSize: Bytes; mbr: Buffer },
): Promise<MbrTable> {
  const disk: MbrDisk = { source, sectorSize, signature: diskSignature(mbr) };
  const partitions: Partition[] = [];
  const containers: ExtendedContainer[] = [];
  const found: TableWarning[] = [];
  const entries = readEntries(mbr).filter(isUsed);
  for (const entry of entries) {
    const extent = toExtent(entry, sectorSize);
    refuseOutsideDisk(disk, `partition ${entry.slot + 1}`, extent);
    if (!isExtended(entry)) {
      partitions.push(toPartition(disk, { entry, number: entry.slot + 1, extent, role: 'primary' }));
    }
  }
  for (const entry of entries.filter(isExtended)) {
    const extent = toExtent(entry, sectorSize);
    const chain = await readChain(disk, extent, partitions);
    if (chain.length === 0) found.push(extendedEmpty(entry.slot + 1, entry.start));
    containers.push({ slot: entry.slot, extent, chain });
  }
  const raw: MbrRaw = { mbr, containers };
  refuseMbrOverlaps(disk, partitions, raw);
  return { kind: 'mbr', sectorSize, id: disk.signature, partitions, warnings: found, raw };
}

/** What an MBR and its extended records occupy. */
export function mbrPieces(raw: MbrRaw, sectorSize: Bytes): Piece[] {
  const records = raw.containers.flatMap(({ chain }) => chain);
  return [
    { label: 'the MBR', extent: { offset: 0, length: sectorSize } },
    ...records.map(({ lba }) => ({
      label: 'a record of logical partitions',
      extent: { offset: lba * sectorSize, length: sectorSize },
    })),
  ];
}

/** True if the entries could be those of this disk: some are used, inside it, after sector 0 and apart from each other. */
export function entriesPlausible(entries: readonly MbrEntry[], sectorCount: number): boolean {
  const used = entries.filter(isUsed).sort((a, b) => a.start - b.start);
  let free = 1;
  for (const { start, count, type } of used) {
    if (start < free || start + count > sectorCount || type === PROTECTIVE) return false;
    free = start + count;
  }
  return used.length > 0;
}

/** Follows one chain, appends its logical partitions to `partitions` and returns its records. */
async function readChain(disk: MbrDisk, container: Extent, partitions: Partition[]): Promise<Ebr[]> {
  const { sectorSize, source } = disk;
  const lowest = container.offset / sectorSize;
  const highest = extentEnd(container) / sectorSize - 1;
  const chain: Ebr[] = [];
  const seen = new Set<number>();
  // How far the link said that the record's part reaches; the kernel measures entries 3 and 4 against it.
  let span = container.length;
  let lba = lowest;
  for (;;) {
    const at = chain.at(-1)?.lba ?? lowest;
    if (lba < lowest || lba > highest) throw errors.ebrOutside(source.name, { at, to: lba, lowest, highest });
    if (seen.has(lba)) throw errors.ebrLoop(source.name, lba);
    if (seen.size >= MAX_RECORDS) throw errors.tooManyLogicals(source.name, MAX_LOGICALS);
    seen.add(lba);
    const sector = Buffer.alloc(sectorSize);
    await source.read(sector, lba * sectorSize);
    if (!hasBootSignature(sector)) {
      if (chain.length === 0) return chain;
      throw errors.ebrDamaged(source.name, { at, to: lba });
    }
    const entries = readEntries(sector).filter(isUsed);
    const logicals = readLogicals(disk, { entries, lba, span, container }, partitions);
    const link = entries.find(isExtended);
    chain.push({ lba, sector, logicals, linkSlot: link?.slot });
    if (!link) return chain;
    lba = lowest + link.start;
    span = link.count * sectorSize;
  }
}

/** The data partitions of one record, relative to it; entries 3 and 4 count only if they make sense. */
function readLogicals(
  disk: MbrDisk,
  { entries, lba, span, container }: { entries: readonly MbrEntry[]; lba: number; span: Bytes; container: Extent },
  partitions: Partition[],
): Ebr['logicals'] {
  const { sectorSize, source } = disk;
  const logicals: { number: number; slot: number }[] = [];
  for (const entry of entries) {
    if (isExtended(entry)) continue;
    const relative = toExtent(entry, sectorSize);
    const extent = { offset: lba * sectorSize + relative.offset, length: relative.length };
    const inside = extent.offset >= container.offset && extentEnd(extent) <= extentEnd(container);
    if (entry.slot >= 2 && (!inside || extentEnd(relative) > span)) continue;
    const earlier = partitions.filter(({ role }) => role === 'logical').length;
    if (earlier >= MAX_LOGICALS) throw errors.tooManyLogicals(source.name, MAX_LOGICALS);
    const number = FIRST_LOGICAL + earlier;
    if (!inside) throw outside(disk, `partition ${number}`, extent, container, 'its extended partition');
    logicals.push({ number, slot: entry.slot });
    partitions.push(toPartition(disk, { entry, number, extent, role: 'logical' }));
  }
  return logicals;
}

function toExtent({ start, count }: MbrEntry, sectorSize: Bytes): Extent {
  return { offset: start * sectorSize, length: count * sectorSize };
}

function toPartition(
  { signature }: MbrDisk,
  { entry, number, extent, role }: { entry: MbrEntry; number: number; extent: Extent; role: 'primary' | 'logical' },
): Partition {
  return {
    number,
    extent,
    type: `0x${entry.type.toString(16).padStart(2, '0')}`,
    typeName: mbrTypeName(entry.type),
    name: '',
    id: mbrPartitionId(signature, number),
    bootable: entry.bootFlag === 0x80,
    attributes: '',
    role,
  };
}

/** PARTUUID of an MBR partition, as Linux makes it up: signature and number in hex. */
export function mbrPartitionId(signature: string, number: number): string {
  return signature === '' ? '' : `${signature}-${number.toString(16).padStart(2, '0')}`;
}

function refuseOutsideDisk(disk: MbrDisk, label: string, extent: Extent): void {
  const sectorCount = Math.floor(disk.source.size / disk.sectorSize);
  const whole = { offset: 0, length: sectorCount * disk.sectorSize };
  if (extentEnd(extent) > whole.length) throw outside(disk, label, extent, whole, 'the disk');
}

function outside({ source, sectorSize }: MbrDisk, label: string, extent: Extent, limits: Extent, limit: string) {
  const lba = {
    first: extent.offset / sectorSize,
    last: extentEnd(extent) / sectorSize - 1,
    lowest: limits.offset / sectorSize,
    highest: extentEnd(limits) / sectorSize - 1,
  };
  return errors.partitionOutside(source.name, label, lba, limit);
}

/** Primaries, containers and the MBR must be apart; inside the containers, logicals and records. */
function refuseMbrOverlaps({ source, sectorSize }: MbrDisk, partitions: readonly Partition[], raw: MbrRaw): void {
  const pieces = (role: Partition['role']): Piece[] =>
    partitions
      .filter((partition) => partition.role === role)
      .map((partition) => ({ label: partitionLabel(partition), extent: partition.extent }));
  const [mbr, ...records] = mbrPieces(raw, sectorSize);
  const containers = raw.containers.map(({ slot, extent }) => ({ label: `extended partition ${slot + 1}`, extent }));
  refuseOverlaps(source.name, [...(mbr ? [mbr] : []), ...pieces('primary'), ...containers], sectorSize);
  refuseOverlaps(source.name, [...records, ...pieces('logical')], sectorSize);
}
