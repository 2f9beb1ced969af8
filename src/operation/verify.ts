// Proves that a target is a clone of its source: every used byte of both sides is read and compared.
// What a clone leaves out must read as zeros: that is worked out anew from the source, by the options of the clone.
// Invariant: both are opened for reading only.

import { viewsDiffer } from '../base/errors/reshape.js';
import { diskAndPartition } from '../base/errors/usage.js';
import type { Amounts, Report } from '../base/report.js';
import type { Bytes } from '../base/units.js';
import { usesOf } from '../device/in-use.js';
import { copy } from '../engine/copy.js';
import { inlineExecutor } from '../engine/executor.js';
import { createLedger } from '../engine/ledger.js';
import { createTally } from '../engine/tally.js';
import type { VolumeCopy } from '../engine/volume-copy.js';
import { workersFor } from '../engine/workers.js';
import { openTargetToRead, resolve, type SourceEnd, sectorSizeOf } from '../location/ends.js';
import { parseLocation } from '../location/location.js';
import { everythingUsed, without } from '../map/allocation-map.js';
import { BLOCK_SIZE } from '../map/block-map.js';
import type { Extent } from '../map/extent.js';
import { memoryBlockMap } from '../map/memory-block-map.js';
import type { Allocation } from '../plan/allocation.js';
import { type CopyLayout, excludedBytes, type PlannedVolume, planLayout } from '../plan/clone-plan.js';
import { leavesOut, withExclusions } from '../plan/exclusions.js';
import { refuseSameMedium } from '../plan/guard.js';
import { type DiskReport, inspectDisk, inspectForensic, inspectSingle } from '../plan/inspect.js';
import type { LayoutMode, WantedSize } from '../plan/layout/types.js';
import { unstableIn } from '../reshape/unstable.js';
import { memoryTarget } from '../source/memory.js';
import { readOnlyTarget } from '../source/read-only.js';
import { sliceSource } from '../source/slice.js';
import type { Source } from '../source/types.js';
import type { TableMode } from './arrange.js';
import { arrangeEnds, scratchFolder } from './arrange-ends.js';
import { historiesOf } from './histories.js';
import { type IdentityMode, twinOf } from './identity.js';
import { type Counted, reportProgress, sumOf } from './progress.js';
import { viewLayout } from './views.js';

export interface VerifyOptions {
  readonly source: string;
  readonly target: string;
  /** The partitions that were cloned; all if missing. */
  readonly only?: readonly number[] | undefined;
  readonly forensic?: boolean;
  /** As given to the clone: what it left out must read as zeros. */
  readonly keepExcluded?: boolean;
  readonly excludePageFiles?: boolean;
  /** As given to the clone. */
  readonly layout?: LayoutMode | undefined;
  readonly sizes?: ReadonlyMap<number, WantedSize> | undefined;
  readonly identity?: IdentityMode | undefined;
  readonly table?: TableMode | undefined;
  /** Folder for what the resizing of file systems moves; default: in the state folder. */
  readonly scratch?: string | undefined;
  readonly sectorSize?: Bytes | undefined;
  readonly report: Report;
  readonly signal: AbortSignal;
}

/** A block that differs. */
export interface Difference {
  readonly volume: string;
  /** On the target medium. */
  readonly offset: Bytes;
  readonly length: Bytes;
}

export interface VerifyResult {
  readonly equal: boolean;
  readonly amounts: Amounts;
  readonly seconds: number;
  /** Bytes of page, hibernation and swap files, which were expected to be zeros on the target. */
  readonly excludedBytes: Bytes;
  /** The first ten thousand; `differenceCount` counts all. */
  readonly differences: readonly Difference[];
  readonly differenceCount: number;
}

const LISTED = 10_000;

/** Throws ToolError if one cannot be read, or cannot be a clone of the other at all (too small). */
export async function verify(options: VerifyOptions): Promise<VerifyResult> {
  leavesOut(options);
  const sourcePlace = await resolve(parseLocation(options.source));
  const targetPlace = await resolve(parseLocation(options.target));
  if (sourcePlace.scope !== targetPlace.scope) throw diskAndPartition(sourcePlace.name, targetPlace.name);
  refuseSameMedium(sourcePlace.path, targetPlace.path);
  for (const { path, name } of [sourcePlace, targetPlace]) {
    const uses = usesOf(path).filter((use) => !use.startsWith('attached as'));
    if (uses.length > 0)
      options.report({
        event: 'warning',
        message: `${name} is in use (${uses.join('; ')}): differences may come from that`,
      });
  }
  const source = openTargetToRead(sourcePlace);
  try {
    const target = openTargetToRead(targetPlace);
    try {
      return await compareEnds(source, target, options);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

async function compareEnds(source: SourceEnd, target: SourceEnd, options: VerifyOptions): Promise<VerifyResult> {
  const { medium } = source;
  const sourceReport = await withExclusions(medium, await inspectSource(source, options));
  const { lineages } = historiesOf(target);
  const { arrangement } = await arrangeEnds(options, { source, sourceReport, target, lineages, mayDraw: false });
  const planned = await planLayout({
    source: medium,
    report: sourceReport,
    target: {
      name: target.place.name,
      size: target.medium.size,
      sectorSize: sectorSizeOf(target) ?? options.sectorSize,
    },
    only: options.only,
    forensic: options.forensic ?? false,
    leaveOut: leavesOut(options),
    arrangement,
  });
  const viewed = await viewLayout({
    ...options,
    source,
    target,
    layout: planned,
    sourceSectorSize: sourceReport.sectorSize ?? planned.sectorSize,
    forensic: options.forensic ?? false,
    leaveOut: leavesOut(options),
    kept: [],
    twin: twinOf(sourceReport, arrangement),
    scratch: scratchFolder(options.scratch),
  });
  try {
    return await compareLayout(viewed.layout, { source, target, options });
  } finally {
    await viewed.close();
  }
}

async function compareLayout(
  layout: CopyLayout,
  { source: { medium }, target, options }: { source: SourceEnd; target: SourceEnd; options: VerifyOptions },
): Promise<VerifyResult> {
  const volumes: Compared[] = [];
  for (const planned of layout.volumes) {
    const { name, sourceExtent, targetExtent, view } = planned;
    const volume = view ?? sliceSource(medium, sourceExtent, `${medium.name} ${name}`);
    const allocation = await stablePart(planned, target);
    volumes.push(compared(volume, { target: target.medium, extent: targetExtent, name, allocation }));
  }
  const placed = [
    ...volumes,
    ...layout.pieces.map(({ name, offset, bytes }) =>
      compared(memoryTarget(bytes, name), {
        target: target.medium,
        extent: { offset, length: bytes.length },
        name,
        allocation: { map: everythingUsed(bytes.length), wiped: [] },
      }),
    ),
  ];
  const totals = [...layout.volumes.map(({ used }) => used), ...layout.pieces.map(({ bytes }) => bytes.length)];
  const counted = placed.map(
    ({ volume }, index): Counted => ({ name: volume.name, tally: volume.tally, total: totals[index] ?? 0 }),
  );
  return { ...(await compareVolumes(placed, counted, options)), excludedBytes: excludedBytes(layout) };
}

async function inspectSource(source: SourceEnd, { forensic }: VerifyOptions): Promise<DiskReport> {
  const { place, medium, identity } = source;
  if (place.scope === 'volume') {
    return { ...(await inspectSingle(medium, identity, place.name)), sectorSize: sectorSizeOf(source) };
  }
  return (forensic ? inspectForensic : inspectDisk)(medium, identity);
}

/** What a view made anew has to have in common with the clone. */
async function stablePart(planned: PlannedVolume, target: SourceEnd): Promise<Pick<Allocation, 'map' | 'wiped'>> {
  const { name, view, allocation, report, targetExtent } = planned;
  if (!view) return allocation;
  const kind = report.filesystem?.kind ?? '';
  const unstable = await unstableIn(view, kind);
  if (unstable === 'all') throw viewsDiffer(name, kind, target.place.name);
  if (unstable.length === 0) return allocation;
  // What a log holds that was not replayed does count: then it is compared, and differs.
  const clone = sliceSource(target.medium, targetExtent, `${target.medium.name} ${name}`);
  const [found] = (await inspectSingle(clone, target.identity, name)).volumes;
  if (found?.state.kind !== 'clean') return allocation;
  return { ...allocation, map: without(allocation.map, unstable) };
}

interface Compared {
  readonly volume: VolumeCopy;
  /** Of the volume on the target. */
  readonly offset: Bytes;
}

interface ComparedOptions {
  readonly target: Source;
  readonly extent: Extent;
  readonly name: string;
  /** What has to be equal, and what has to be zero. */
  readonly allocation: Pick<Allocation, 'map' | 'wiped'>;
}

function compared(source: Source, { target, extent, name, allocation }: ComparedOptions): Compared {
  const volume: VolumeCopy = {
    name,
    source,
    target: readOnlyTarget(sliceSource(target, extent, `${target.name} ${name}`)),
    allocation: allocation.map,
    wiped: allocation.wiped,
    held: [],
    map: memoryBlockMap({ size: source.size, blockSize: BLOCK_SIZE }),
    tally: createTally(),
    known: false,
    unknown: 'match',
    discardFree: false,
  };
  return { volume, offset: extent.offset };
}

async function compareVolumes(
  placed: readonly Compared[],
  counted: readonly Counted[],
  options: VerifyOptions,
): Promise<Omit<VerifyResult, 'excludedBytes'>> {
  const start = performance.now();
  const differences: Difference[] = [];
  let differenceCount = 0;
  const bases = new Map(placed.map(({ volume, offset }) => [volume, offset]));
  const inline = inlineExecutor();
  const workers = workersFor(sumOf(counted).total);
  const stop = reportProgress(counted, options.report);
  try {
    await copy([...bases.keys()], {
      sink: 'report',
      inline,
      workers,
      ledger: createLedger({ target: readOnlyTarget(memoryTarget(Buffer.alloc(0))), arm: async () => {} }),
      signal: options.signal,
      onDiffering(volume, offsets) {
        differenceCount += offsets.length;
        for (const offset of offsets.slice(0, LISTED - differences.length)) {
          const length = Math.min(BLOCK_SIZE, volume.map.grid.size - offset);
          differences.push({ volume: volume.name, offset: (bases.get(volume) ?? 0) + offset, length });
        }
      },
    });
  } finally {
    stop();
    await workers?.close();
    await inline.close();
  }
  return {
    equal: differenceCount === 0,
    amounts: sumOf(counted),
    seconds: (performance.now() - start) / 1000,
    differences,
    differenceCount,
  };
}
