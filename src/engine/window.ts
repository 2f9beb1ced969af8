// One stretch, window by window: read what is used, digest it, and write what the target does not hold yet.
// This is the only place where data moves. It runs in a worker, or inline where a source cannot cross threads.
// Invariant: nothing is written before `permit` has resolved.

import { DIGEST_LENGTH, digestOf, digestOfZeros, isUnknown } from '../base/digest.js';
import { interrupted } from '../base/errors/run.js';
import { ToolError } from '../base/tool-error.js';
import { type Bytes, KiB, MiB } from '../base/units.js';
import { isZero } from '../base/zeros.js';
import { type Extent, extentEnd, gaps, intersect, normalise } from '../map/extent.js';
import { allocateAligned } from '../native/aligned.js';
import type { Source, Target } from '../source/types.js';
import { COPIED, classify, FREE, type Run, runExtent, runsOf, type Stretch, type StretchResult } from './stretch.js';
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

/** What a copied block turned out to be; one that stays COPIED is on the target already. */
const DIFFERENT = 3;
/** Different, and nothing but zeros. */
const BLANK = 4;
/** Nothing is known of it: the target must be looked at. */
const UNKNOWN = 5;
/** Free, and to be discarded. */
const FREED = 6;

/** Copies (or checks) one stretch. Throws ToolError of the medium, or `interrupted.stopped`. */
export async function processStretch(stretch: Stretch, context: StretchContext): Promise<StretchResult> {
  const states = classify(stretch);
  const digests = Buffer.alloc(states.length * DIGEST_LENGTH);
  const blocksPerWindow = Math.max(1, Math.floor(WINDOW_LENGTH / stretch.blockSize));
  for (let first = 0; first < states.length; first += blocksPerWindow) {
    if (context.tally.stopped) throw interrupted();
    const window = windowOf(stretch, states, { first, end: Math.min(first + blocksPerWindow, states.length) });
    if (window) await processWindow(stretch, context, window, { states, digests });
  }
  const all = { first: 0, end: states.length };
  if (stretch.sink === 'write') await discardFreed(stretch, context, states);
  return { digests, differing: differingRuns(states, all) };
}

/** What is known of each block of a stretch so far. */
interface Findings {
  readonly states: Uint8Array;
  readonly digests: Buffer;
}

/** Blocks that are handled together, and the bytes from the first to the last copied one: what the buffers hold. */
interface Window {
  readonly blocks: Run;
  readonly span: Extent;
  /** Used bytes of copied blocks. */
  readonly used: readonly Extent[];
}

/** Undefined if no block of `among` is copied. */
function windowOf(stretch: Stretch, states: Uint8Array, among: Run): Window | undefined {
  const runs = runsOf(states, COPIED, among);
  const blocks = { first: runs[0]?.first ?? 0, end: runs.at(-1)?.end ?? 0 };
  if (runs.length === 0) return undefined;
  const span = runExtent(stretch, blocks);
  const used = stretch.used.flatMap((extent) => intersect(extent, span) ?? []);
  if (stretch.held.length === 0 || runs.length === 1) return { blocks, span, used };
  const copied = runs.map((run) => runExtent(stretch, run));
  return { blocks, span, used: used.flatMap((extent) => copied.flatMap((run) => intersect(extent, run) ?? [])) };
}

async function processWindow(
  stretch: Stretch,
  context: StretchContext,
  window: Window,
  findings: Findings,
): Promise<void> {
  const { states } = findings;
  if (window.used.length === 0) digestZeros(stretch, context, window, findings);
  else {
    await readUsed(context, window);
    digestBlocks(stretch, window, { ...findings, content: context.buffers.source });
  }
  await compareUnknown(stretch, context, window, states);
  const differing = differingRuns(states, window.blocks);
  if (differing.length > 0 && stretch.sink === 'write') {
    await context.permit();
    await writeBlocks(stretch, context, window, states);
  }
  account(stretch, context.tally, window, differing);
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

/** Settles the blocks of which nothing is known: is on the target what the source buffer holds? */
async function compareUnknown(
  stretch: Stretch,
  { target, buffers, tally }: StretchContext,
  { blocks, span, used }: Window,
  states: Uint8Array,
): Promise<void> {
  if (stretch.unknown === 'write') return;
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
