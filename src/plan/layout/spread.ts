// The largest sizes that still fit: one number decides all sizes, and the largest such number is found by halving.
// Invariant: sizes grow with that number, so that what fits is found exactly.

import type { Bytes } from '../../base/units.js';
import { ALIGNMENT, alignDown } from './area.js';
import type { Board } from './board.js';
import { fits, type Lengths, type Pins } from './place.js';

/** Enough to tell neighbouring sizes of any disk apart. */
const HALVINGS = 64;

/** A partition whose size is sought. */
export interface Stretchable {
  /** In the board. */
  readonly index: number;
  readonly least: Bytes;
  readonly most: Bytes;
  /** Its size is this many times the number that is sought. */
  readonly weight: number;
  /** Sizes less than 1 MiB away from this one are this one: so little is not worth a resize. */
  readonly usual: Bytes | undefined;
}

/** `lengths`, with those of `who` as large as fits and no larger than `most` times their weight. All at least must fit. */
export function spread(board: Board, { lengths, pins, who, most = board.area.end }: SpreadOptions): Bytes[] {
  const sized = (factor: number): Bytes[] => {
    const result = [...lengths];
    for (const one of who) result[one.index] = sizeFor(one, factor);
    return result;
  };
  let [low, high] = [0, most];
  if (fits(board, sized(high), pins)) return sized(high);
  for (let step = 0; step < HALVINGS; step += 1) {
    const middle = (low + high) / 2;
    if (fits(board, sized(middle), pins)) low = middle;
    else high = middle;
  }
  return sized(low);
}

interface SpreadOptions {
  readonly lengths: Lengths;
  readonly pins: Pins;
  readonly who: readonly Stretchable[];
  readonly most?: number;
}

function sizeFor({ least, most, weight, usual }: Stretchable, factor: number): Bytes {
  if (factor === 0) return least; // what the caller knows to fit, however small the usual size is
  const size = alignDown(factor * weight, ALIGNMENT);
  const chosen = usual !== undefined && Math.abs(size - usual) < ALIGNMENT ? usual : size;
  return Math.min(most, Math.max(least, chosen));
}
