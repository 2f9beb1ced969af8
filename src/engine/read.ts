// What a window is, and how the source's bytes get into its buffer.
// Invariant: after a read the buffer holds the used bytes as they are and zeros everywhere else.

import { KiB } from '../base/units.js';
import { type Extent, extentEnd, gaps, intersect } from '../map/extent.js';
import { isUnreadable } from '../source/around.js';
import type { Source, Target } from '../source/types.js';
import type { Run } from './stretch.js';
import type { Tally } from './tally.js';

/** Free gaps up to this length between used bytes are read along: cheaper than another request to the device. */
const READ_ALONG = 16 * KiB;

/** A shorter run is read sooner than a file system tells where the holes of a file are. */
const WORTH_ASKING = 256 * KiB;

export interface Buffers {
  readonly source: Buffer;
  readonly target: Buffer;
}

export interface StretchContext {
  readonly source: Source;
  readonly target: Target;
  readonly buffers: Buffers;
  readonly tally: Tally;
  /** Resolves when the target is armed and the stretch's digests are void on the disk. */
  readonly permit: () => Promise<void>;
}

/** What is known of each block of a stretch so far. */
export interface Findings {
  readonly states: Uint8Array;
  readonly digests: Buffer;
}

/** Blocks that are handled together, and the bytes from the first to the last copied one: what the buffers hold. */
export interface Window {
  readonly blocks: Run;
  readonly span: Extent;
  /** Used bytes of copied blocks. */
  readonly used: readonly Extent[];
}

/** Fills the source buffer: used bytes as they are, everything else zeros. */
export async function readUsed(context: StretchContext, { span, used }: Window): Promise<void> {
  for (const run of readRuns(used)) {
    try {
      await readRun(context, run, span);
    } catch (error) {
      // A bad sector in a free gap must not fail a copy that does not need it.
      if (!isUnreadable(error)) throw error;
      const parts = used.flatMap((extent) => intersect(extent, run) ?? []);
      if (parts.length === 1) throw error; // nothing was read along
      for (const part of parts) await readRun(context, part, span);
    }
  }
  zeroGaps(context, { span, used });
}

/** Free bytes between the used ones count as zeros, whatever was read along. */
export function zeroGaps({ buffers }: StretchContext, { span, used }: Pick<Window, 'span' | 'used'>): void {
  for (const gap of gaps(used, span)) buffers.source.fill(0, gap.offset - span.offset, extentEnd(gap) - span.offset);
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

export async function readRun({ source, buffers, tally }: StretchContext, run: Extent, span: Extent): Promise<void> {
  const read = async ({ offset, length }: Extent): Promise<void> => {
    await source.read(buffers.source.subarray(offset - span.offset, offset - span.offset + length), offset);
    tally.add('sourceRead', length);
  };
  if (!source.extents || run.length < WORTH_ASKING) return read(run);
  for await (const part of source.extents(run)) {
    if (part.kind === 'data') await read(part);
    else buffers.source.fill(0, part.offset - span.offset, extentEnd(part) - span.offset);
  }
}
