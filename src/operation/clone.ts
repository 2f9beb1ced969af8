// Clones a disk or a partition onto another; the same call again is a delta clone.
// Invariant: nothing is written before every guard has passed and the plan was confirmed.

import { existsSync } from 'node:fs';
import { emptyMedium } from '../base/errors/device.js';
import { bootNeedsDisk } from '../base/errors/machine.js';
import { notConfirmed } from '../base/errors/safety.js';
import { contradictingOptions, diskAndPartition } from '../base/errors/usage.js';
import { type Workers, workersFor } from '../engine/workers.js';
import {
  absentFile,
  createTargetFile,
  expectedSize,
  openSourceEnd,
  openTargetEnd,
  openTargetToRead,
  type Place,
  refuseUnmakeable,
  resolve,
  type SourceEnd,
  type TargetEnd,
} from '../location/ends.js';
import { parseLocation } from '../location/location.js';
import { leavesOut } from '../plan/exclusions.js';
import { isOurStandby, refuseSameMedium, refuseUsedSource, refuseUsedTarget } from '../plan/guard.js';
import { cleanLeftovers } from '../reshape/leftovers.js';
import { aroundHoles } from '../source/around.js';
import { stateFolder } from '../state/folder.js';
import { scratchFolder } from './arrange-ends.js';
import { proveBoot } from './boot.js';
import { runClone } from './clone-run.js';
import type { CloneOptions, CloneResult, CloneRunResult, PreparedClone } from './clone-types.js';
import { describePlan } from './describe-plan.js';
import { lastWritten } from './evidence.js';
import { historiesOf } from './histories.js';
import { type LiveSource, openLiveSource } from './live-source.js';
import { refuseMapfile } from './mapfile-place.js';
import { atRest, inspectSource, type Looked, prepareClone } from './prepare-clone.js';

/** Throws ToolError; its family tells whether anything was written (`safety`, `usage`: nothing). */
export async function clone(options: CloneOptions): Promise<CloneResult> {
  if (options.live) refuseWithLive(options);
  leavesOut(options); // what was asked for must make sense, before anything is opened
  const source = parseLocation(options.source);
  cleanLeftovers(scratchFolder(options.scratch)); // of runs that were killed
  const workers = options.dryRun ? undefined : workersFor(expectedSize(source.path));
  let result: CloneResult;
  try {
    result = await cloneFrom(await resolve(source), options, workers);
  } finally {
    await workers?.close();
  }
  return options.proveBoot && result.run ? withProof(result, options) : result;
}

/** What needs every byte of the source to stay as it is for the whole run. */
function refuseWithLive({ forensic, rescue }: CloneOptions): void {
  const other = forensic ? '--forensic' : rescue ? '--rescue' : undefined;
  if (other) throw contradictingOptions('--live', other, 'Unmount the source, or start from another system');
}

/** Starts the target, which nothing claims any more. That it does not start is part of the result, not an error. */
async function withProof(result: CloneResult, options: CloneOptions): Promise<CloneResult> {
  const { report, signal, proveBoot: wish, target, scratch } = options;
  const boot = await proveBoot({ disk: target, timeoutMs: wish?.timeoutMs, scratch, report, signal });
  return { ...result, run: result.run && { ...result.run, boot } };
}

async function cloneFrom(
  sourcePlace: Place,
  options: CloneOptions,
  workers: Workers | undefined,
): Promise<CloneResult> {
  const targetPlace = await resolveTarget(options.target);
  if (options.proveBoot && sourcePlace.scope === 'volume') throw bootNeedsDisk(options.target);
  if (targetPlace && sourcePlace.scope !== targetPlace.scope)
    throw diskAndPartition(sourcePlace.name, targetPlace.name);
  if (targetPlace) refuseSameMedium(sourcePlace.path, targetPlace.path);
  if (!options.live) refuseUsedSource(sourcePlace.path);
  if (targetPlace) refuseUsedTarget(targetPlace.path, stateFolder());

  if (options.rescue?.mapfile !== undefined) {
    refuseMapfile(options.rescue.mapfile, [sourcePlace.path, targetPlace?.path ?? options.target]);
  }

  const live = options.live ? await openLiveSource({ ...options, source: sourcePlace }) : undefined;
  try {
    const opened = openSourceEnd(sourcePlace, { shared: live !== undefined });
    const source = options.rescue ? { ...opened, medium: aroundHoles(opened.medium) } : opened;
    try {
      if (source.medium.size === 0) throw emptyMedium(sourcePlace.name);
      return await cloneOpened(
        { ...options, report: live?.report ?? options.report },
        { source, live, targetPlace, workers },
      );
    } finally {
      await source.close();
    }
  } finally {
    await live?.close();
  }
}

interface Opened {
  readonly source: SourceEnd;
  /** Of a source in use. */
  readonly live: LiveSource | undefined;
  readonly targetPlace: Place | undefined;
  readonly workers: Workers | undefined;
}

async function cloneOpened(
  options: CloneOptions,
  { source, live, targetPlace, workers }: Opened,
): Promise<CloneResult> {
  const sourceWritten = lastWritten(source.place.path);
  const sourceReport = await atRest(live, async () => inspectSource(source, { ...options, live }));
  const target = openTarget(targetPlace, { options, source });
  try {
    return await planAndRun(options, { source, sourceReport, sourceWritten, target, live, workers });
  } finally {
    await target.close();
  }
}

/** Undefined: a file that is not there yet. */
async function resolveTarget(text: string): Promise<Place | undefined> {
  const location = parseLocation(text);
  if (location.partition !== undefined || existsSync(location.path)) return resolve(location);
  refuseUnmakeable(location.path);
  return undefined;
}

function openTarget(
  place: Place | undefined,
  { options, source }: { options: CloneOptions; source: SourceEnd },
): SourceEnd | TargetEnd {
  if (!place) return absentFile(options.target, source.medium.size);
  return options.dryRun ? openTargetToRead(place) : openTargetEnd(place);
}

async function planAndRun(options: CloneOptions, looked: Looked): Promise<CloneResult> {
  const { source, target } = looked;
  const histories = historiesOf(target);
  if (histories.lineages.length === 0) looked.workers?.start(); // a first copy needs them in any case
  const { prepared, content } = await prepareClone(options, looked, histories);
  const standby = isOurStandby({ source: source.identity, content, ...histories });
  const plan = describePlan(prepared, { target, content, standby });
  if (options.dryRun) return { plan, run: undefined };
  if (!(await options.confirm(plan))) throw notConfirmed(target.place.name);
  return { plan, run: await runOn(target, prepared, options) };
}

/** A file that is not there yet is made now, after the plan was confirmed. */
async function runOn(
  target: SourceEnd | TargetEnd,
  prepared: PreparedClone,
  options: CloneOptions,
): Promise<CloneRunResult> {
  if (isTargetEnd(target)) return runClone(prepared, target, options);
  createTargetFile(target.place.path, target.medium.size);
  const made = openTargetEnd(target.place);
  try {
    return await runClone(prepared, made, options);
  } finally {
    await made.close();
  }
}

function isTargetEnd(end: SourceEnd | TargetEnd): end is TargetEnd {
  return 'write' in end.medium;
}
