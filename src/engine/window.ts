// One stretch, window by window: read what is used, digest it, and write what the target does not hold yet.
// This is the only place where data moves. It runs in a worker, or inline where a source cannot cross threads.
// Invariant: nothing is written before `permit` has resolved.

import { DIGEST_LENGTH, digestOf, isUnknown } from '../base/digest.js';
import { interrupted } from '../base/errors/run.js';
import { ToolError } from '../base/tool-error.js';
import { type Bytes, KiB, MiB } from '../base/units.js';
import { type Extent, extentEnd, gaps, intersect } from '../map/extent.js';
import { allocateAligned } from '../native/aligned.js';
import type { Source, Target } from '../source/types.js';
import { blockExtent, blocksIn, classify, COPIED, digestSlot, FREE, runsOf, type Stretch, type StretchResult } from './stretch.js';
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
    if (blocks.length > 0) differing.push(...(await processWindow(stretch, context, { blocks, digests })));
  }
  if (stretch.sink === 'write') await discardFreed(stretch, context, states);
  return { digests, differing };
}

interface Window {
  /** Copied blocks, ascending. */
  readonly blocks: readonly number[];
  /** Where the stretch's digests are collected. */
  readonly digests: Buffer;
}

async function processWindow(stretch: Stretch, context: StretchContext, { blocks, digests }: Window): Promise<number[]> {
  const span = spanOf(stretch, blocks);
  const used = stretch.used.flatMap((extent) => intersect(extent, span) ?? []);
  await readUsed(context, { span, used });
  const differing: number[] = [];
  const unknown: number[] = [];
  for (const block of blocks) {
    const digest = digestOf(contentOf(context.buffers.source, stretch, block, span));
    digest.copy(digests, block * DIGEST_LENGTH);
    if (stretch.known === undefined || isUnknown(digestSlot(stretch.known, block), 0)) unknown.push(block);
    else if (!digest.equals(digestSlot(stretch.known, block))) differing.push(block);
  }
  if (stretch.unknown === 'write') differing.push(...unknown);
  else differing.push(...(await differFromTarget(stretch, context, { blocks: unknown, span, used })));
  differing.sort((a, b) => a - b);
  if (differing.length > 0 && stretch.sink === 'write') {
    await context.permit();
    for (const run of runsOf(differing)) await writeRun(stretch, context, { ...run, span });
  }
  account(stretch, context.tally, { used, differing });
  return differing;
}

/** From the first to the last of the blocks: what the buffers hold, from their first byte on. */
function spanOf(stretch: Stretch, blocks: readonly number[]): Extent {
  const offset = blockExtent(stretch, blocks[0] ?? 0).offset;
  return { offset, length: extentEnd(blockExtent(stretch, blocks.at(-1) ?? 0)) - offset };
}

function contentOf(buffer: Buffer, stretch: Stretch, block: number, span: Extent): Buffer {
  const { offset, length } = blockExtent(stretch, block);
  return buffer.subarray(offset - span.offset, offset - span.offset + length);
}

/** Fills the source buffer: used bytes as they are, everything else zeros. */
async function readUsed(context: StretchContext, { span, used }: { span: Extent; used: readonly Extent[] }): Promise<void> {
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
  for await (const part of source.extents(run)) {
    const into = buffers.source.subarray(part.offset - span.offset, extentEnd(part) - span.offset);
    if (part.kind === 'zero') {
      into.fill(0);
    } else {
      await source.read(into, part.offset);
      tally.add('sourceRead', part.length);
    }
  }
}

/** Those of `blocks` whose content on the target is not what the source buffer holds. */
async function differFromTarget(
  stretch: Stretch,
  { target, buffers, tally }: StretchContext,
  { blocks, span, used }: { blocks: readonly number[]; span: Extent; used: readonly Extent[] },
): Promise<number[]> {
  const differing: number[] = [];
  for (const { first, end } of runsOf(blocks)) {
    const offset = blockExtent(stretch, first).offset;
    const length = extentEnd(blockExtent(stretch, end - 1)) - offset;
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

/** Writes consecutive blocks; stretches of zeros are zeroed, which many media do without moving bytes. */
async function writeRun(
  stretch: Stretch,
  { target, buffers, tally }: StretchContext,
  { first, end, span }: { first: number; end: number; span: Extent },
): Promise<void> {
  let position = first;
  while (position < end) {
    const zero = isZero(contentOf(buffers.source, stretch, position, span));
    let stop = position + 1;
    while (stop < end && isZero(contentOf(buffers.source, stretch, stop, span)) === zero) stop += 1;
    const offset = blockExtent(stretch, position).offset;
    const length = extentEnd(blockExtent(stretch, stop - 1)) - offset;
    if (zero) {
      await target.zero({ offset, length });
      tally.add('zeroed', length);
    } else {
      await target.write(buffers.source.subarray(offset - span.offset, offset - span.offset + length), offset);
      tally.add('written', length);
    }
    position = stop;
  }
}

const ZEROS = Buffer.alloc(WINDOW_LENGTH);

function isZero(bytes: Buffer): boolean {
  // Nearly every block with data shows it in its first bytes; only then is the whole block looked at.
  if (bytes.length >= 4 && bytes.readUInt32LE(0) !== 0) return false;
  return bytes.equals(ZEROS.subarray(0, bytes.length));
}

function account(stretch: Stretch, tally: Tally, { used, differing }: { used: readonly Extent[]; differing: readonly number[] }): void {
  const total = lengthOf(used);
  const changed = lengthOf(
    [...runsOf(differing)].flatMap(({ first, end }) => {
      const offset = blockExtent(stretch, first).offset;
      const run = { offset, length: extentEnd(blockExtent(stretch, end - 1)) - offset };
      return used.flatMap((extent) => intersect(extent, run) ?? []);
    }),
  );
  tally.add('done', total);
  tally.add('skipped', total - changed);
}

function lengthOf(extents: readonly Extent[]): Bytes {
  return extents.reduce((sum, { length }) => sum + length, 0);
}

/** Free blocks: what an earlier run wrote there (its digest is known), or anything at all before a first copy. */
async function discardFreed(stretch: Stretch, { target, tally, permit }: StretchContext, states: Uint8Array): Promise<void> {
  const freed: number[] = [];
  for (let block = 0; block < blocksIn(stretch); block += 1) {
    if (states[block] !== FREE) continue;
    const wasCopied = stretch.known !== undefined && !isUnknown(digestSlot(stretch.known, block), 0);
    if (stretch.discardFree || wasCopied) freed.push(block);
  }
  if (freed.length === 0) return;
  await permit();
  for (const { first, end } of runsOf(freed)) {
    const offset = blockExtent(stretch, first).offset;
    const length = extentEnd(blockExtent(stretch, end - 1)) - offset;
    await target.discard({ offset, length });
    tally.add('discarded', length);
  }
}
