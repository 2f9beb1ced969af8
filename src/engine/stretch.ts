// What a worker is asked to do: one stretch of a volume (a page of the block map), as plain data that crosses threads.

import type { Bytes } from '../base/units.js';
import type { Extent } from '../map/extent.js';

/** All offsets are the volume's. Blocks are counted from the stretch's first. */
export interface Stretch {
  readonly extent: Extent;
  readonly blockSize: Bytes;
  /** Used bytes; ascending. */
  readonly used: readonly Extent[];
  /** Bytes that must read as zeros although nobody needs them: places of old signatures, files left out. Ascending. */
  readonly wiped: readonly Extent[];
  /** Bytes that another step writes (the armed ones); blocks that touch them are left alone. */
  readonly held: readonly Extent[];
  /** Digests as of the last copy, 16 bytes a block; undefined: nothing is known. */
  readonly known: Uint8Array | undefined;
  /**
   * What a block without a known digest needs: `write` it, `compare` all of it with the target first and write what
   * differs, or `match` only its used and wiped bytes with the target (verification, nothing is written).
   */
  readonly unknown: 'write' | 'compare' | 'match';
  /** `write` differing blocks, or only `report` them. */
  readonly sink: 'write' | 'report';
  /** True: free blocks are discarded although nothing is known of them (a first copy). */
  readonly discardFree: boolean;
}

export interface StretchResult {
  /** Digests of all copied blocks, 16 bytes a block; zeros for free and held ones. */
  readonly digests: Uint8Array;
  /** Blocks that differed (and were written, unless the sink only reports), ascending. */
  readonly differing: readonly Run[];
}

/** The blocks [first, end). */
export interface Run {
  readonly first: number;
  readonly end: number;
}

export function blocksIn({ extent, blockSize }: Stretch): number {
  return Math.ceil(extent.length / blockSize);
}

/** The bytes of the blocks [first, end). */
export function runExtent({ extent, blockSize }: Stretch, { first, end }: Run): Extent {
  const offset = extent.offset + first * blockSize;
  return { offset, length: Math.min((end - first) * blockSize, extent.offset + extent.length - offset) };
}

/** What becomes of each block: a byte a block. */
export const FREE = 0;
export const COPIED = 1;
export const HELD = 2;

/** FREE, COPIED or HELD for each block of the stretch. */
export function classify(stretch: Stretch): Uint8Array {
  const states = new Uint8Array(blocksIn(stretch));
  const mark = (extents: readonly Extent[], state: number): void => {
    for (const { offset, length } of extents) {
      const first = Math.floor((offset - stretch.extent.offset) / stretch.blockSize);
      const last = Math.ceil((offset + length - stretch.extent.offset) / stretch.blockSize);
      states.fill(state, Math.max(0, first), Math.min(states.length, last));
    }
  };
  mark(stretch.used, COPIED);
  mark(stretch.wiped, COPIED);
  mark(stretch.held, HELD);
  return states;
}

/** The runs of blocks in `state` among [first, end), ascending. */
export function runsOf(states: Uint8Array, state: number, { first, end }: Run): Run[] {
  const runs: Run[] = [];
  for (let start = states.indexOf(state, first); start !== -1 && start < end; start = states.indexOf(state, start)) {
    const run = { first: start, end: start };
    while (start < end && states[start] === state) start += 1;
    run.end = start;
    runs.push(run);
  }
  return runs;
}
