// A target in memory with a write cache: what was not flushed is lost, or survives in part, when the power fails.
// Invariant: reads see the newest bytes, the medium has at least everything that was flushed.

import { checked } from '../../src/source/checked.js';
import type { Target } from '../../src/source/types.js';
import type { Random } from './random.js';

const SECTOR = 512;

export interface VolatileTarget extends Target {
  /** What the medium holds if the power fails now: each sector that was not flushed survives by chance. */
  afterCut(random: Random, survival: number): Buffer;
  /** Sectors that a power failure could lose now. */
  readonly unflushed: number;
}

/** `bytes` as the medium; it changes only by `flush`. */
export function volatileTarget(bytes: Buffer, name = 'volatile'): VolatileTarget {
  const newest = Buffer.from(bytes);
  /** Unflushed contents of each sector, oldest first: any of them may be what the medium got. */
  const unflushed = new Map<number, Buffer[]>();
  const remember = (offset: number, length: number): void => {
    for (let sector = Math.floor(offset / SECTOR); sector * SECTOR < offset + length; sector += 1) {
      const content = Buffer.from(newest.subarray(sector * SECTOR, (sector + 1) * SECTOR));
      unflushed.set(sector, [...(unflushed.get(sector) ?? []), content]);
    }
  };
  const target = checked({
    name,
    size: bytes.length,
    sectorSize: undefined,
    spec: undefined,
    async read(into, offset) {
      newest.copy(into, 0, offset, offset + into.length);
    },
    extents: undefined,
    async write(from, offset) {
      from.copy(newest, offset);
      remember(offset, from.length);
    },
    async zero({ offset, length }) {
      newest.fill(0, offset, offset + length);
      remember(offset, length);
    },
    async discard({ offset, length }) {
      // The worst a medium may do: the bytes become something else.
      newest.fill(0xdb, offset, offset + length);
      remember(offset, length);
    },
    async flush() {
      for (const sector of unflushed.keys())
        newest.copy(bytes, sector * SECTOR, sector * SECTOR, (sector + 1) * SECTOR);
      unflushed.clear();
    },
    async close() {},
  });
  return {
    ...target,
    afterCut(random, survival) {
      const medium = Buffer.from(bytes);
      for (const [sector, contents] of unflushed) {
        if (random.chance(survival)) random.pick(contents).copy(medium, sector * SECTOR);
      }
      return medium;
    },
    get unflushed() {
      return unflushed.size;
    },
  };
}
