// What a clone decides before it writes: what is copied where and how, and what must not be.
// Invariant: both ends are only read.

import { contradictingOptions } from '../base/errors/usage.js';
import { startOfSystem } from '../device/system.js';
import type { Workers } from '../engine/workers.js';
import { type SourceEnd, sectorSizeOf, type TargetEnd } from '../location/ends.js';
import type { Extent } from '../map/extent.js';
import { type CopyLayout, planLayout } from '../plan/clone-plan.js';
import { leavesOut, withExclusions } from '../plan/exclusions.js';
import { refuseLackOfRoom, refuseUnexpectedTarget } from '../plan/guard.js';
import { type DiskReport, inspectDisk, inspectForensic, inspectSingle } from '../plan/inspect.js';
import { type RapidOptions, withRapid } from '../plan/rapid.js';
import { type TargetContent, targetContent } from '../plan/target-content.js';
import { decideTrust, type Trust } from '../plan/trust.js';
import { lineageFolder, targetFolderPath } from '../state/lineages.js';
import { armedExtents } from '../state/marker.js';
import { arrangeEnds, scratchFolder } from './arrange-ends.js';
import type { CloneOptions, PreparedClone } from './clone-types.js';
import { bytesOf, isThere } from './describe-plan.js';
import { lastWritten } from './evidence.js';
import type { Histories } from './histories.js';
import { twinOf } from './identity.js';
import type { LiveSource } from './live-source.js';
import type { Twin } from './twin-view.js';
import { needsView } from './views.js';

/** What was opened and looked at. */
export interface Looked {
  readonly source: SourceEnd;
  readonly sourceReport: DiskReport;
  readonly sourceWritten: string;
  readonly target: SourceEnd | TargetEnd;
  readonly live: LiveSource | undefined;
  readonly workers: Workers | undefined;
}

/** Decides everything, and refuses what must not be. */
export async function prepareClone(
  options: CloneOptions,
  { source, sourceReport, sourceWritten, target, live, workers }: Looked,
  { lineages, parts }: Histories,
): Promise<{ prepared: PreparedClone; content: TargetContent }> {
  const { scope } = source.place;
  const targetWritten = isThere(target) ? lastWritten(target.place.path) : undefined;
  const forensic = options.forensic ?? false;
  const leaveOut = leavesOut(options);
  const { arrangement, kept } = await arrangeEnds(options, { source, sourceReport, target, lineages, mayDraw: true });
  const sectorSize = sectorSizeOf(target) ?? options.sectorSize;
  const planOf = (report: DiskReport): Promise<CopyLayout> =>
    planLayout({
      source: source.medium,
      report,
      target: { name: target.place.name, size: target.medium.size, sectorSize },
      only: options.only,
      forensic,
      leaveOut,
      arrangement,
    });
  const layout = await atRest(live, () => planOf(sourceReport));
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
  const trust = withRapid(
    proven,
    rapidOptions(options, { layout, source, target, trust: proven, isLive: live !== undefined }),
  );
  const sourceSectorSize = sourceReport.sectorSize ?? layout.sectorSize;
  const { rescue } = options;
  const scratch = scratchFolder(options.scratch);
  const planAgain = async (): Promise<CopyLayout> => planOf(await inspectSource(source, { ...options, live }));
  const again = live && { source: live, planAgain };
  const looked = { source, sourceReport, sourceWritten, targetWritten, workers, live: again };
  const twin = twinOf(sourceReport, arrangement);
  if (live) refuseWhatNeedsViews(layout, twin);
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
    isLive,
  }: { layout: CopyLayout; source: SourceEnd; target: SourceEnd | TargetEnd; trust: Trust; isLive: boolean },
): RapidOptions {
  const { lineage } = trust;
  const forbidden =
    detect === 'hash' ? 'asked for' : rescue ? 'a rescue tries all of it' : forensic ? 'every byte counts' : '';
  return {
    volumes: layout.volumes,
    folder: lineage && lineageFolder(targetFolderPath(target.identity.key), lineage.lineage),
    sourceKey: source.identity.key,
    forbidden,
    trustsSource: detect === 'rapid',
    boot: isLive ? startOfSystem() : undefined,
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

/** A view would be made of a source that goes on changing. */
function refuseWhatNeedsViews({ volumes }: CopyLayout, twin: Twin | undefined): void {
  const changed = volumes.find((volume) => needsView(volume, twin));
  const hint = 'Clone it unmounted, or to a target that is as large, with its own IDs';
  if (changed || twin) throw contradictingOptions('--live', twin ? '--identity new' : 'another size', hint);
}

/** What is read of a source in use must be of one moment, to fit together. */
export function atRest<T>(live: LiveSource | undefined, work: () => Promise<T>): Promise<T> {
  return live ? live.frozen(work) : work();
}

export async function inspectSource(
  source: SourceEnd,
  { forensic, live }: { readonly forensic?: boolean; readonly live: LiveSource | undefined },
): Promise<DiskReport> {
  const { place, medium, identity } = source;
  const inspectWhole = forensic ? inspectForensic : inspectDisk;
  const report =
    place.scope === 'volume'
      ? { ...(await inspectSingle(medium, identity, place.name)), sectorSize: sectorSizeOf(source) }
      : await inspectWhole(medium, identity);
  return withExclusions(medium, live?.atRest(report) ?? report);
}
