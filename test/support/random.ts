// Seeded randomness: every random test prints its seed and can be run again with ECTYPE_SEED.

import { LONG } from './scale.js';

export interface Random {
  /** An integer in [0, below). */
  below(below: number): number;
  /** An integer in [from, to]. */
  between(from: number, to: number): number;
  pick<T>(items: readonly T[]): T;
  bytes(length: number): Buffer;
  chance(probability: number): boolean;
}

/** The seed of this process: ECTYPE_SEED, or a new one. Printed once. */
export const SEED: number = Number(process.env['ECTYPE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
console.log(`seed ${SEED} (run again with ECTYPE_SEED=${SEED})`);

/** xorshift128-like generator (mulberry32): small, fast and the same everywhere. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const below = (limit: number): number => Math.floor((next() / 2 ** 32) * limit);
  return {
    below,
    between: (from, to) => from + below(to - from + 1),
    pick: (items) => {
      const item = items[below(items.length)];
      if (item === undefined) throw new Error('pick from nothing');
      return item;
    },
    bytes: (length) => {
      const bytes = Buffer.allocUnsafe(length);
      let i = 0;
      for (; i + 4 <= length; i += 4) bytes.writeUInt32LE(next(), i);
      for (; i < length; i += 1) bytes[i] = next() & 255;
      return bytes;
    },
    chance: (probability) => next() / 2 ** 32 < probability,
  };
}

/** So many of them, chosen by the seed, in their order; all of them in the long tests. */
export function sampleOf<T>(items: readonly T[], count: number): T[] {
  const chosen = [...items];
  for (const random = randomFrom(SEED); !LONG && chosen.length > count; ) chosen.splice(random.below(chosen.length), 1);
  return chosen;
}
