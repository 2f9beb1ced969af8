// Where partitions of given sizes lie. Invariant: a partition lies where it lay on the source or on a multiple of 1 MiB,
// behind the one before it, with room for its record; one that has to move goes no further than it must.

import type { Bytes } from '../../base/units.js';
import { ALIGNMENT, alignDown, alignUp } from './area.js';
import type { Board, Item } from './board.js';

/** One for each item of a board. */
export type Lengths = readonly Bytes[];

/** Starts of the first items that are settled; the others are free. */
export type Pins = readonly Bytes[];

/** The end of the last partition if all lie as far in front as they may; infinite if the pins are in the way. */
export function packedEnd({ items, lowest }: Board, lengths: Lengths, pins: Pins): Bytes {
  let end = lowest;
  for (const [index, item] of items.entries()) {
    const offset = pins[index] ?? earliest(item, end);
    if (offset < end) return Number.POSITIVE_INFINITY;
    end = offset + (lengths[index] ?? 0);
  }
  return end;
}

export function fits(board: Board, lengths: Lengths, pins: Pins): boolean {
  return packedEnd(board, lengths, pins) <= board.area.end;
}

/** Starts of all items. The lengths must fit with these pins. */
export function placeAll({ items, area, lowest }: Board, lengths: Lengths, pins: Pins): Bytes[] {
  const latest: Bytes[] = [];
  let limit = area.end;
  for (const [index, item] of [...items.entries()].reverse()) {
    latest[index] = latestStart(item, lengths[index] ?? 0, limit);
    limit = latest[index] - item.record;
  }
  const offsets: Bytes[] = [];
  let end = lowest;
  for (const [index, item] of items.entries()) {
    const offset = pins[index] ?? nearest(item, { end, latest: latest[index] ?? 0 });
    offsets.push(offset);
    end = offset + (lengths[index] ?? 0);
  }
  return offsets;
}

/** The first start behind `end`. */
function earliest({ start, record, keepable }: Item, end: Bytes): Bytes {
  const lowest = end + record;
  const aligned = alignUp(lowest, ALIGNMENT);
  return keepable && start >= lowest && start < aligned ? start : aligned;
}

/** The last start that ends at `limit` or before. */
function latestStart({ start, keepable }: Item, length: Bytes, limit: Bytes): Bytes {
  const aligned = alignDown(limit - length, ALIGNMENT);
  return keepable && start + length <= limit && start > aligned ? start : aligned;
}

function nearest(item: Item, { end, latest }: { end: Bytes; latest: Bytes }): Bytes {
  const { start, record, keepable } = item;
  const here = keepable ? start : alignUp(start, ALIGNMENT);
  if (here < end + record) return earliest(item, end);
  return Math.min(here, latest);
}
