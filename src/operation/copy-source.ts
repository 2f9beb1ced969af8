// Brings the target's volumes up to date with a source that stays as it is while it is read.
// Invariant: nothing is committed here; what is returned was read of a source that did not change meanwhile.

import { interrupted, sourceChanged } from '../base/errors/run.js';
import type { Bytes } from '../base/units.js';
import { differs, type PlacedVolume, type Staged, stageHeld } from '../engine/commit.js';
import { copy } from '../engine/copy.js';
import { createLedger } from '../engine/ledger.js';
import type { VolumeCopy } from '../engine/volume-copy.js';
import type { PlannedVolume } from '../plan/clone-plan.js';
import { ChangeCollector } from './changes.js';
import type { PreparedClone } from './clone-types.js';
import { buildVolumes } from './clone-volumes.js';
import { type Detection, detectChanges, type FormerState, formersOf } from './detection.js';
import { changesOf, heldWitnesses, readSourceState, type SourceState, witnessPlaces } from './evidence.js';
import { type Counted, reportProgress } from './progress.js';
import type { Copied, Run } from './run.js';

/** Throws ToolError: of a medium, `interrupted`, or because the source changed. */
export async function copySource(run: Run): Promise<Copied> {
  const { prepared, session, before } = run;
  const formers = formersOf(session);
  if (!isAllUntouched(formers, before)) prepared.workers?.start(); // they start while records are read
  const startedAt = Date.now();
  const detection = await detectChanges({
    prepared,
    session,
    formers,
    tokens: before.tokens,
    startedAt,
  });
  try {
    return await copyDetected(run, detection);
  } finally {
    await detection.settled(); // nothing reads the source when it is closed
  }
}

function isAllUntouched(formers: readonly FormerState[], { tokens }: SourceState): boolean {
  return formers.every(({ token }, index) => token !== undefined && token === tokens[index]);
}

async function copyDetected(run: Run, detection: Detection): Promise<Copied> {
  const { prepared, before, target, options, session, rescue } = run;
  const placed = buildVolumes(prepared, target, { session, detection });
  session.useVolumes(placed);
  rescue?.useVolumes(placed);

  options.report({ event: 'phase', phase: 'copy', message: 'copying' });
  const counted = countedOf(prepared, placed);
  const changes = options.showChanges ? new ChangeCollector() : undefined;
  const staged = await copyAndStage(run, placed, { counted, changes });
  const places = await witnessPlaces(prepared, placed);
  const isComplete = heldWitnesses(prepared, places) !== undefined;
  const catalogues = await detection.finish();
  if (!session.armed && (!isComplete || (await differs(target.medium, staged.pieces)))) await session.arm();

  const after = await readSourceState(prepared);
  const changed = changesOf(prepared, before, after);
  if (changed.length > 0) throw sourceChanged(changed, { armed: session.armed });
  const { notes } = detection;
  return { prepared, placed, staged, places, sourceTokens: after.tokens, catalogues, counted, changes, notes };
}

export async function copyAndStage(
  context: Run,
  placed: readonly PlacedVolume[],
  { counted, changes }: { counted: readonly Counted[]; changes: ChangeCollector | undefined },
): Promise<Staged> {
  const stop = reportProgress(counted, context.options.report);
  try {
    // The marker will cover what a failing source may not give a second time, and what of the target is its own source.
    const isLost = context.rescue || context.prepared.layout.volumes.some(({ kept }) => kept);
    const early = isLost && (await stageHeld(placed, context.inline));
    await copyVolumes(context, placed, changes);
    return early || (await stageHeld(placed, context.inline));
  } finally {
    stop();
  }
}

export async function copyVolumes(
  { prepared, target, options, session, inline, rescue }: Run,
  all: readonly PlacedVolume[],
  changes: ChangeCollector | undefined,
): Promise<void> {
  if (options.signal.aborted) throw interrupted();
  const placed = all.filter(({ volume }) => !volume.isUntouched);
  countUntouched(all, prepared);
  // A first copy writes everything: arming at once spares every worker the question.
  if (placed.some(({ volume }) => volume.unknown === 'write' && volume.discardFree)) await session.arm();
  const ledger = createLedger({ target: target.medium, arm: () => session.arm() });
  await copy(
    placed.map(({ volume }) => volume),
    {
      sink: 'write',
      inline,
      workers: prepared.workers,
      ledger,
      signal: options.signal,
      rescue: rescue?.passes(options.report),
      ...(changes ? { onDiffering: (volume, offsets) => changes.note(volume, offsets) } : {}),
    },
  );
}

/** What stays as it is counts as dealt with; nothing was promised of what is kept. */
function countUntouched(placed: readonly PlacedVolume[], { layout }: PreparedClone): void {
  for (const [index, { volume }] of placed.entries()) {
    const planned = layout.volumes[index];
    if (!volume.isUntouched || !planned || planned.kept) continue;
    volume.tally.add('done', planned.used);
    volume.tally.add('skipped', planned.used);
  }
}

export function countedOf({ layout }: PreparedClone, placed: readonly PlacedVolume[]): Counted[] {
  return placed.map(({ volume }, index) => ({
    name: volume.name,
    total: totalOf(volume, layout.volumes[index]),
    tally: volume.tally,
  }));
}

/** Bytes that will be dealt with: none of a volume that is kept, nor of unallocated space. */
function totalOf({ map, discardFree }: VolumeCopy, planned: PlannedVolume | undefined): Bytes {
  if (planned) return planned.kept ? 0 : planned.used;
  return discardFree ? 0 : map.grid.size;
}
