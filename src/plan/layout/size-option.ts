// The texts of `--size`: 2=200G, 3=min, 4=rest. Invariant: a partition is named once.

import { badOption } from '../../base/errors/usage.js';
import { parseSize } from '../../base/units.js';
import type { WantedSize } from './types.js';

const WANTED = 'wanted is a partition and its size such as 2=200G, 3=min or 4=rest';

/** By partition number. Throws `usage.bad-option`. */
export function parseSizes(texts: readonly string[]): ReadonlyMap<number, WantedSize> {
  const sizes = new Map<number, WantedSize>();
  for (const text of texts) {
    const { number, size } = parseOne(text);
    if (sizes.has(number)) throw badOption('--size', text, `partition ${number} was given a size before`);
    sizes.set(number, size);
  }
  return sizes;
}

function parseOne(text: string): { number: number; size: WantedSize } {
  const match = /^\s*(\d{1,6})\s*=(.*)$/.exec(text);
  const number = Number(match?.[1] ?? 0);
  const value = (match?.[2] ?? '').trim();
  if (number === 0) throw badOption('--size', text, WANTED);
  const word = value.toLowerCase();
  if (word === 'min' || word === 'rest') return { number, size: word };
  const size = parseSize(value);
  if (size === undefined) throw badOption('--size', text, WANTED);
  if (size === 0) throw badOption('--size', text, `a partition of no size; leave partition ${number} out with --only`);
  return { number, size };
}
