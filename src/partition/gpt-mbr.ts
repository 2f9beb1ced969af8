// Sector 0 of a GPT disk for a target: the protective entry reaches to its end, hybrid entries follow their partitions.
// Invariant: boot code and disk signature stay as they are. Specification: UEFI 2.10 §5.2.3.

import type { Bytes } from '../base/units.js';
import { type Extent, extentEnd, overlaps } from '../map/extent.js';
import {
  clearEntry,
  ENTRIES_END,
  ENTRIES_OFFSET,
  hasBootSignature,
  isUsed,
  MAX_U32,
  type MbrEntry,
  PROTECTIVE,
  readEntries,
  writeEntry,
  writePlacedEntry,
  writeStartChs,
} from './mbr-entry.js';
import { type Fit, isMoved, type Placed } from './places.js';
import { resized } from './sectors.js';
import type { GptTable } from './table.js';

/** Sector 0 for a target of `sectorCount` sectors. */
export function fitProtectiveMbr(table: GptTable, fit: Fit, sectorCount: number): Buffer {
  const mbr = resized(table.raw.mbr, fit.sectorSize);
  const entries = hasBootSignature(mbr)
    ? readEntries(mbr).filter((entry) => isUsed(entry) || entry.type === PROTECTIVE)
    : [];
  if (!entries.some(({ type }) => type === PROTECTIVE)) return newProtectiveMbr(mbr, sectorCount);
  const moving = fit.placed.filter(isMoved).flatMap(({ source, extent }) => [source.extent, extent]);
  const isTouched = (entry: MbrEntry): boolean =>
    entry.type !== PROTECTIVE && moving.some((extent) => overlaps(extent, toExtent(entry, table.sectorSize)));
  if (fit.sectorSize !== table.sectorSize || entries.some(isTouched)) {
    return placedEntries(mbr, entries, { table, fit, sectorCount });
  }
  return stretchedEntries(mbr, entries, { table, fit, sectorCount });
}

/** An MBR with one entry that guards the disk. Boot code and signature of `mbr`, which is changed, stay. */
export function newProtectiveMbr(mbr: Buffer, sectorCount: number): Buffer {
  mbr.fill(0, ENTRIES_OFFSET, ENTRIES_END);
  writeEntry(mbr, { slot: 0, type: PROTECTIVE, start: 1, count: Math.min(sectorCount - 1, MAX_U32) });
  writeStartChs(mbr, { slot: 0, lba: 1 });
  mbr[510] = 0x55;
  mbr[511] = 0xaa;
  return mbr;
}

interface Wish {
  readonly table: GptTable;
  readonly fit: Fit;
  /** Of the target. */
  readonly sectorCount: number;
}

/** All entries stay, but for hybrid ones of dropped partitions; what covered the source's rest covers the target's. */
function stretchedEntries(mbr: Buffer, entries: readonly MbrEntry[], { table, fit, sectorCount }: Wish): Buffer {
  const kept = new Set(fit.placed.map(({ source }) => source.number));
  const dropped = table.partitions.filter(({ number }) => !kept.has(number));
  for (const entry of entries) {
    const { slot, type, start, count } = entry;
    if (type !== PROTECTIVE) {
      const gone = dropped.some(({ extent }) => overlaps(extent, toExtent(entry, table.sectorSize)));
      if (gone || start + count > sectorCount) clearEntry(mbr, slot);
    } else if (coversRest(entry, entries, table.raw.sectorCount) && count !== MAX_U32) {
      const size = Math.min(sectorCount - start, MAX_U32);
      if (size > 0 && size !== count) writeEntry(mbr, { slot, type, start, count: size });
    }
  }
  return mbr;
}

/** In a pure protective MBR its only entry covers the disk; in a hybrid one only an entry up to the old end does. */
function coversRest({ start, count }: MbrEntry, entries: readonly MbrEntry[], sourceSectors: number): boolean {
  return entries.length === 1 || start + count >= Math.min(sourceSectors, MAX_U32);
}

/** Hybrid entries follow their partitions; protective ones guard what is before the first and behind the last of them. */
function placedEntries(mbr: Buffer, entries: readonly MbrEntry[], { table, fit, sectorCount }: Wish): Buffer {
  for (const { slot } of entries) clearEntry(mbr, slot);
  const hybrids = entries
    .filter(({ type }) => type !== PROTECTIVE)
    .flatMap((entry) => followed(entry, table, fit) ?? [])
    .filter(({ start, count }) => start + count <= Math.min(sectorCount, MAX_U32));
  for (const entry of hybrids) writePlacedEntry(mbr, { ...entry, lba: entry.start });

  const guards = entries.filter(({ type }) => type === PROTECTIVE).sort((a, b) => a.start - b.start);
  const ends = hybrids.map(({ start, count }) => start + count);
  const free = [
    [1, Math.min(sectorCount, ...hybrids.map(({ start }) => start))],
    [Math.max(...ends), sectorCount],
  ] as const;
  const wanted = hybrids.length === 0 ? free.slice(0, 1) : free;
  for (const [index, [start, end]] of wanted.entries()) {
    const guard = guards[index];
    if (!guard || start >= end || start > MAX_U32) continue;
    writeEntry(mbr, { slot: guard.slot, type: PROTECTIVE, start, count: Math.min(end - start, MAX_U32) });
    writeStartChs(mbr, { slot: guard.slot, lba: start });
  }
  return mbr;
}

/** The entry at its partition's new place; undefined if what it describes is no longer there. */
function followed(entry: MbrEntry, table: GptTable, { placed, sectorSize }: Fit): MbrEntry | undefined {
  const extent = toExtent(entry, table.sectorSize);
  const mine = placed.find(({ source }) => isSame(source.extent, extent));
  if (mine) return { ...entry, start: mine.extent.offset / sectorSize, count: mine.extent.length / sectorSize };
  if (sectorSize !== table.sectorSize) return undefined;
  const taken = [...table.partitions.map((partition) => partition.extent), ...placed.map((one: Placed) => one.extent)];
  return taken.some((other) => overlaps(other, extent)) ? undefined : entry;
}

function isSame(a: Extent, b: Extent): boolean {
  return a.offset === b.offset && extentEnd(a) === extentEnd(b);
}

function toExtent({ start, count }: MbrEntry, sectorSize: Bytes): Extent {
  return { offset: start * sectorSize, length: count * sectorSize };
}
