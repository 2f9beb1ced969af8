// Nothing of a table may lie on top of something else.

import { partitionsOverlap } from '../base/errors/partition.js';
import type { Bytes } from '../base/units.js';
import { type Extent, extentEnd } from '../map/extent.js';

/** A thing on the disk and how messages call it. Empty extents are not allowed. */
export interface Piece {
  readonly label: string;
  readonly extent: Extent;
}

/** Throws a ToolError that names the first two pieces that share a sector. */
export function refuseOverlaps(disk: string, pieces: readonly Piece[], sectorSize: Bytes): void {
  const clash = firstOverlap(pieces);
  if (!clash) return;
  const [a, b] = clash.map(({ label, extent }) => ({
    label,
    first: extent.offset / sectorSize,
    last: extentEnd(extent) / sectorSize - 1,
  }));
  if (a && b) throw partitionsOverlap(disk, a, b);
}

/** The first two pieces that share a byte, by offset. */
export function firstOverlap(pieces: readonly Piece[]): [Piece, Piece] | undefined {
  const sorted = [...pieces].sort((a, b) => a.extent.offset - b.extent.offset);
  let furthest: Piece | undefined;
  for (const piece of sorted) {
    if (furthest && extentEnd(furthest.extent) > piece.extent.offset) return [furthest, piece];
    furthest = piece;
  }
  return undefined;
}
