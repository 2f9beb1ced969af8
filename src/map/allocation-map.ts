// Which bytes of a volume its file system uses.
// Invariant: a byte that is not in `usedExtents` holds nothing anyone needs. In doubt a byte is used.

import type { Bytes } from '../base/units.js';
import { clip, type Extent, extentEnd, gaps, intersect, normalise } from './extent.js';

/** Read lazily, a stretch at a time: a 16 TiB disk must not cost more memory than a small one. */
export interface AllocationMap {
  /** The file system's allocation unit. */
  readonly blockSize: Bytes;
  /** Used byte ranges inside `within`, clipped to it, ascending, without overlaps, neighbours joined. */
  usedExtents(within: Extent): AsyncIterable<Extent>;
}

/** Everything is used: unrecognised volumes, gaps, and the forensic copy. */
export function everythingUsed(size: Bytes): AllocationMap {
  return mapOfExtents([{ offset: 0, length: size }], 512);
}

/** A map from a short list of extents; for long ones write a lazy reader. */
export function mapOfExtents(extents: Iterable<Extent>, blockSize: Bytes): AllocationMap {
  const sorted = normalise(extents);
  return {
    blockSize,
    async *usedExtents(within) {
      for (const extent of sorted) {
        const inside = intersect(extent, within);
        if (inside) yield inside;
      }
    },
  };
}

/** The map without `extents` (sorted, disjoint): their bytes hold nothing anyone needs after all. */
export function without(map: AllocationMap, extents: readonly Extent[]): AllocationMap {
  return {
    blockSize: map.blockSize,
    async *usedExtents(within) {
      for await (const used of map.usedExtents(within)) yield* gaps(clip(extents, used), used);
    },
  };
}

/** Joins neighbours of an ascending stream and clips it to `within`: what every lazy reader ends with. */
export async function* joinNeighbours(
  extents: AsyncIterable<Extent> | Iterable<Extent>,
  within: Extent,
): AsyncGenerator<Extent> {
  let pending: Extent | undefined;
  for await (const extent of extents) {
    const inside = intersect(extent, within);
    if (!inside) continue;
    if (pending && extentEnd(pending) >= inside.offset) {
      pending = { offset: pending.offset, length: Math.max(extentEnd(pending), extentEnd(inside)) - pending.offset };
    } else {
      if (pending) yield pending;
      pending = inside;
    }
  }
  if (pending) yield pending;
}
