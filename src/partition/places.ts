// Where the partitions of a table go on the target. Invariant: every place is whole sectors of the target and not empty,
// and no two share one.

import { noSuchPartition } from '../base/errors/partition.js';
import { placeBeyondMbr, placeNotAligned, placesOverlap } from '../base/errors/partition-places.js';
import type { Bytes } from '../base/units.js';
import { type Extent, extentEnd } from '../map/extent.js';
import { firstOverlap, type Piece } from './check.js';
import { MAX_U32 } from './mbr-entry.js';
import { type FitOptions, type NewIdentity, type Partition, type PartitionTable, partitionLabel } from './table.js';

/** A partition of the source and where it goes. */
export interface Placed {
  readonly source: Partition;
  /** Bytes on the target. */
  readonly extent: Extent;
}

/** What the writers of tables are told. */
export interface Fit {
  readonly targetSize: Bytes;
  /** Of the target. */
  readonly sectorSize: Bytes;
  readonly placed: readonly Placed[];
  readonly identity: NewIdentity | undefined;
}

/**
 * The partitions that are kept, in the table's order, with their places. Throws `usage.no-such-partition` for numbers
 * that the table does not have, `safety.place-not-aligned` and `safety.places-overlap`.
 */
export function resolveFit(table: PartitionTable, options: Omit<FitOptions, 'container'>): Fit {
  const { targetSize, sectorSize = table.sectorSize, only, places, identity } = options;
  refuseUnknown(table, [...(only ?? []), ...(places?.keys() ?? [])]);
  const placed = table.partitions
    .filter(({ number }) => only === undefined || only.includes(number))
    .map((source) => ({ source, extent: places?.get(source.number) ?? source.extent }));
  if (places) {
    for (const one of placed) refuseUnaligned(one, sectorSize);
    refuseSharedPlaces(placed.map(toPiece), sectorSize);
  }
  return { targetSize, sectorSize, placed, identity };
}

/** Whether the partition starts or ends elsewhere than on the source. */
export function isMoved({ source, extent }: Placed): boolean {
  return source.extent.offset !== extent.offset || source.extent.length !== extent.length;
}

export function toPiece({ source, extent }: Placed): Piece {
  return { label: partitionLabel(source), extent };
}

/** First and last LBA. */
export function lbaRange({ offset, length }: Extent, sectorSize: Bytes): { first: number; last: number } {
  return { first: offset / sectorSize, last: (offset + length) / sectorSize - 1 };
}

/** Start and count of an MBR entry. Throws `safety.place-beyond-mbr` for what its 32 bits cannot say. */
export function mbrRange(label: string, extent: Extent, sectorSize: Bytes): { start: number; count: number } {
  const { first, last } = lbaRange(extent, sectorSize);
  if (last > MAX_U32) throw placeBeyondMbr(label, { first, last, sectorSize });
  return { start: first, count: last - first + 1 };
}

/** The first byte behind all of them; 0 for none. */
export function furthestEnd(placed: readonly Placed[]): Bytes {
  return placed.reduce((furthest, { extent }) => Math.max(furthest, extentEnd(extent)), 0);
}

/** Throws `safety.places-overlap` for the first two pieces of the target that share a sector. */
export function refuseSharedPlaces(pieces: readonly Piece[], sectorSize: Bytes): void {
  const clash = firstOverlap(pieces);
  if (!clash) return;
  const [a, b] = clash.map(({ label, extent }) => ({ label, ...lbaRange(extent, sectorSize) }));
  if (a && b) throw placesOverlap(a, b);
}

function refuseUnknown({ partitions }: PartitionTable, wanted: readonly number[]): void {
  const present = partitions.map(({ number }) => number);
  const missing = wanted.find((number) => !present.includes(number));
  if (missing !== undefined) throw noSuchPartition(missing, present);
}

function refuseUnaligned({ source, extent }: Placed, sectorSize: Bytes): void {
  const { offset, length } = extent;
  const whole = Number.isSafeInteger(offset + length) && offset % sectorSize === 0 && length % sectorSize === 0;
  if (!whole || offset < 0 || length <= 0) throw placeNotAligned(partitionLabel(source), extent, sectorSize);
}
