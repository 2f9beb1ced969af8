// What a worker is asked to do: one stretch of a volume (a page of the block map), as plain data that crosses threads.

import { DIGEST_LENGTH, isHoled, isUnknown } from '../base/digest.js';
import type { Bytes } from '../base/units.js';
import { clip, type Extent } from '../map/extent.js';

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
   * Blocks whose used bytes the source still holds as they were when their digests were taken: those of them that are
   * known, and in which nothing must be zeros, are not read.
   */
  readonly proved?: readonly Run[] | undefined;
  /**
   * What a block without a known digest needs: `write` it, `compare` all of it with the target first and write what
   * differs, or `match` only its used and wiped bytes with the target (verification, nothing is written).
   */
  readonly unknown: 'write' | 'compare' | 'match';
  /** `write` differing blocks, or only `report` them. */
  readonly sink: 'write' | 'report';
  /** True: free blocks are discarded although nothing is known of them (a first copy). */
  readonly discardFree: boolean;
  /** How to deal with unreadable sectors; missing: the first one ends the run. */
  readonly rescue?: RescueOrder | undefined;
}

/** What of an earlier run stays where the source cannot be read: nothing, blocks whose digest says what they hold, or
 * also what the target holds although no digest vouches for it (it was compared with a source of the same content). */
export type Keep = 'nothing' | 'known' | 'held';

export interface RescueOrder {
  /**
   * `postpone`: a window that cannot be read is left for later. `split`: it is halved down to sectors. `again`: what
   * was bad is tried once more, sector by sector.
   */
  readonly pass: 'postpone' | 'split' | 'again';
  /** What a failing request is halved down to. */
  readonly unit: Bytes;
  /** What could not be read so far; ascending. Only with `again`. */
  readonly bad: readonly Extent[];
  readonly keep: Keep;
  /** Milliseconds since 1970 after which nothing is tried any more. */
  readonly until: number;
}

/** Used bytes of the source that could not be read, and what the target holds there instead. */
export interface Hole extends Extent {
  /** `kept`: the content of an earlier run. */
  readonly fate: 'zeros' | 'kept';
  /** False: time was up before it was gone over sector by sector. */
  readonly tried: boolean;
}

export interface StretchResult {
  /** Digests of all copied blocks, 16 bytes a block; zeros for free and held ones. */
  readonly digests: Uint8Array;
  /** Blocks that differed (and were written, unless the sink only reports), ascending. */
  readonly differing: readonly Run[];
  /** Blocks left for later, ascending; their digests are the known ones. */
  readonly postponed: readonly Run[];
  /** Ascending. */
  readonly holes: readonly Hole[];
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
/** What a copied block turned out to be; one that stays COPIED is on the target already. */
export const DIFFERENT = 3;
/** Different, and nothing but zeros. */
export const BLANK = 4;
/** Nothing is known of it: the target must be looked at. */
export const UNKNOWN = 5;
/** Free, and to be discarded. */
export const FREED = 6;
/** Its window could not be read; a later pass goes over it. */
export const POSTPONED = 7;
/** It cannot be read, and the target keeps what an earlier run put there. */
export const KEPT = 8;
/** The target holds it already, and that is known without reading it. */
export const PROVED = 9;

/** FREE, COPIED, HELD or PROVED for each block of the stretch. */
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
  const { known, proved } = stretch;
  if (known && proved) {
    for (const { first, end } of proved) {
      for (let block = first; block < end; block += 1) if (isCopyKnown(known, block)) states[block] = PROVED;
    }
  }
  mark(stretch.wiped, COPIED);
  mark(stretch.held, HELD);
  return states;
}

/** A digest of whole content: neither unknown nor written with holes. */
function isCopyKnown(known: Uint8Array, block: number): boolean {
  return !isUnknown(known, block * DIGEST_LENGTH) && !isHoled(known, block * DIGEST_LENGTH);
}

/** What a proof spares: used bytes of the blocks that need not be read, and whether anything is left to do at all. */
export function spared(stretch: Stretch): { readonly bytes: Bytes; readonly isSettled: boolean } {
  const { known, proved, discardFree } = stretch;
  if (!known || !proved) return { bytes: 0, isSettled: false };
  const states = classify(stretch);
  let bytes = 0;
  for (const run of runsOf(states, PROVED, { first: 0, end: states.length })) {
    for (const { length } of clip(stretch.used, runExtent(stretch, run))) bytes += length;
  }
  let isSettled = !discardFree;
  for (let block = 0; isSettled && block < states.length; block += 1) {
    const isForgotten = states[block] === FREE && isUnknown(known, block * DIGEST_LENGTH);
    isSettled = isForgotten || states[block] === PROVED || states[block] === HELD;
  }
  return { bytes, isSettled };
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
