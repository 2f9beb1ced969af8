// The writing half of a clone: begin, copy, commit, verify.
// Invariant: the target is armed before its first change and disarmed after its last one was flushed and checked.

import { interruptedUntouched, sourceChangedEarly } from '../base/errors/run.js';
import { targetChanged } from '../base/errors/safety.js';
import { ToolError } from '../base/tool-error.js';
import { inhibitSleep } from '../device/inhibit.js';
import { inlineExecutor } from '../engine/executor.js';
import type { TargetEnd } from '../location/ends.js';
import type { VolumeReport } from '../plan/inspect.js';
import { targetFolder } from '../state/lineages.js';
import { lockTarget } from '../state/lock.js';
import type { CloneOptions, CloneRunResult, PreparedClone } from './clone-types.js';
import { commitRun } from './commit-run.js';
import { copyLive } from './copy-live.js';
import { copySource } from './copy-source.js';
import { lastWritten, readSourceState, type SourceState } from './evidence.js';
import { Rescue } from './rescue.js';
import type { Run } from './run.js';
import { beginSession, refuseChangedIdentity } from './session.js';
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
    if (before.written !== planned.sourceWritten && !planned.live) throw sourceChangedEarly(planned.source.place.name);
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

async function bringUpToDate(run: Run): Promise<CloneRunResult> {
  const { prepared, target, rescue } = run;
  // An earlier run may have failed to make its writes durable; what the page cache still shows of them proves nothing.
  target.medium.dropCache();
  refuseWrittenTarget(prepared, target);
  await rescue?.keepPieces();
  const { live } = prepared;
  return commitRun(run, await (live ? copyLive(run, live) : copySource(run)));
}

/** What is known of the target was asked before the plan was shown; files can be written in spite of our lock. */
function refuseWrittenTarget({ targetWritten }: PreparedClone, { place, identity }: TargetEnd): void {
  if (targetWritten === undefined || lastWritten(place.path) === targetWritten) return;
  refuseChangedIdentity({ place, identity });
  throw targetChanged(place.name);
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
