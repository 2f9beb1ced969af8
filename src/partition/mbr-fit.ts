// Writes an MBR and its extended records for another disk size or with fewer partitions.
// Invariant: a record stays where it is, before its logical partition, and dropped ones leave the chain. Only the
// head cannot leave, because the chain starts there: it takes over the first partition that is kept, as in fdisk.
// Specification: the behaviour of Linux (block/partitions/msdos.c).

import { targetTooSmall } from '../base/errors/partition.js';
import type { Bytes } from '../base/units.js';
import { extentEnd } from '../map/extent.js';
import {
  clearEntry,
  ENTRIES_END,
  ENTRIES_OFFSET,
  isExtended,
  isUsed,
  readEntries,
  writeEntry,
  writeStartChs,
} from './mbr-entry.js';
import { mbrPartitionId } from './mbr-read.js';
import type { Ebr, ExtendedContainer, FittedPartition, MbrTable, Partition, TableImage } from './table.js';

const FIRST_LOGICAL = 5;
const EXTENDED = 0x05;

/** An extended partition that the target gets, with the records of its chain that stay. */
interface FittedContainer {
  readonly container: ExtendedContainer;
  readonly staying: readonly Ebr[];
}

/** The bytes of `table` with only the partitions in `kept`, for a target of `targetSize` bytes. */
export function fitMbr(table: MbrTable, kept: readonly Partition[], targetSize: Bytes): TableImage {
  const { raw, sectorSize, partitions } = table;
  const fitted = fitContainers(table, kept);
  const needed = neededBytes(kept, fitted, sectorSize);
  const usable = Math.floor(targetSize / sectorSize) * sectorSize;
  if (usable < needed) throw targetTooSmall({ needed, targetSize });

  const mbr = Buffer.from(raw.mbr);
  for (const { role, number } of partitions) {
    if (role === 'primary' && !isKept(kept, number)) clearEntry(mbr, number - 1);
  }
  for (const container of raw.containers) {
    if (!fitted.some((one) => one.container === container)) clearEntry(mbr, container.slot);
    else if (extentEnd(container.extent) > usable) shortenContainer(mbr, container, { usable, sectorSize });
  }
  const records = fitted.flatMap((one) => fitChain(one, kept, sectorSize));
  return {
    writes: [
      ...records.map(({ lba, sector }) => ({ offset: lba * sectorSize, bytes: sector })),
      { offset: 0, bytes: mbr },
    ],
    partitions: renumbered(table, kept),
  };
}

/** A container goes when all its logical partitions went; an empty one stays as long as nothing is left out. */
function fitContainers({ raw, partitions }: MbrTable, kept: readonly Partition[]): FittedContainer[] {
  if (kept.length === partitions.length) {
    return raw.containers.map((container) => ({ container, staying: container.chain }));
  }
  const holdsKept = ({ logicals }: Ebr): boolean => logicals.some(({ number }) => isKept(kept, number));
  return raw.containers
    .filter(({ chain }) => chain.some(holdsKept))
    .map((container) => ({
      container,
      staying: container.chain.filter(holdsKept),
    }));
}

function isKept(kept: readonly Partition[], number: number): boolean {
  return kept.some((partition) => partition.number === number);
}

function neededBytes(kept: readonly Partition[], fitted: readonly FittedContainer[], sectorSize: Bytes): Bytes {
  return Math.max(
    sectorSize,
    ...kept.map(({ extent }) => extentEnd(extent)),
    ...fitted.map(({ container }) => container.extent.offset + sectorSize),
    ...fitted.flatMap(({ staying }) => staying.map(({ lba }) => (lba + 1) * sectorSize)),
  );
}

function shortenContainer(
  mbr: Buffer,
  { slot, extent }: ExtendedContainer,
  { usable, sectorSize }: { usable: Bytes; sectorSize: Bytes },
): void {
  const type = readEntries(mbr)[slot]?.type ?? EXTENDED;
  const start = extent.offset / sectorSize;
  writeEntry(mbr, { slot, type, start, count: usable / sectorSize - start });
}

/** The chain's records with the dropped partitions cleared, and linked to the next record that is kept. */
function fitChain(
  { container: { chain, extent }, staying }: FittedContainer,
  kept: readonly Partition[],
  sectorSize: Bytes,
): { lba: number; sector: Buffer }[] {
  const [head] = chain;
  return staying.map((record, position) => {
    const place = position === 0 && head ? head : record;
    const sector = place === record ? Buffer.from(record.sector) : takenOver(place, record);
    for (const { number, slot } of record.logicals) if (!isKept(kept, number)) clearEntry(sector, slot);
    const next = staying[position + 1];
    if (next !== chain[chain.indexOf(record) + 1]) {
      relink(sector, record, next && linkTo(next, { extent, kept, sectorSize }));
    }
    return { lba: place.lba, sector };
  });
}

/** The head's sector with the entries of `record`; data entries count from the sector that they are in. */
function takenOver(head: Ebr, record: Ebr): Buffer {
  const sector = Buffer.from(head.sector);
  record.sector.copy(sector, ENTRIES_OFFSET, ENTRIES_OFFSET, ENTRIES_END);
  for (const { type, start, count, slot } of readEntries(record.sector)) {
    if (record.logicals.some((logical) => logical.slot === slot)) {
      writeEntry(sector, { slot, type, start: start + record.lba - head.lba, count });
    } else if (slot !== record.linkSlot) {
      clearEntry(sector, slot);
    }
  }
  return sector;
}

/** `start` counts from the container's first sector; the link spans the record and its logical partitions. */
function linkTo(
  next: Ebr,
  { extent, kept, sectorSize }: { extent: ExtendedContainer['extent']; kept: readonly Partition[]; sectorSize: Bytes },
): { start: number; count: number; lba: number } {
  const ends = kept
    .filter(({ number }) => next.logicals.some((logical) => logical.number === number))
    .map((partition) => extentEnd(partition.extent) / sectorSize);
  return { start: next.lba - extent.offset / sectorSize, count: Math.max(...ends) - next.lba, lba: next.lba };
}

function relink(sector: Buffer, record: Ebr, link: { start: number; count: number; lba: number } | undefined): void {
  const type = readEntries(sector)[record.linkSlot ?? 0]?.type ?? EXTENDED;
  for (const entry of readEntries(sector)) if (isUsed(entry) && isExtended(entry)) clearEntry(sector, entry.slot);
  if (!link || record.linkSlot === undefined) return;
  writeEntry(sector, { slot: record.linkSlot, type, start: link.start, count: link.count });
  writeStartChs(sector, { slot: record.linkSlot, lba: link.lba });
}

/** Linux numbers logical partitions without gaps, so those after a dropped one move up. */
function renumbered(table: MbrTable, kept: readonly Partition[]): FittedPartition[] {
  let next = FIRST_LOGICAL;
  return kept.map((partition) => {
    const number = partition.role === 'logical' ? next++ : partition.number;
    return { ...partition, number, id: mbrPartitionId(table.id, number), sourceNumber: partition.number };
  });
}
