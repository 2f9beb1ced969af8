// What becomes of blocks with unreadable sectors.
// Invariant: a block whose content on the target is known from an earlier run is never overwritten by zeros.

import { DIGEST_LENGTH, digestOf, isHoled, isUnknown, markHoled } from '../base/digest.js';
import { isZero } from '../base/zeros.js';
import { type Extent, intersect, inUnits } from '../map/extent.js';
import type { Findings, StretchContext, Window } from './read.js';
import type { Missing } from './rescue-read.js';
import {
  FREE,
  HELD,
  type Hole,
  KEPT,
  POSTPONED,
  type RescueOrder,
  runExtent,
  type Stretch,
  UNKNOWN,
} from './stretch.js';

interface Settling {
  readonly stretch: Stretch;
  readonly order: RescueOrder;
  readonly context: StretchContext;
  readonly window: Window;
  readonly findings: Findings;
}

/** Leaves the window's blocks for later, with the digests they have. */
export function postpone({ known }: Stretch, { blocks }: Window, { states, digests }: Findings): readonly Hole[] {
  for (let block = blocks.first; block < blocks.end; block += 1) {
    if (states[block] === FREE || states[block] === HELD) continue;
    states[block] = POSTPONED;
    const at = block * DIGEST_LENGTH;
    if (known) digests.set(known.subarray(at, at + DIGEST_LENGTH), at);
  }
  return [];
}

/** Decides for each block that something is missing of, after all blocks were digested. */
export async function settleHoles(missing: readonly Missing[], settling: Settling): Promise<Hole[]> {
  const { stretch, window, findings } = settling;
  const holes: Hole[] = [];
  if (missing.length === 0) return holes;
  for (let block = window.blocks.first; block < window.blocks.end; block += 1) {
    if (findings.states[block] === FREE || findings.states[block] === HELD) continue;
    const extent = runExtent(stretch, { first: block, end: block + 1 });
    const parts = missing.flatMap((each) => {
      const part = intersect(each, extent);
      return part ? [{ ...each, ...part }] : [];
    });
    if (parts.length > 0) holes.push(...(await settleBlock(block, parts, settling)));
  }
  return holes;
}

async function settleBlock(block: number, parts: readonly Missing[], settling: Settling): Promise<Hole[]> {
  const { stretch, order, findings } = settling;
  const at = block * DIGEST_LENGTH;
  const former = stretch.known && Buffer.from(stretch.known.subarray(at, at + DIGEST_LENGTH));
  const isNamed = former !== undefined && !isUnknown(former, 0);
  // What an earlier pass of this run wrote is ours, whatever was there before.
  const partly = isNamed && isHoled(former, 0) && (order.keep !== 'nothing' || order.pass === 'again');
  if (partly) return overlay(block, parts, settling);
  if (isNamed && !isHoled(former, 0) && order.keep !== 'nothing') {
    findings.digests.set(former, at);
    return keep(block, parts, settling);
  }
  if (!isNamed && order.keep === 'held') {
    const held = await readHeld(block, settling);
    // Zeros there are no loss, and then the readable rest of the block may be of today.
    if (parts.some((part) => !isZero(held(part)))) {
      findings.digests.set(digestOf(held(runExtent(stretch, { first: block, end: block + 1 }))), at);
      return keep(block, parts, settling);
    }
  }
  markHoled(findings.digests, at);
  findings.states[block] = UNKNOWN; // compared, so that a second run over the same holes writes nothing
  return reported(parts, () => 'zeros');
}

/** The block stays as it is, wholly: half of two runs would be neither. */
function keep(block: number, parts: readonly Missing[], { stretch, order, findings }: Settling): Hole[] {
  findings.states[block] = KEPT;
  if (order.pass !== 'again') return reported(parts, () => 'kept');
  // A sector that came this time did not get to the target: it still counts as bad.
  const extent = runExtent(stretch, { first: block, end: block + 1 });
  const bad = order.bad.flatMap((each) => intersect(each, extent) ?? []);
  return bad.map((part) => ({ ...part, fate: 'kept', tried: true }));
}

/** The block was written with holes before: what does not come now is what the target holds, read then or zeros. */
async function overlay(block: number, parts: readonly Missing[], settling: Settling): Promise<Hole[]> {
  const { context, window, findings } = settling;
  const held = await readHeld(block, settling);
  for (const part of parts) held(part).copy(context.buffers.source, part.offset - window.span.offset);
  markHoled(findings.digests, block * DIGEST_LENGTH);
  findings.states[block] = UNKNOWN;
  const sectors = parts.flatMap((part) => inUnits(part, settling.order.unit).map((sector) => ({ ...part, ...sector })));
  return reported(sectors, (sector) => (isZero(held(sector)) ? 'zeros' : 'kept'));
}

async function readHeld(
  block: number,
  { stretch, context: { target, buffers, tally }, window: { span } }: Settling,
): Promise<(part: Extent) => Buffer> {
  const extent = runExtent(stretch, { first: block, end: block + 1 });
  const place = ({ offset, length }: Extent): Buffer =>
    buffers.target.subarray(offset - span.offset, offset - span.offset + length);
  await target.read(place(extent), extent.offset);
  tally.add('targetRead', extent.length);
  return place;
}

function reported(parts: readonly Missing[], fateOf: (part: Extent) => Hole['fate']): Hole[] {
  return parts.flatMap(({ offset, length, tried, bad }) =>
    bad ? [{ offset, length, tried, fate: fateOf({ offset, length }) }] : [],
  );
}
