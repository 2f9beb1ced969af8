// One stretch, window by window: read what is used, digest it, and write what the target does not hold yet.
// This is the only place where data moves. It runs in a worker, or inline where a source cannot cross threads.
// Invariant: nothing is written before `permit` has resolved.

import { DIGEST_LENGTH, digestOf, digestOfZeros, isUnknown } from '../base/digest.js';
import { interrupted } from '../base/errors/run.js';
import { type Bytes, MiB } from '../base/units.js';
import { isZero } from '../base/zeros.js';
import { type Extent, extentEnd, gaps, intersect, normalise } from '../map/extent.js';
import { allocateAligned } from '../native/aligned.js';
import { postpone, settleHoles } from './holes.js';
import { type Buffers, type Findings, readUsed, type StretchContext, type Window } from './read.js';
import { readRescued } from './rescue-read.js';
import {
  BLANK,
  COPIED,
  classify,
  DIFFERENT,
  FREE,
  FREED,
  type Hole,
  POSTPONED,
  PROVED,
  type Run,
  runExtent,
  runsOf,
  type Stretch,
  type StretchResult,
  UNKNOWN,
} from './stretch.js';
import type { Tally } from './tally.js';

/** Bytes one worker reads and writes at once. Larger ones were not faster, smaller ones cost system calls. */
export const WINDOW_LENGTH = 2 * MiB;

/** Memory of one worker, made once. */
export function createBuffers(): Buffers {
  return { source: allocateAligned(WINDOW_LENGTH), target: allocateAligned(WINDOW_LENGTH) };
}

/** Copies (or checks) one stretch. Throws ToolError of the medium, or `interrupted.stopped`. */
export async function processStretch(stretch: Stretch, context: StretchContext): Promise<StretchResult> {
  const states = classify(stretch);
  const digests = Buffer.alloc(states.length * DIGEST_LENGTH);
  keepProved(stretch, { states, digests });
  const holes: Hole[] = [];
  const blocksPerWindow = Math.max(1, Math.floor(WINDOW_LENGTH / stretch.blockSize));
  for (let first = 0; first < states.length; first += blocksPerWindow) {
    if (context.tally.stopped) throw interrupted();
    const window = windowOf(stretch, states, { first, end: Math.min(first + blocksPerWindow, states.length) });
    if (window) holes.push(...(await processWindow(stretch, context, window, { states, digests })));
  }
  const all = { first: 0, end: states.length };
  if (stretch.sink === 'write') await discardFreed(stretch, context, states);
  const postponed = stretch.rescue ? runsOf(states, POSTPONED, all) : [];
  return { digests, differing: differingRuns(states, all), postponed, holes };
}

/** Blocks that are not read keep their digests. */
function keepProved({ known, proved }: Stretch, { states, digests }: Findings): void {
  if (!known || !proved) return;
  for (const { first, end } of runsOf(states, PROVED, { first: 0, end: states.length })) {
    digests.set(known.subarray(first * DIGEST_LENGTH, end * DIGEST_LENGTH), first * DIGEST_LENGTH);
  }
}

/** Undefined if no block of `among` is copied. */
function windowOf(stretch: Stretch, states: Uint8Array, among: Run): Window | undefined {
  const runs = runsOf(states, COPIED, among);
  const blocks = { first: runs[0]?.first ?? 0, end: runs.at(-1)?.end ?? 0 };
  if (runs.length === 0) return undefined;
  const span = runExtent(stretch, blocks);
  const used = stretch.used.flatMap((extent) => intersect(extent, span) ?? []);
  if ((stretch.held.length === 0 && !stretch.proved) || runs.length === 1) return { blocks, span, used };
  const copied = runs.map((run) => runExtent(stretch, run));
  return { blocks, span, used: used.flatMap((extent) => copied.flatMap((run) => intersect(extent, run) ?? [])) };
}

const NONE: readonly Hole[] = [];

async function processWindow(
  stretch: Stretch,
  context: StretchContext,
  window: Window,
  findings: Findings,
): Promise<readonly Hole[]> {
  const { states } = findings;
  let holes = NONE;
  const { rescue: order } = stretch;
  if (window.used.length === 0) {
    digestZeros(stretch, context, window, findings);
  } else {
    const missing = order && (await readRescued(order, context, window));
    if (!order) await readUsed(context, window);
    else if (!missing) return postpone(stretch, window, findings);
    digestBlocks(stretch, window, { ...findings, content: context.buffers.source });
    holes = order && missing ? await settleHoles(missing, { stretch, order, context, window, findings }) : NONE;
  }
  await compareUnknown(stretch, context, window, states);
  const differing = differingRuns(states, window.blocks);
  if (differing.length > 0 && stretch.sink === 'write') {
    await context.permit();
    await writeBlocks(stretch, context, window, states);
  }
  if (order?.pass !== 'again') account(stretch, context.tally, window, differing);
  return holes;
}

function differingRuns(states: Uint8Array, among: Run): Run[] {
  const different = runsOf(states, DIFFERENT, among);
  const blank = runsOf(states, BLANK, among);
  return blank.length === 0 ? different : [...different, ...blank].sort((a, b) => a.first - b.first);
}

/** The hottest loop: plain numbers and one native call a block, so that it is cheap before it is compiled too. */
function digestBlocks(
  { blockSize, extent, known, unknown }: Stretch,
  { blocks, span }: Window,
  { states, digests, content }: Findings & { content: Buffer },
): void {
  const shift = extent.offset - span.offset;
  const former = known && Buffer.from(known.buffer, known.byteOffset, known.length);
  for (let block = blocks.first; block < blocks.end; block += 1) {
    if (states[block] !== COPIED) continue;
    const start = block * blockSize + shift;
    const bytes = content.subarray(start, Math.min(start + blockSize, span.length));
    const at = block * DIGEST_LENGTH;
    digests.set(digestOf(bytes), at);
    if (former === undefined || isUnknown(former, at)) {
      states[block] = unknown !== 'write' ? UNKNOWN : isZero(bytes) ? BLANK : DIFFERENT;
    } else if (digests.compare(former, at, at + DIGEST_LENGTH, at, at + DIGEST_LENGTH) !== 0) {
      states[block] = isZero(bytes) ? BLANK : DIFFERENT;
    }
  }
}

/**
 * As `digestBlocks`, for a window that is to be all zeros: the digest is known, and a page file of many GiB that was
 * left out before costs neither reading nor hashing.
 */
function digestZeros(
  stretch: Stretch,
  { buffers }: StretchContext,
  { blocks, span }: Window,
  { states, digests }: Findings,
): void {
  const { known, unknown, extent, blockSize } = stretch;
  const former = known && Buffer.from(known.buffer, known.byteOffset, known.length);
  const end = extentEnd(extent);
  let looked = false;
  for (let block = blocks.first; block < blocks.end; block += 1) {
    if (states[block] !== COPIED) continue;
    const at = block * DIGEST_LENGTH;
    const digest = digestOfZeros(Math.min(blockSize, end - extent.offset - block * blockSize));
    digests.set(digest, at);
    if (former !== undefined && former.compare(digest, 0, DIGEST_LENGTH, at, at + DIGEST_LENGTH) === 0) continue;
    const undecided = unknown !== 'write' && (former === undefined || isUnknown(former, at));
    states[block] = undecided ? UNKNOWN : BLANK;
    looked ||= undecided;
  }
  if (looked) buffers.source.fill(0, 0, span.length); // what the target is compared with
}

/** Settles the blocks of which nothing is known: is on the target what the source buffer holds? */
async function compareUnknown(
  stretch: Stretch,
  { target, buffers, tally }: StretchContext,
  { blocks, span, used }: Window,
  states: Uint8Array,
): Promise<void> {
  if (stretch.unknown === 'write' && !stretch.rescue) return;
  const demanded = stretch.wiped.length === 0 ? used : normalise([...used, ...stretch.wiped]);
  for (const run of runsOf(states, UNKNOWN, blocks)) {
    const { offset, length } = runExtent(stretch, run);
    await target.read(buffers.target.subarray(offset - span.offset, offset - span.offset + length), offset);
    tally.add('targetRead', length);
    if (stretch.unknown === 'match') {
      for (const gap of gaps(demanded, { offset, length })) {
        buffers.target.fill(0, gap.offset - span.offset, extentEnd(gap) - span.offset);
      }
    }
    for (let block = run.first; block < run.end; block += 1) {
      const wanted = contentOf(buffers.source, stretch, block, span);
      const held = contentOf(buffers.target, stretch, block, span);
      states[block] = wanted.equals(held) ? COPIED : isZero(wanted) ? BLANK : DIFFERENT;
    }
  }
}

function contentOf(buffer: Buffer, stretch: Stretch, block: number, span: Extent): Buffer {
  const { offset, length } = runExtent(stretch, { first: block, end: block + 1 });
  return buffer.subarray(offset - span.offset, offset - span.offset + length);
}

/** Writes blocks, neighbours together; runs of zeros are zeroed, which many media do without moving bytes. */
async function writeBlocks(
  stretch: Stretch,
  { target, buffers, tally }: StretchContext,
  { blocks, span }: Window,
  states: Uint8Array,
): Promise<void> {
  for (const run of runsOf(states, DIFFERENT, blocks)) {
    const { offset, length } = runExtent(stretch, run);
    await target.write(buffers.source.subarray(offset - span.offset, offset - span.offset + length), offset);
    tally.add('written', length);
  }
  for (const run of runsOf(states, BLANK, blocks)) {
    const extent = runExtent(stretch, run);
    await target.zero(extent);
    tally.add('zeroed', extent.length);
  }
}

function account(stretch: Stretch, tally: Tally, { used }: Window, differing: readonly Run[]): void {
  const total = lengthOf(used);
  let changed = 0;
  for (const run of differing) {
    const extent = runExtent(stretch, run);
    changed += lengthOf(used.flatMap((each) => intersect(each, extent) ?? []));
  }
  tally.add('done', total);
  if (changed < total) tally.add('skipped', total - changed);
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
  const { known } = stretch;
  const former = known && Buffer.from(known.buffer, known.byteOffset, known.length);
  for (let block = states.indexOf(FREE); block !== -1; block = states.indexOf(FREE, block + 1)) {
    const wasCopied = former !== undefined && !isUnknown(former, block * DIGEST_LENGTH);
    if (stretch.discardFree || wasCopied) states[block] = FREED;
  }
  const freed = runsOf(states, FREED, { first: 0, end: states.length });
  if (freed.length === 0) return;
  await permit();
  for (const run of freed) {
    const extent = runExtent(stretch, run);
    await target.discard(extent);
    tally.add('discarded', extent.length);
  }
}
