// One stretch, window by window: read what is used, digest it, and write what the target does not hold yet.
// This is the only place where data moves. It runs in a worker, or inline where a source cannot cross threads.
// Invariant: nothing is written before `permit` has resolved.

import { DIGEST_LENGTH, digestOf, isUnknown } from '../base/digest.js';
import { interrupted } from '../base/errors/run.js';
import { ToolError } from '../base/tool-error.js';
import { type Bytes, KiB, MiB } from '../base/units.js';
import { isZero } from '../base/zeros.js';
import { type Extent, extentEnd, gaps, intersect } from '../map/extent.js';
import { allocateAligned } from '../native/aligned.js';
import type { Source, Target } from '../source/types.js';
import {
  blockExtent,
  blocksIn,
  COPIED,
  classify,
  digestSlot,
  FREE,
  runsOf,
  type Stretch,
  type StretchResult,
} from './stretch.js';
import type { Tally } from './tally.js';

/** Bytes one worker reads and writes at once. Larger ones were not faster, smaller ones cost system calls. */
export const WINDOW_LENGTH = 2 * MiB;

/** Free gaps up to this length between used bytes are read along: cheaper than another request to the device. */
const READ_ALONG = 16 * KiB;

export interface Buffers {
  readonly source: Buffer;
  readonly target: Buffer;
}

/** Memory of one worker, made once. */
export function createBuffers(): Buffers {
  return { source: allocateAligned(WINDOW_LENGTH), target: allocateAligned(WINDOW_LENGTH) };
}

export interface StretchContext {
  readonly source: Source;
  readonly target: Target;
  readonly buffers: Buffers;
  readonly tally: Tally;
  /** Resolves when the target is armed and the stretch's digests are void on the disk. */
  readonly permit: () => Promise<void>;
}

/** Copies (or checks) one stretch. Throws ToolError of the medium, or `interrupted.stopped`. */
export async function processStretch(stretch: Stretch, context: StretchContext): Promise<StretchResult> {
  const states = classify(stretch);
  const digests = Buffer.alloc(states.length * DIGEST_LENGTH);
  const differing: number[] = [];
  const blocksPerWindow = Math.max(1, Math.floor(WINDOW_LENGTH / stretch.blockSize));
  for (let first = 0; first < states.length; first += blocksPerWindow) {
    if (context.tally.stopped) throw interrupted();
    const blocks: number[] = [];
    for (let block = first; block < Math.min(first + blocksPerWindow, states.length); block += 1) {
      if (states[block] === COPIED) blocks.push(block);
    }
    if (blocks.length > 0)
      differing.push(...(await processWindow(stretch, context, windowOf(stretch, blocks), digests)));
  }
  if (stretch.sink === 'write') await discardFreed(stretch, context, states);
  return { digests, differing };
}

/** Blocks that are copied together, and the bytes from the first to the last of them: what the buffers hold. */
interface Window {
  /** Ascending. */
  readonly blocks: readonly number[];
  readonly span: Extent;
  /** Used bytes inside the span. */
  readonly used: readonly Extent[];
}

function windowOf(stretch: Stretch, blocks: readonly number[]): Window {
  const { offset } = blockExtent(stretch, blocks[0] ?? 0);
  const span = { offset, length: extentEnd(blockExtent(stretch, blocks.at(-1) ?? 0)) - offset };
  return { blocks, span, used: stretch.used.flatMap((extent) => intersect(extent, span) ?? []) };
}

/** Returns the blocks that differed. */
async function processWindow(
  stretch: Stretch,
  context: StretchContext,
  window: Window,
  digests: Buffer,
): Promise<number[]> {
  await readUsed(context, window);
  digestBlocks(stretch, window, { content: context.buffers.source, digests });
  const { differing, unknown } = sortOut(stretch, window.blocks, digests);
  if (stretch.unknown === 'write') differing.push(...unknown);
  else if (unknown.length > 0) differing.push(...(await differFromTarget(stretch, context, window, unknown)));
  if (differing.length > 0) {
    differing.sort((a, b) => a - b);
    if (stretch.sink === 'write') {
      await context.permit();
      await writeBlocks(stretch, context, window, differing);
    }
  }
  account(stretch, context.tally, window, differing);
  return differing;
}

/** The hottest loop: plain numbers and one call a block, so that it is cheap before it is compiled too. */
function digestBlocks(
  { blockSize, extent }: Stretch,
  { blocks, span }: Window,
  { content, digests }: { content: Buffer; digests: Buffer },
): void {
  const shift = extent.offset - span.offset;
  for (const block of blocks) {
    const start = block * blockSize + shift;
    digests.set(digestOf(content.subarray(start, Math.min(start + blockSize, span.length))), block * DIGEST_LENGTH);
  }
}

/** Blocks whose known digest is another one, and blocks of which nothing is known. */
function sortOut(
  { known }: Stretch,
  blocks: readonly number[],
  digests: Buffer,
): { differing: number[]; unknown: readonly number[] } {
  if (known === undefined) return { differing: [], unknown: blocks };
  const differing: number[] = [];
  const unknown: number[] = [];
  for (const block of blocks) {
    const slot = digestSlot(known, block);
    if (isUnknown(slot, 0)) unknown.push(block);
    else if (!slot.equals(digestSlot(digests, block))) differing.push(block);
  }
  return { differing, unknown };
}

function contentOf(buffer: Buffer, stretch: Stretch, block: number, span: Extent): Buffer {
  const { offset, length } = blockExtent(stretch, block);
  return buffer.subarray(offset - span.offset, offset - span.offset + length);
}

/** Fills the source buffer: used bytes as they are, everything else zeros. */
async function readUsed(context: StretchContext, { span, used }: Window): Promise<void> {
  for (const run of readRuns(used)) {
    try {
      await readRun(context, run, span);
    } catch (error) {
      // A bad sector in a free gap must not fail a copy that does not need it.
      if (!(error instanceof ToolError) || error.code !== 'device.cannot-read') throw error;
      for (const extent of used) {
        const part = intersect(extent, run);
        if (part) await readRun(context, part, span);
      }
    }
  }
  for (const gap of gaps(used, span)) {
    context.buffers.source.fill(0, gap.offset - span.offset, extentEnd(gap) - span.offset);
  }
}

/** Used extents joined over short gaps. */
function readRuns(used: readonly Extent[]): Extent[] {
  const runs: Extent[] = [];
  for (const extent of used) {
    const last = runs.at(-1);
    if (last && extent.offset - extentEnd(last) <= READ_ALONG) {
      runs[runs.length - 1] = { offset: last.offset, length: extentEnd(extent) - last.offset };
    } else {
      runs.push(extent);
    }
  }
  return runs;
}

async function readRun({ source, buffers, tally }: StretchContext, run: Extent, span: Extent): Promise<void> {
  const read = async ({ offset, length }: Extent): Promise<void> => {
    await source.read(buffers.source.subarray(offset - span.offset, offset - span.offset + length), offset);
    tally.add('sourceRead', length);
  };
  if (!source.extents) return read(run);
  for await (const part of source.extents(run)) {
    if (part.kind === 'data') await read(part);
    else buffers.source.fill(0, part.offset - span.offset, extentEnd(part) - span.offset);
  }
}

/** Those of `blocks` whose content on the target is not what the source buffer holds. */
async function differFromTarget(
  stretch: Stretch,
  { target, buffers, tally }: StretchContext,
  { span, used }: Window,
  blocks: readonly number[],
): Promise<number[]> {
  const differing: number[] = [];
  for (const { first, end } of runsOf(blocks)) {
    const { offset, length } = runExtent(stretch, first, end);
    await target.read(buffers.target.subarray(offset - span.offset, offset - span.offset + length), offset);
    tally.add('targetRead', length);
    if (stretch.unknown === 'match') {
      for (const gap of gaps(used, { offset, length })) {
        buffers.target.fill(0, gap.offset - span.offset, extentEnd(gap) - span.offset);
      }
    }
    for (let block = first; block < end; block += 1) {
      const held = contentOf(buffers.target, stretch, block, span);
      if (!contentOf(buffers.source, stretch, block, span).equals(held)) differing.push(block);
    }
  }
  return differing;
}

/** Writes blocks, neighbours together; runs of zeros are zeroed, which many media do without moving bytes. */
async function writeBlocks(
  stretch: Stretch,
  { target, buffers, tally }: StretchContext,
  { span }: Window,
  blocks: readonly number[],
): Promise<void> {
  const zero = new Set(blocks.filter((block) => isZero(contentOf(buffers.source, stretch, block, span))));
  for (const run of runsOf(blocks.filter((block) => !zero.has(block)))) {
    const { offset, length } = runExtent(stretch, run.first, run.end);
    await target.write(buffers.source.subarray(offset - span.offset, offset - span.offset + length), offset);
    tally.add('written', length);
  }
  for (const run of runsOf([...zero])) {
    const extent = runExtent(stretch, run.first, run.end);
    await target.zero(extent);
    tally.add('zeroed', extent.length);
  }
}

/** The bytes of the blocks [first, end). */
function runExtent(stretch: Stretch, first: number, end: number): Extent {
  const { offset } = blockExtent(stretch, first);
  return { offset, length: extentEnd(blockExtent(stretch, end - 1)) - offset };
}

function account(stretch: Stretch, tally: Tally, { used, blocks }: Window, differing: readonly number[]): void {
  const total = lengthOf(used);
  tally.add('done', total);
  if (differing.length === blocks.length) return;
  let changed = 0;
  for (const { first, end } of runsOf(differing)) {
    const run = runExtent(stretch, first, end);
    changed += lengthOf(used.flatMap((extent) => intersect(extent, run) ?? []));
  }
  tally.add('skipped', total - changed);
}

function lengthOf(extents: readonly Extent[]): Bytes {
  return extents.reduce((sum, { length }) => sum + length, 0);
}

/** Free blocks: what an earlier run wrote there (its digest is known), or anything at all before a first copy. */
async function discardFreed(
  stretch: Stretch,
  { target, tally, permit }: StretchContext,
  states: Uint8Array,
): Promise<void> {
  const freed: number[] = [];
  for (let block = 0; block < blocksIn(stretch); block += 1) {
    if (states[block] !== FREE) continue;
    const wasCopied = stretch.known !== undefined && !isUnknown(digestSlot(stretch.known, block), 0);
    if (stretch.discardFree || wasCopied) freed.push(block);
  }
  if (freed.length === 0) return;
  await permit();
  for (const { first, end } of runsOf(freed)) {
    const extent = runExtent(stretch, first, end);
    await target.discard(extent);
    tally.add('discarded', extent.length);
  }
}
