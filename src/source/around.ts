// Reading around unreadable sectors: a request that fails is halved down to single sectors.
// Invariant: what is returned as a hole was asked for alone and refused; everything else was read.

import { ToolError } from '../base/tool-error.js';
import type { Bytes } from '../base/units.js';
import { type Extent, extentEnd, normalise } from '../map/extent.js';
import type { Source } from './types.js';

/** The medium is not there any more: no sector is to blame, and none of the others will answer. */
const GONE = new Set(['ENXIO', 'ENODEV', 'ENOMEDIUM', 'EBADF', 'ENOMEM']);

/** A raw file has no sectors of its own; this is the smallest that any disk has. */
const SMALLEST: Bytes = 512;

/** True for the error of a medium that answers, but not here. */
export function isUnreadable(error: unknown): boolean {
  if (!(error instanceof ToolError) || error.code !== 'device.cannot-read') return false;
  return !GONE.has(String(error.details['errno']));
}

/** What a failing request is halved down to. */
export function smallestUnit({ sectorSize }: Source): Bytes {
  return sectorSize ?? SMALLEST;
}

/** Halves `extent` where `attempt` is refused. Returns the holes, ascending; any other error ends it. */
export async function readHalving(
  extent: Extent,
  unit: Bytes,
  attempt: (part: Extent) => Promise<void>,
): Promise<Extent[]> {
  try {
    await attempt(extent);
    return [];
  } catch (error) {
    if (!isUnreadable(error)) throw error;
  }
  const first = Math.floor(extent.offset / unit);
  const end = Math.ceil(extentEnd(extent) / unit);
  if (end - first <= 1) return [extent];
  const middle = Math.floor((first + end) / 2) * unit;
  const left = { offset: extent.offset, length: middle - extent.offset };
  const right = { offset: middle, length: extentEnd(extent) - middle };
  const holes = await readHalving(left, unit, attempt);
  return normalise([...holes, ...(await readHalving(right, unit, attempt))]);
}

/** The same source, but able to read around its unreadable sectors. Plain reads still throw. */
export function aroundHoles(source: Source): Source {
  return {
    ...source,
    async readAround(into, offset) {
      const holes = await readHalving({ offset, length: into.length }, smallestUnit(source), (part) =>
        source.read(into.subarray(part.offset - offset, extentEnd(part) - offset), part.offset),
      );
      for (const hole of holes) into.fill(0, hole.offset - offset, extentEnd(hole) - offset);
      return holes;
    },
  };
}

/** Reads around holes where the source can; elsewhere the first unreadable sector throws. Returns the holes. */
export async function readAround(source: Source, into: Buffer, offset: Bytes): Promise<readonly Extent[]> {
  if (source.readAround) return source.readAround(into, offset);
  await source.read(into, offset);
  return [];
}
