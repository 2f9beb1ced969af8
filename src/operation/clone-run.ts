// The writing half of a clone: begin, copy, commit, verify.
// Invariant: the target is armed before its first change and disarmed after its last one was flushed and checked.

import { interrupted, interruptedUntouched, sourceChanged, sourceChangedEarly } from '../base/errors/run.js';
import { targetChanged } from '../base/errors/safety.js';
import { ToolError } from '../base/tool-error.js';
import { inhibitSleep } from '../device/inhibit.js';
import { differs, disarm, fillHeld, type PlacedVolume, type Staged, stageHeld } from '../engine/commit.js';
import { copy } from '../engine/copy.js';
import { type Executor, inlineExecutor } from '../engine/executor.js';
import { createLedger } from '../engine/ledger.js';
import { createTally } from '../engine/tally.js';
import type { TargetEnd } from '../location/ends.js';
import { excludedBytes } from '../plan/clone-plan.js';
import { targetFolder } from '../state/lineages.js';
import { lockTarget } from '../state/lock.js';
import type { CloneOptions, CloneRunResult, PreparedClone } from './clone-types.js';
import { buildVolumes } from './clone-volumes.js';
import {
  changesOf,
  gatherEvidence,
  heldWitnesses,
  lastWritten,
  leaveWitnesses,
  readSourceState,
  witnessPlaces,
} from './evidence.js';
import { type Counted, reportProgress, sumOf } from './progress.js';
import { readBackSample, verifyAgainstMaps } from './read-back.js';
import { Rescue } from './rescue.js';
import { beginSession, refuseChangedIdentity, type Session } from './session.js';

/** Brings the target up to date. Throws ToolError; the next run goes on from wherever it ended. */
export async function runClone(
  prepared: PreparedClone,
  target: TargetEnd,
  options: CloneOptions,
): Promise<CloneRunResult> {
  const folder = targetFolder(target.identity.key);
  const unlock = lockTarget(folder, target.place.name);
  const letSleep = inhibitSleep(`cloning ${prepared.source.place.name} to ${target.place.name}`);
  const inline = inlineExecutor();
  try {
    const session = await beginSession({
      folder,
      source: prepared.source,
      target,
      trust: prepared.trust,
      volumes: prepared.layout.volumes.map(({ name, targetExtent: { offset, length } }) => ({
        name,
        offset,
        size: length,
      })),
      armed: prepared.armed,
      contentId: prepared.layout.contentId,
    });
    const rescue = prepared.rescue && new Rescue(prepared, session);
    try {
      return await run({ prepared, target, options, session, inline, workers: prepared.workers, rescue });
    } catch (error) {
      await rescue?.interrupted();
      if (error instanceof ToolError && error.family === 'interrupted' && !session.armed) throw interruptedUntouched();
      throw error;
    } finally {
      await session.close();
    }
  } finally {
    await inline.close();
    letSleep();
    unlock();
  }
}

interface Run {
  readonly prepared: PreparedClone;
  readonly target: TargetEnd;
  readonly options: CloneOptions;
  readonly session: Session;
  readonly inline: Executor;
  readonly workers: Executor | undefined;
  readonly rescue: Rescue | undefined;
}

async function run(context: Run): Promise<CloneRunResult> {
  const { prepared, target, options, session, rescue } = context;
  const { report } = options;
  const start = performance.now();
  // An earlier run may have failed to make its writes durable; what the page cache still shows of them proves nothing.
  target.medium.dropCache();
  refuseWrittenTarget(prepared, target);
  const before = await readSourceState(prepared);
  // While somebody thought about the plan, say: allocation, table and files left out are what they were then.
  if (before.written !== prepared.sourceWritten) throw sourceChangedEarly(prepared.source.place.name);
  await rescue?.keepPieces();
  const placed = buildVolumes(prepared, target, session);
  session.useVolumes(placed);
  rescue?.useVolumes(placed);

  report({ event: 'phase', phase: 'copy', message: 'copying' });
  const commit: Counted = { name: 'commit', total: 0, tally: createTally() };
  const counted = [...countedOf(prepared, placed), commit];
  const staged = await copyAndStage(context, placed, counted);
  const places = await witnessPlaces(prepared, placed);
  let witnesses = heldWitnesses(prepared, places);
  if (!session.armed && (!witnesses || (await differs(target.medium, staged.pieces)))) await session.arm();

  const after = await readSourceState(prepared);
  const changed = changesOf(prepared, before, after);
  if (changed.length > 0) throw sourceChanged(changed, { armed: session.armed });

  if (session.armed) {
    report({ event: 'phase', phase: 'commit', message: 'writing the partition table and boot code' });
    witnesses = await leaveWitnesses(places, placed, commit.tally);
    await target.medium.flush(); // all data, before anything makes it count
    await readBackSample(placed, target);
    await disarm(target.medium, { armed: prepared.armed, pieces: staged.pieces, tally: commit.tally });
    await fillHeld(staged);
  }
  const { done, written } = sumOf(counted);
  const evidence = await gatherEvidence(prepared, target, { sourceTokens: after.tokens, witnesses: witnesses ?? [] });
  session.commit(evidence, { seconds: secondsSince(start), done, written }, rescue?.rescued());
  const verified = options.verify ? await verifyAgainstMaps(placed, target, context) : undefined;
  const busy = session.armed && prepared.scope === 'disk' ? target.medium.rereadTable() : undefined;
  const warnings =
    busy === undefined ? [] : [`the kernel still shows the old partitions of ${target.place.name} (${busy})`];
  const unreadable = await rescue?.finish(warnings);
  return {
    seconds: secondsSince(start),
    amounts: sumOf(counted),
    changed: session.armed,
    excludedBytes: excludedBytes(prepared.layout),
    verified,
    warnings,
    unreadable,
  };
}

async function copyAndStage(
  context: Run,
  placed: readonly PlacedVolume[],
  counted: readonly Counted[],
): Promise<Staged> {
  const stop = reportProgress(counted, context.options.report);
  try {
    // The marker will cover what a failing source may not give a second time.
    const early = context.rescue && (await stageHeld(placed, context.inline));
    await copyVolumes(context, placed);
    return early ?? (await stageHeld(placed, context.inline));
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
  { target, options, session, inline, workers, rescue }: Run,
  placed: readonly PlacedVolume[],
): Promise<void> {
  if (options.signal.aborted) throw interrupted();
  // A first copy writes everything: arming at once spares every worker the question.
  if (placed.some(({ volume }) => volume.unknown === 'write' && volume.discardFree)) await session.arm();
  const ledger = createLedger({ target: target.medium, arm: () => session.arm() });
  await copy(
    placed.map(({ volume }) => volume),
    { sink: 'write', inline, workers, ledger, signal: options.signal, rescue: rescue?.passes(options.report) },
  );
}

function countedOf({ layout }: PreparedClone, placed: readonly PlacedVolume[]): Counted[] {
  return placed.map(({ volume }, index) => ({
    name: volume.name,
    total: layout.volumes[index]?.used ?? volume.map.grid.size,
    tally: volume.tally,
  }));
}

function secondsSince(start: number): number {
  return (performance.now() - start) / 1000;
}
