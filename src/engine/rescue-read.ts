// How a window is read of a source that may be failing: as a whole first, later halved down to its sectors.
// Invariant: a window is left for later only in the first pass; every later one says of each used byte whether it came.

import { interrupted } from '../base/errors/run.js';
import { type Extent, gaps, intersect, inUnits, normalise } from '../map/extent.js';
import { isUnreadable, readHalving } from '../source/around.js';
import { readRun, readUsed, type StretchContext, type Window, zeroGaps } from './read.js';
import type { RescueOrder } from './stretch.js';

/** Used bytes that did not come; zeros in the buffer. */
export interface Missing extends Extent {
  /** False: time was up. */
  readonly tried: boolean;
  /** False: it was read in an earlier pass, and the target holds it; it only failed to come again. */
  readonly bad: boolean;
}

/** Fills the source buffer. Returns what did not come, ascending; undefined if the window is to be postponed. */
export async function readRescued(
  order: RescueOrder,
  context: StretchContext,
  window: Window,
): Promise<Missing[] | undefined> {
  if (order.pass === 'postpone') return (await isReadable(() => readUsed(context, window))) ? [] : undefined;
  const missing: Missing[] = [];
  for (const extent of window.used) {
    if (order.pass === 'split') missing.push(...(await readPart(extent, { order, context, window, bad: true })));
    else missing.push(...(await readAgain(extent, { order, context, window })));
  }
  for (const { offset, length } of missing) {
    context.buffers.source.fill(0, offset - window.span.offset, offset - window.span.offset + length);
  }
  zeroGaps(context, window);
  return missing;
}

async function isReadable(read: () => Promise<void>): Promise<boolean> {
  try {
    await read();
    return true;
  } catch (error) {
    if (isUnreadable(error)) return false;
    throw error;
  }
}

interface Reading {
  readonly order: RescueOrder;
  readonly context: StretchContext;
  readonly window: Window;
}

async function readPart(
  extent: Extent,
  { order, context, window, bad, unit = order.unit }: Reading & { bad: boolean; unit?: number },
): Promise<Missing[]> {
  const untried: Extent[] = [];
  const holes = await readHalving(extent, unit, async (part) => {
    if (context.tally.stopped) throw interrupted();
    if (Date.now() >= order.until) untried.push(part);
    else await readRun(context, part, window.span);
  });
  return [
    ...holes.map((hole) => ({ ...hole, tried: true, bad })),
    // What is tried again was tried before.
    ...normalise(untried).map((part) => ({ ...part, tried: order.pass === 'again', bad })),
  ].sort((a, b) => a.offset - b.offset);
}

/** What came before is asked for in one piece; what was bad, sector by sector. */
async function readAgain(extent: Extent, reading: Reading): Promise<Missing[]> {
  const { order } = reading;
  const bad = order.bad.flatMap((each) => intersect(each, extent) ?? []);
  const missing: Missing[] = [];
  for (const part of gaps(bad, extent)) {
    missing.push(...(await readPart(part, { ...reading, bad: false, unit: Number.MAX_SAFE_INTEGER })));
  }
  for (const part of bad) {
    for (const sector of inUnits(part, order.unit)) {
      missing.push(...(await readPart(sector, { ...reading, bad: true })));
    }
  }
  return missing.sort((a, b) => a.offset - b.offset);
}
