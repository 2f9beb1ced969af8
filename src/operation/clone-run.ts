// The writing half of a clone: begin, copy, commit, verify.
// Invariant: the target is armed before its first change and disarmed after its last one was flushed and checked.

import { interrupted, interruptedUntouched, sourceChanged, sourceChangedEarly } from '../base/errors/run.js';
import { targetChanged } from '../base/errors/safety.js';
import { ToolError } from '../base/tool-error.js';
import type { Bytes } from '../base/units.js';
import { inhibitSleep } from '../device/inhibit.js';
import { differs, disarm, fillHeld, type PlacedVolume, type Staged, stageHeld } from '../engine/commit.js';
import { copy } from '../engine/copy.js';
import { type Executor, inlineExecutor } from '../engine/executor.js';
import { createLedger } from '../engine/ledger.js';
import { createTally, type Tally } from '../engine/tally.js';
import type { VolumeCopy } from '../engine/volume-copy.js';
import type { TargetEnd } from '../location/ends.js';
import { excludedBytes, type PlannedVolume } from '../plan/clone-plan.js';
import { inspectDisk, inspectSingle, type VolumeReport } from '../plan/inspect.js';
import { equalIds } from '../reshape/identity/equal-ids.js';
import type { References } from '../reshape/identity/references.js';
import { targetFolder } from '../state/lineages.js';
import { lockTarget } from '../state/lock.js';
import { ChangeCollector } from './changes.js';
import type { CloneOptions, CloneRunResult, PreparedClone } from './clone-types.js';
import { buildVolumes } from './clone-volumes.js';
import { type Detection, detectChanges } from './detection.js';
import {
  changesOf,
  gatherEvidence,
  heldWitnesses,
  lastWritten,
  leaveWitnesses,
  readSourceState,
  type SourceState,
  witnessPlaces,
} from './evidence.js';
import { type Counted, eachOf, reportProgress, sumOf } from './progress.js';
import { readBackSample, verifyAgainstMaps } from './read-back.js';
import { Rescue } from './rescue.js';
import { beginSession, refuseChangedIdentity, type Session } from './session.js';
import { needsView, viewLayout } from './views.js';

/** Brings the target up to date. Throws ToolError; the next run goes on from wherever it ended. */
export async function runClone(
  planned: PreparedClone,
  target: TargetEnd,
  options: CloneOptions,
): Promise<CloneRunResult> {
  const folder = targetFolder(target.identity.key);
  const unlock = lockTarget(folder, target.place.name);
  const letSleep = inhibitSleep(`cloning ${planned.source.place.name} to ${target.place.name}`);
  const inline = inlineExecutor();
  try {
    const before = await readSourceState(planned);
    // While somebody thought about the plan, say: allocation, table and files left out are what they were then.
    if (before.written !== planned.sourceWritten) throw sourceChangedEarly(planned.source.place.name);
    const { report, signal } = options;
    const viewed = await viewLayout({ ...planned, target, kept: keptVolumes(planned, before), report, signal });
    try {
      const prepared = { ...planned, layout: viewed.layout };
      return await runSession(folder, { prepared, before, ...viewed, target, options, inline });
    } finally {
      await viewed.close();
    }
  } finally {
    await inline.close();
    letSleep();
    unlock();
  }
}

async function runSession(folder: string, run: Omit<Run, 'session' | 'rescue' | 'start'>): Promise<CloneRunResult> {
  const { prepared, target } = run;
  const { source, trust, layout, armed, arrangement } = prepared;
  const session = await beginSession({
    folder,
    source,
    target,
    trust,
    volumes: layout.volumes.map(({ name, targetExtent: { offset, length } }) => ({ name, offset, size: length })),
    armed,
    contentId: layout.contentId,
    arrangement,
  });
  const rescue = prepared.rescue && new Rescue(prepared, session);
  try {
    return await bringUpToDate({ ...run, session, rescue, start: performance.now() });
  } catch (error) {
    await rescue?.interrupted();
    if (error instanceof ToolError && error.family === 'interrupted' && !session.armed) throw interruptedUntouched();
    throw error;
  } finally {
    await session.close();
  }
}

interface Run {
  /** What is copied: views in place of volumes that change on their way. */
  readonly prepared: PreparedClone;
  readonly before: SourceState;
  /** What is worth knowing about the views. */
  readonly notes: readonly string[];
  readonly references: References | undefined;
  readonly target: TargetEnd;
  readonly options: CloneOptions;
  readonly session: Session;
  readonly inline: Executor;
  readonly rescue: Rescue | undefined;
  /** Of the clock that `secondsSince` asks. */
  readonly start: number;
}

async function bringUpToDate(context: Run): Promise<CloneRunResult> {
  const { prepared, before, target, session, rescue } = context;
  // An earlier run may have failed to make its writes durable; what the page cache still shows of them proves nothing.
  target.medium.dropCache();
  refuseWrittenTarget(prepared, target);
  await rescue?.keepPieces();
  const detection = await detectChanges(prepared, before, session);
  try {
    return await copyAndCommit(context, detection);
  } finally {
    await detection.settled(); // nothing reads the source when it is closed
  }
}

async function copyAndCommit(context: Run, detection: Detection): Promise<CloneRunResult> {
  const { prepared, before, target, options, session, rescue, start } = context;
  const { report } = options;
  const placed = buildVolumes(prepared, target, { session, proofs: detection.proofs });
  session.useVolumes(placed);
  rescue?.useVolumes(placed);

  report({ event: 'phase', phase: 'copy', message: 'copying' });
  const commit: Counted = { name: 'commit', total: 0, tally: createTally() };
  const counted = [...countedOf(prepared, placed), commit];
  const changes = options.showChanges ? new ChangeCollector() : undefined;
  const staged = await copyAndStage(context, placed, { counted, changes });
  const places = await witnessPlaces(prepared, placed);
  let witnesses = heldWitnesses(prepared, places);
  const catalogues = await detection.finish();
  if (!session.armed && (!witnesses || (await differs(target.medium, staged.pieces)))) await session.arm();

  const after = await readSourceState(prepared);
  const changed = changesOf(prepared, before, after);
  if (changed.length > 0) throw sourceChanged(changed, { armed: session.armed });

  if (session.armed) {
    report({ event: 'phase', phase: 'commit', message: 'writing the partition table and boot code' });
    witnesses = await leaveWitnesses(places, placed, commit.tally);
    await complete(context, { placed, staged, tally: commit.tally });
  }
  const { done, written } = sumOf(counted);
  const evidence = await gatherEvidence(prepared, target, {
    sourceTokens: after.tokens,
    witnesses: witnesses ?? [],
    catalogues,
  });
  session.commit(evidence, { seconds: secondsSince(start), done, written }, rescue?.rescued());
  const verified = options.verify
    ? await verifyAgainstMaps(placed, target, { ...context, workers: prepared.workers })
    : undefined;
  const busy = session.armed && prepared.scope === 'disk' ? target.medium.rereadTable() : undefined;
  const warnings = [...context.notes, ...detection.notes];
  if (busy !== undefined) warnings.push(`the kernel still shows the old partitions of ${target.place.name} (${busy})`);
  warnings.push(...(await sharedIds(prepared, target)));
  const unreadable = await rescue?.finish(warnings);
  return {
    seconds: secondsSince(start),
    amounts: sumOf(counted),
    volumes: eachOf(counted.slice(0, prepared.layout.volumes.length)),
    changes: await changes?.ofAll(prepared.layout.volumes, placed),
    changed: session.armed,
    excludedBytes: excludedBytes(prepared.layout),
    verified,
    warnings,
    references: context.references,
    boot: undefined,
    unreadable,
  };
}

/** All data is durable before anything makes it count. */
async function complete(
  { prepared, target }: Run,
  { placed, staged, tally }: { placed: readonly PlacedVolume[]; staged: Staged; tally: Tally },
): Promise<void> {
  await target.medium.flush();
  await readBackSample(placed, target);
  await disarm(target.medium, { armed: prepared.armed, pieces: staged.pieces, tally });
  await fillHeld(staged);
}

/** Of a twin: what still makes it look like its source, by the IDs that both disks show now. */
async function sharedIds(
  { twin, sourceReport }: PreparedClone,
  { medium, identity, place }: TargetEnd,
): Promise<string[]> {
  if (!twin) return [];
  const inspectTarget =
    place.scope === 'disk' ? inspectDisk(medium, identity) : inspectSingle(medium, identity, place.name);
  return equalIds(sourceReport, await inspectTarget).map(
    ({ what, id, first }) =>
      `source and target still share an ID (${first || what}: ${id}): do not attach both to one computer`,
  );
}

/**
 * A volume whose view would be made from what the source held last time is on the target already. What is left out of it
 * may follow from another volume, whose fstab names its swap file.
 */
function keptVolumes({ source, layout, trust, arrangement, twin }: PreparedClone, before: SourceState): boolean[] {
  // A token tells one state of a medium from another, not one medium from a raw copy of it that was changed since.
  const isSameSource = trust.lineage?.source.key === source.identity.key;
  const last = trust.unfinished || !isSameSource ? undefined : trust.lineage?.arrangement;
  const isSameWish =
    arrangement !== undefined && last?.wish === arrangement.wish && last.leftOut === arrangement.leftOut;
  return layout.volumes.map((planned, index) => {
    const token = trust.volumes[index]?.record?.sourceToken;
    const isSame = token !== undefined && token === before.tokens[index] && showsEveryChange(planned.report);
    return isSameWish && isSame && needsView(planned, twin);
  });
}

/** Not so FAT and exFAT: a file that another one of its size and time replaced may leave all metadata as they were. */
function showsEveryChange({ filesystem }: VolumeReport): boolean {
  return filesystem !== undefined && !/^(fat\d+|exfat)$/.test(filesystem.kind);
}

async function copyAndStage(
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

/** What is known of the target was asked before the plan was shown; files can be written in spite of our lock. */
function refuseWrittenTarget({ targetWritten }: PreparedClone, { place, identity }: TargetEnd): void {
  if (targetWritten === undefined || lastWritten(place.path) === targetWritten) return;
  refuseChangedIdentity({ place, identity });
  throw targetChanged(place.name);
}

async function copyVolumes(
  { prepared, target, options, session, inline, rescue }: Run,
  all: readonly PlacedVolume[],
  changes: ChangeCollector | undefined,
): Promise<void> {
  if (options.signal.aborted) throw interrupted();
  const placed = all.filter((_, index) => !prepared.layout.volumes[index]?.kept);
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

function countedOf({ layout }: PreparedClone, placed: readonly PlacedVolume[]): Counted[] {
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

function secondsSince(start: number): number {
  return (performance.now() - start) / 1000;
}
