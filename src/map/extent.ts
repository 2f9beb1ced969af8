// Half-open byte ranges and their arithmetic. Pure data, no I/O.

import type { Bytes } from '../base/units.js';

/** The bytes [offset, offset + length). */
export interface Extent {
  readonly offset: Bytes;
  readonly length: Bytes;
}

export function extentEnd(extent: Extent): Bytes {
  return extent.offset + extent.length;
}

/** The part of `extent` that lies in `within`; undefined if they do not meet. */
export function intersect(extent: Extent, within: Extent): Extent | undefined {
  const offset = Math.max(extent.offset, within.offset);
  const end = Math.min(extentEnd(extent), extentEnd(within));
  return end > offset ? { offset, length: end - offset } : undefined;
}

export function overlaps(a: Extent, b: Extent): boolean {
  return a.offset < extentEnd(b) && b.offset < extentEnd(a);
}

/** `extent` widened to multiples of `unit`, clipped to [0, limit). */
export function widen(extent: Extent, { unit, limit }: { unit: Bytes; limit: Bytes }): Extent {
  const offset = Math.floor(extent.offset / unit) * unit;
  const end = Math.min(Math.ceil(extentEnd(extent) / unit) * unit, limit);
  return { offset, length: end - offset };
}

/** `extent` cut at the multiples of `unit`. */
export function inUnits(extent: Extent, unit: Bytes): Extent[] {
  const parts: Extent[] = [];
  for (let { offset } = extent; offset < extentEnd(extent); ) {
    const end = Math.min((Math.floor(offset / unit) + 1) * unit, extentEnd(extent));
    parts.push({ offset, length: end - offset });
    offset = end;
  }
  return parts;
}

/** Sorted, without overlaps, neighbours joined; empty extents dropped. */
export function normalise(extents: Iterable<Extent>): Extent[] {
  const sorted = [...extents].filter((extent) => extent.length > 0).sort((a, b) => a.offset - b.offset);
  const result: Extent[] = [];
  for (const extent of sorted) {
    const last = result.at(-1);
    if (last && extentEnd(last) >= extent.offset) {
      const end = Math.max(extentEnd(last), extentEnd(extent));
      result[result.length - 1] = { offset: last.offset, length: end - last.offset };
    } else {
      result.push(extent);
    }
  }
  return result;
}

/** The parts of sorted, disjoint `extents` in `within`. Found by halving: lists of a million extents are asked often. */
export function* clip(extents: readonly Extent[], within: Extent): Generator<Extent> {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const extent = extents[middle];
    if (extent && extentEnd(extent) <= within.offset) low = middle + 1;
    else high = middle;
  }
  for (let index = low; index < extents.length; index += 1) {
    const part = intersect(extents[index] ?? within, within);
    if (!part) return;
    yield part;
  }
}

/** What of `within` no extent covers. `extents` are sorted and do not overlap. */
export function* gaps(extents: Iterable<Extent>, within: Extent): Generator<Extent> {
  let position = within.offset;
  for (const extent of extents) {
    if (extent.offset > position) {
      const gap = intersect({ offset: position, length: extent.offset - position }, within);
      if (gap) yield gap;
    }
    position = Math.max(position, extentEnd(extent));
  }
  const end = extentEnd(within);
  if (end > position) yield { offset: position, length: end - position };
}

export function totalLength(extents: Iterable<Extent>): Bytes {
  let total = 0;
  for (const extent of extents) total += extent.length;
  return total;
}
