// The chain of an extended partition whose logical partitions stay where they are.
// Invariant: a record stays where it is, before its logical partition, and dropped ones leave the chain. Only the
// head cannot leave, because the chain starts there: it takes over the first partition that is kept, as in fdisk.
// Specification: the behaviour of Linux (block/partitions/msdos.c).

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
import type { Placed } from './places.js';
import type { Ebr, ExtendedContainer } from './table.js';

/** The type of a link, and of an extended partition that counts by LBA or not. */
export const EXTENDED = 0x05;

/** A record for the target. */
export interface ChainRecord {
  readonly lba: number;
  readonly sector: Buffer;
}

/** The chain's records with the dropped partitions cleared, and linked to the next record that is kept. */
export function fitChain(
  { chain, extent }: ExtendedContainer,
  { placed, sectorSize, whole }: { placed: readonly Placed[]; sectorSize: Bytes; whole: boolean },
): ChainRecord[] {
  const isKept = (number: number): boolean => placed.some(({ source }) => source.number === number);
  const staying = whole ? chain : chain.filter(({ logicals }) => logicals.some(({ number }) => isKept(number)));
  const [head] = chain;
  return staying.map((record, position) => {
    const place = position === 0 && head ? head : record;
    const sector = place === record ? Buffer.from(record.sector) : takenOver(place, record);
    for (const { number, slot } of record.logicals) if (!isKept(number)) clearEntry(sector, slot);
    const next = staying[position + 1];
    if (next !== chain[chain.indexOf(record) + 1]) {
      relink(sector, record, next && linkTo(next, { extent, placed, sectorSize }));
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

interface Link {
  readonly start: number;
  readonly count: number;
  readonly lba: number;
}

/** `start` counts from the container's first sector; the link spans the record and its logical partitions. */
function linkTo(
  next: Ebr,
  { extent, placed, sectorSize }: Pick<ExtendedContainer, 'extent'> & { placed: readonly Placed[]; sectorSize: Bytes },
): Link {
  const ends = placed
    .filter(({ source }) => next.logicals.some(({ number }) => number === source.number))
    .map((one) => extentEnd(one.extent) / sectorSize);
  return { start: next.lba - extent.offset / sectorSize, count: Math.max(...ends) - next.lba, lba: next.lba };
}

function relink(sector: Buffer, record: Ebr, link: Link | undefined): void {
  const type = readEntries(sector)[record.linkSlot ?? 0]?.type ?? EXTENDED;
  for (const entry of readEntries(sector)) if (isUsed(entry) && isExtended(entry)) clearEntry(sector, entry.slot);
  if (!link || record.linkSlot === undefined) return;
  writeEntry(sector, { slot: record.linkSlot, type, start: link.start, count: link.count });
  writeStartChs(sector, { slot: record.linkSlot, lba: link.lba });
}
