// Clones a disk or a partition onto another; the same call again is a delta clone.
// Invariant: nothing is written before every guard has passed and the plan was confirmed.

import { existsSync } from 'node:fs';
import { emptyMedium } from '../base/errors/device.js';
import { bootNeedsDisk } from '../base/errors/machine.js';
import { notConfirmed } from '../base/errors/safety.js';
import { diskAndPartition } from '../base/errors/usage.js';
import { type Executor, workersFor } from '../engine/executor.js';
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
  sectorSizeOf,
  type TargetEnd,
} from '../location/ends.js';
import { parseLocation } from '../location/location.js';
import type { Extent } from '../map/extent.js';
import { type CopyLayout, planLayout } from '../plan/clone-plan.js';
import { leavesOut, withExclusions } from '../plan/exclusions.js';
import {
  isOurStandby,
  refuseLackOfRoom,
  refuseSameMedium,
  refuseUnexpectedTarget,
  refuseUsedSource,
  refuseUsedTarget,
} from '../plan/guard.js';
import { type DiskReport, inspectDisk, inspectForensic, inspectSingle } from '../plan/inspect.js';
import { type RapidOptions, withRapid } from '../plan/rapid.js';
import { type TargetContent, targetContent } from '../plan/target-content.js';
import { decideTrust, type Trust } from '../plan/trust.js';
import { cleanLeftovers } from '../reshape/leftovers.js';
import { aroundHoles } from '../source/around.js';
import { stateFolder } from '../state/folder.js';
import { lineageFolder, targetFolderPath } from '../state/lineages.js';
import { armedExtents } from '../state/marker.js';
import { arrangeEnds, scratchFolder } from './arrange-ends.js';
import { proveBoot } from './boot.js';
import { runClone } from './clone-run.js';
import type { CloneOptions, CloneResult, CloneRunResult, PreparedClone } from './clone-types.js';
import { bytesOf, describePlan, isThere } from './describe-plan.js';
import { lastWritten } from './evidence.js';
import { type Histories, historiesOf } from './histories.js';
import { twinOf } from './identity.js';
import { refuseMapfile } from './mapfile-place.js';

/** Throws ToolError; its family tells whether anything was written (`safety`, `usage`: nothing). */
export async function clone(options: CloneOptions): Promise<CloneResult> {
  leavesOut(options); // what was asked for must make sense, before anything is opened
  const source = parseLocation(options.source);
  cleanLeftovers(scratchFolder(options.scratch)); // of runs that were killed
  // Threads take a moment to start, and it passes while both ends are looked at.
  const workers = options.dryRun ? undefined : workersFor(expectedSize(source.path));
  let result: CloneResult;
  try {
    result = await cloneFrom(await resolve(source), options, workers);
  } finally {
    await workers?.close();
  }
  return options.proveBoot && result.run ? withProof(result, options) : result;
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
  workers: Executor | undefined,
): Promise<CloneResult> {
  const targetPlace = await resolveTarget(options.target);
  if (options.proveBoot && sourcePlace.scope === 'volume') throw bootNeedsDisk(options.target);
  if (targetPlace && sourcePlace.scope !== targetPlace.scope)
    throw diskAndPartition(sourcePlace.name, targetPlace.name);
  if (targetPlace) refuseSameMedium(sourcePlace.path, targetPlace.path);
  refuseUsedSource(sourcePlace.path);
  if (targetPlace) refuseUsedTarget(targetPlace.path, stateFolder());

  if (options.rescue?.mapfile !== undefined) {
    refuseMapfile(options.rescue.mapfile, [sourcePlace.path, targetPlace?.path ?? options.target]);
  }

  const opened = openSourceEnd(sourcePlace);
  const source = options.rescue ? { ...opened, medium: aroundHoles(opened.medium) } : opened;
  try {
    if (source.medium.size === 0) throw emptyMedium(sourcePlace.name);
    const sourceWritten = lastWritten(sourcePlace.path);
    const sourceReport = await inspectSource(source, options);
    const target = openTarget(targetPlace, { options, source });
    try {
      return await planAndRun(options, { source, sourceReport, sourceWritten, target, workers });
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
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

async function inspectSource(source: SourceEnd, { forensic }: CloneOptions): Promise<DiskReport> {
  const { place, medium, identity } = source;
  const inspectWhole = forensic ? inspectForensic : inspectDisk;
  const report =
    place.scope === 'volume'
      ? { ...(await inspectSingle(medium, identity, place.name)), sectorSize: sectorSizeOf(source) }
      : await inspectWhole(medium, identity);
  return withExclusions(medium, report);
}

interface Looked {
  readonly source: SourceEnd;
  readonly sourceReport: DiskReport;
  readonly sourceWritten: string;
  readonly target: SourceEnd | TargetEnd;
  readonly workers: Executor | undefined;
}

async function planAndRun(options: CloneOptions, looked: Looked): Promise<CloneResult> {
  const { source, target } = looked;
  const histories = historiesOf(target);
  const { prepared, content } = await prepare(options, looked, histories);
  const standby = isOurStandby({ source: source.identity, content, ...histories });
  const plan = describePlan(prepared, { target, content, standby });
  if (options.dryRun) return { plan, run: undefined };
  if (!(await options.confirm(plan))) throw notConfirmed(target.place.name);
  return { plan, run: await runOn(target, prepared, options) };
}

/** Decides everything, and refuses what must not be. */
async function prepare(
  options: CloneOptions,
  { source, sourceReport, sourceWritten, target, workers }: Looked,
  { lineages, parts }: Histories,
): Promise<{ prepared: PreparedClone; content: TargetContent }> {
  const { scope } = source.place;
  const targetWritten = isThere(target) ? lastWritten(target.place.path) : undefined;
  const forensic = options.forensic ?? false;
  const leaveOut = leavesOut(options);
  const { arrangement, kept } = await arrangeEnds(options, { source, sourceReport, target, lineages, mayDraw: true });
  const sectorSize = sectorSizeOf(target) ?? options.sectorSize;
  const layout = await planLayout({
    source: source.medium,
    report: sourceReport,
    target: { name: target.place.name, size: target.medium.size, sectorSize },
    only: options.only,
    forensic,
    leaveOut,
    arrangement,
  });
  refuseLackOfRoom({
    source: source.identity,
    target: target.identity,
    exists: isThere(target),
    bytes: bytesOf(layout),
  });
  const content = await targetContent(target.medium, { identity: target.identity, scope });
  refuseUnexpectedTarget({
    source: source.identity,
    target: target.identity,
    content,
    lineages,
    parts,
    overwriteTarget: options.overwriteTarget,
    assumeYes: options.assumeYes ?? false,
  });
  const armed = armedExtents(target.medium.size, { tail: scope === 'disk', sectorSize: layout.sectorSize });
  const proven = await trustIn(target, { options, layout, lineages, armed, content });
  const trust = withRapid(proven, rapidOptions(options, { layout, source, target, trust: proven }));
  const sourceSectorSize = sourceReport.sectorSize ?? layout.sectorSize;
  const { rescue } = options;
  const scratch = scratchFolder(options.scratch);
  const looked = { source, sourceReport, sourceWritten, targetWritten, workers };
  const twin = twinOf(sourceReport, arrangement);
  const decided = { layout, trust, armed, scope, forensic, leaveOut, arrangement: kept, sourceSectorSize, twin };
  return { prepared: { ...looked, ...decided, scratch, rescue }, content };
}

function trustIn(
  { medium }: SourceEnd | TargetEnd,
  { options, layout, lineages, armed, content }: TrustQuestion,
): Promise<Trust> {
  return decideTrust({
    lineages,
    target: medium,
    armed,
    places: layout.volumes.map(({ targetExtent }) => ({ offset: targetExtent.offset, size: targetExtent.length })),
    shown: (content.report?.volumes ?? []).map(({ extent }) => extent),
    alwaysCompare: options.detect === 'compare',
    fullCheckEvery: fullCheckEvery(options),
  });
}

/** A rescue must not read what it need not, and a full check is for runs that read less than everything. */
const DEFAULT_FULL_CHECK = 10;

function fullCheckEvery({ fullCheckEvery = DEFAULT_FULL_CHECK, rescue }: CloneOptions): number | undefined {
  return fullCheckEvery === 0 || rescue ? undefined : fullCheckEvery;
}

/** Why nothing stays unread is told only where somebody might expect it. */
function rapidOptions(
  { detect, rescue, forensic }: CloneOptions,
  {
    layout,
    source,
    target,
    trust,
  }: { layout: CopyLayout; source: SourceEnd; target: SourceEnd | TargetEnd; trust: Trust },
): RapidOptions {
  const { lineage } = trust;
  const forbidden =
    detect === 'hash' ? 'asked for' : rescue ? 'a rescue tries all of it' : forensic ? 'every byte counts' : '';
  return {
    volumes: layout.volumes,
    folder: lineage && lineageFolder(targetFolderPath(target.identity.key), lineage.lineage),
    sourceKey: source.identity.key,
    forbidden,
    now: Date.now(),
  };
}

interface TrustQuestion {
  readonly options: CloneOptions;
  readonly layout: CopyLayout;
  readonly lineages: Histories['lineages'];
  readonly armed: readonly Extent[];
  readonly content: TargetContent;
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
