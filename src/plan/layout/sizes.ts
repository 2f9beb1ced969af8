// What size each partition gets, by mode. Invariant: everything fits as it is, or the least that has to change changes:
// partitions before the first that changes keep their places, unless there is too little room.

import { unreachable } from '../../base/assert.js';
import { type Bytes, MiB } from '../../base/units.js';
import type { Board, Item } from './board.js';
import { fits, type Lengths, type Pins, packedEnd, placeAll } from './place.js';
import { type Stretchable, spread } from './spread.js';
import type { LayoutMode } from './types.js';

/** What moving leading partitions into gaps must spare others of shrinking to be worth it. */
const WORTH_MOVING: Bytes = 64 * MiB;

export interface Sized {
  readonly lengths: Lengths;
  readonly pins: Pins;
}

/** Where the last partition ends if each has the least size that the mode allows, and lies as far in front as it may. */
export function leastEnd(board: Board, mode: LayoutMode): Bytes {
  const { lengths, pins } = mode === 'same' ? sameAtLeast(board) : { lengths: board.items.map(leastOf), pins: [] };
  return Math.max(packedEnd(board, lengths, pins), board.area.leastEnd);
}

/** The sizes for a board whose `leastEnd` is inside its area. */
export function sizesFor(board: Board, mode: LayoutMode, scale: number): Sized {
  switch (mode) {
    case 'same':
      return sharedRest(board, sameAtLeast(board));
    case 'fill':
      return filled(board);
    case 'proportional':
      return proportional(board, scale);
    default:
      return unreachable(mode);
  }
}

function leastOf({ least }: Item): Bytes {
  return least;
}

/** The size without need or room for another one. */
function plainOf({ length, least, wanted }: Item): Bytes {
  return wanted === 'nothing' ? length : least;
}

/** Everything up to the first partition that has to change stays, and so does the start of that one. */
function sameAtLeast({ items }: Board): Sized {
  const isResized = ({ wanted, least, most, length }: Item): boolean =>
    wanted !== 'nothing' && (least !== length || most !== length);
  const changes = (item: Item): boolean =>
    !item.keepable || item.length !== item.partition.extent.length || isResized(item);
  const first = items.findIndex(changes);
  const pinned = first < 0 ? items : items.slice(0, items[first]?.keepable ? first + 1 : first);
  return { lengths: items.map(plainOf), pins: pinned.map(({ start }) => start) };
}

function filled(board: Board): Sized {
  const plain = { lengths: board.items.map(plainOf), pins: [] };
  if (!fits(board, plain.lengths, plain.pins)) return shrunk(board, plain.lengths);
  return hasRest(board) ? sharedRest(board, plain) : grown(board, plain);
}

/** Partitions scale with the room, by their sizes on the source; what rounding leaves goes to the largest. */
function proportional(board: Board, scale: number): Sized {
  const { items } = board;
  const scaled = items.flatMap((item, index) => (item.wanted === 'nothing' ? { item, index } : []));
  const who = scaled
    .filter(({ item: { least, most } }) => least < most)
    .map(({ item: { least, most, length }, index }) => ({ index, least, most, weight: length, usual: length }));
  const lengths = items.map(leastOf);
  const pins = leading(board, { lengths, pins: [] }, who);
  if (!hasRest(board)) return grown(board, { lengths: spread(board, { lengths, pins, who }), pins });
  return sharedRest(board, { lengths: spread(board, { lengths, pins, who, most: scale }), pins });
}

function hasRest({ items }: Board): boolean {
  return items.some(({ wanted }) => wanted === 'rest');
}

/** Those that are to have the rest get equal sizes. */
function sharedRest(board: Board, sized: Sized): Sized {
  const who = board.items.flatMap(({ wanted, least, most }, index) =>
    wanted === 'rest' ? { index, least, most, weight: 1, usual: undefined } : [],
  );
  if (who.length === 0) return sized;
  const pins = leading(board, sized, who);
  return { lengths: spread(board, { lengths: sized.lengths, pins, who }), pins };
}

/** The largest that can grow takes all room; what it cannot take, the next one. */
function grown(board: Board, sized: Sized): Sized {
  let { lengths, pins } = sized;
  const growers: Stretchable[] = [];
  for (const index of largestFirst(board, lengths)) {
    const { wanted, most } = board.items[index] ?? { wanted: 'size', most: 0 };
    const now = lengths[index] ?? 0;
    if (wanted !== 'nothing' || most <= now) continue;
    const one = { index, least: now, most, weight: 1, usual: now };
    growers.push(one);
    pins = leading(board, { lengths, pins }, growers);
    lengths = spread(board, { lengths, pins, who: [one] });
    if ((lengths[index] ?? 0) < most) break;
  }
  return { lengths, pins };
}

/** The largest that can shrink does so, as little as is enough; if its least is not enough, the next one too. */
function shrunk(board: Board, plain: Lengths): Sized {
  const free = shrunkUntilFits(board, plain, () => []);
  const roomy = { ...board, area: { ...board.area, end: Number.POSITIVE_INFINITY } };
  const undisturbed = placeAll(roomy, plain, []);
  const pinned = shrunkUntilFits(board, plain, (changing) => undisturbed.slice(0, Math.min(...changing) + 1));
  if (!free) throw new Error('internal error: partitions at their least sizes do not fit');
  return pinned && total(free.lengths) - total(pinned.lengths) < WORTH_MOVING ? pinned : free;
}

function shrunkUntilFits(
  board: Board,
  plain: Lengths,
  pinsFor: (changing: readonly number[]) => Pins,
): Sized | undefined {
  const lengths = [...plain];
  const changing: number[] = [];
  for (const index of largestFirst(board, plain)) {
    const { wanted, least, length } = board.items[index] ?? { wanted: 'size', least: 0, length: 0 };
    if (wanted !== 'nothing' || least === length) continue;
    lengths[index] = least;
    changing.push(index);
    const pins = pinsFor(changing);
    if (!fits(board, lengths, pins)) continue;
    const one = { index, least, most: length, weight: 1, usual: undefined };
    return { lengths: spread(board, { lengths, pins, who: [one] }), pins };
  }
  return undefined;
}

/** The places of all partitions up to the first of those that change, without the change. */
function leading(board: Board, { lengths, pins }: Sized, who: readonly { readonly index: number }[]): Pins {
  if (who.length === 0) return pins;
  const first = Math.min(...who.map(({ index }) => index));
  return placeAll(board, lengths, pins).slice(0, first + 1);
}

/** Indexes of the items; of equal ones the lower number first. */
function largestFirst({ items }: Board, lengths: Lengths): number[] {
  const number = (index: number): number => items[index]?.partition.number ?? 0;
  return [...items.keys()].sort((a, b) => (lengths[b] ?? 0) - (lengths[a] ?? 0) || number(a) - number(b));
}

function total(lengths: Lengths): Bytes {
  return lengths.reduce((sum, length) => sum + length, 0);
}
