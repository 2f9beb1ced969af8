// Decides where the source's volumes go on the target. Sizes that their contents cannot go below are asked for one by
// one, and only of volumes that would shrink: finding them takes a look through the whole file system.
// Invariant: the same wish for the same source and target has the same outcome, whatever was written in between, as long
// as that fits.

import { DigestStream, digestOf } from '../base/digest.js';
import { belowMinimum } from '../base/errors/reshape.js';
import { optionNeedsDisks } from '../base/errors/usage.js';
import { ToolError } from '../base/tool-error.js';
import type { Bytes } from '../base/units.js';
import type { SourceEnd } from '../location/ends.js';
import type { Extent } from '../map/extent.js';
import { fitTable } from '../partition/layout.js';
import type { PartitionTable } from '../partition/table.js';
import { type Arrangement, UNMOVED, WITHOUT_TABLE } from '../plan/arrangement.js';
import { contentKind, type DiskReport, type VolumeReport } from '../plan/inspect.js';
import { decideLayout, layoutError } from '../plan/layout/decide.js';
import { type Flexibility, flexibilityOf } from '../plan/layout/flexibility.js';
import type { Layout, LayoutMode, LayoutPartition, LayoutRequest, WantedSize } from '../plan/layout/types.js';
import { volumeToken } from '../plan/tokens.js';
import { minimumSize } from '../reshape/minimum.js';
import type { Minimum } from '../reshape/resizer.js';
import { sliceSource } from '../source/slice.js';
import { makeFolder } from '../state/folder.js';
import type { CloneRecord, KeptArrangement, VolumeRecord } from '../state/record.js';
import { drawGuids, type IdentityMode, twinIdentity } from './identity.js';
import { baseExtent } from './views.js';

export type TableMode = 'same' | 'gpt';

export interface ArrangeOptions {
  readonly source: SourceEnd;
  readonly report: DiskReport;
  readonly target: { readonly name: string; readonly size: Bytes; readonly sectorSize: Bytes };
  readonly only: readonly number[] | undefined;
  readonly layout: LayoutMode | undefined;
  readonly sizes: ReadonlyMap<number, WantedSize>;
  readonly leaveOut: boolean;
  readonly identity: IdentityMode;
  /** `gpt` makes a GPT of an MBR. */
  readonly table: TableMode;
  /** False for verification: what was never drawn is no use there. */
  readonly mayDraw: boolean;
  /** What is known of the target: the same wish as before has the same outcome. */
  readonly lineages: readonly CloneRecord[];
  readonly scratch: string;
  readonly signal: AbortSignal;
}

export interface Arranged {
  readonly arrangement: Arrangement;
  /** For the record; undefined if everything stays where it is. */
  readonly kept: KeptArrangement | undefined;
}

/** Everything stays where it is. */
export const STAYS: Arranged = { arrangement: UNMOVED, kept: undefined };

/**
 * By default volumes keep their places if the target has room for that; else they shrink as far as they must. Throws
 * ToolError: no room (with the gap, and what would help), a size that a content cannot have, or a tool that failed.
 */
export async function arrange(options: ArrangeOptions): Promise<Arranged> {
  const { report, layout, sizes } = options;
  if (sizes.size > 0 && !report.table) throw optionNeedsDisks('--size');
  const isSame = layout === undefined || layout === 'same';
  const converts = options.table === 'gpt' && report.table?.kind === 'mbr';
  const stays = isSame && sizes.size === 0 && !converts && sameSectors(options) && fitsAsItIs(options);
  const wish = wishOf(options);
  const last = options.lineages.find((record) => record.arrangement?.wish === wish);
  const known = last?.arrangement;
  const holds = known !== undefined && (await stillHolds(known, last?.volumes ?? [], options));
  const placed = known && holds ? fromKept(known) : stays ? UNMOVED : await places(options);
  const arrangement =
    options.identity === 'new'
      ? await asTwin(placed, options)
      : converts
        ? asGpt(placed, options, known?.converted)
        : placed;
  if (arrangement.places.size === 0 && !arrangement.identity) return STAYS;
  return { arrangement, kept: { ...toKept(arrangement, wish), leftOut: leftOutOf(options) } };
}

function places(options: ArrangeOptions): Promise<Arrangement> {
  const { table } = options.report;
  return table ? arrangeTable(options, table) : arrangeSingle(options);
}

function asGpt(arrangement: Arrangement, { report }: ArrangeOptions, known: KeptArrangement['converted']): Arrangement {
  return { ...arrangement, converted: known ?? drawGuids(report), notes: [...arrangement.notes, GPT_NOTE] };
}

const GPT_NOTE =
  'the target gets a GPT: a boot loader for BIOS has to be installed anew, and nothing finds partitions by their old PARTUUIDs';

async function asTwin(arrangement: Arrangement, options: ArrangeOptions): Promise<Arrangement> {
  const { source, report, lineages, mayDraw } = options;
  const { identity, kept } = await twinIdentity({ source: source.medium, report, lineages, mayDraw });
  const notes = kept.map(({ volume, place, why }) => `${volume} (${place}) keeps its ID: ${why}`);
  return { ...arrangement, identity, notes: [...arrangement.notes, ...notes] };
}

function sameSectors({ report, target }: ArrangeOptions): boolean {
  return (report.sectorSize ?? target.sectorSize) === target.sectorSize;
}

/** True too if `same` was asked for: the plan then refuses with what is missing. */
function fitsAsItIs({ report, target, only, layout }: ArrangeOptions): boolean {
  if (layout === 'same') return true;
  if (!report.table) return report.size <= target.size;
  try {
    fitTable(report.table, { targetSize: target.size, sectorSize: target.sectorSize, only });
    return true;
  } catch (error) {
    if (error instanceof ToolError && error.code === 'safety.target-too-small') return false;
    throw error;
  }
}

/** Everything that the outcome follows from, but not how full the volumes are. */
function wishOf({ report, target, only, layout, sizes, leaveOut, identity, table }: ArrangeOptions): string {
  const volumes = report.volumes.map((volume) => [
    volume.partition?.number ?? WITHOUT_TABLE,
    volume.extent.offset,
    volume.extent.length,
    volume.partition?.type ?? '',
    contentKind(volume),
  ]);
  const facts = { volumes, table: report.table?.kind ?? '', from: report.sectorSize ?? 0, to: target.sectorSize };
  const digest = new DigestStream();
  for (const part of [facts, target.size, only ?? 'all', layout ?? 'default', [...sizes], leaveOut, identity, table]) {
    digest.add(Buffer.from(JSON.stringify(part)));
  }
  return digest.finish().toString('hex');
}

/** Whether the volumes that were made smaller still fit: what changed since may need more room than they were given. */
async function stillHolds(
  { places }: KeptArrangement,
  volumes: readonly VolumeRecord[],
  options: ArrangeOptions,
): Promise<boolean> {
  const { report, source } = options;
  for (const { number, offset, length } of places) {
    const volume = report.volumes.find(({ partition }) => (partition?.number ?? WITHOUT_TABLE) === number);
    if (!volume || length >= volume.extent.length) continue;
    const known = volumes.find((record) => record.offset === offset && record.size === length)?.sourceToken;
    const token = await volumeToken(sliceSource(source.medium, volume.extent, volume.name));
    if (token !== undefined && token === known) continue;
    if ((await minimumOf(volume, options)).minimum > length) return false;
  }
  return true;
}

/** Which files of which volumes, and where they lie. */
function leftOutOf({ report, leaveOut }: ArrangeOptions): string {
  const files = leaveOut ? report.volumes.map(({ excludable }) => excludable) : [];
  return digestOf(Buffer.from(JSON.stringify(files))).toString('hex');
}

function toKept({ places, container, identity, converted }: Arrangement, wish: string): KeptArrangement {
  const listed = [...places].map(([number, extent]) => ({ number, ...extent }));
  return {
    wish,
    places: listed,
    ...(container ? { container } : {}),
    ...(identity ? { identity } : {}),
    ...(converted ? { converted } : {}),
  };
}

function fromKept({ places, container }: KeptArrangement): Arrangement {
  const pairs = places.map(({ number, offset, length }): [number, Extent] => [number, { offset, length }]);
  return { ...UNMOVED, places: new Map(pairs), container };
}

/** A volume without a table spans what it is given; what cannot grow stays as it is. */
async function arrangeSingle(options: ArrangeOptions): Promise<Arrangement> {
  const { report, target, layout } = options;
  const [volume] = report.volumes;
  if (!volume) return UNMOVED;
  const most = Math.floor(target.size / target.sectorSize) * target.sectorSize;
  const grows = layout === 'fill' || layout === 'proportional';
  const { growable, shrinkable } = flexibility(volume);
  const isSmaller = most < report.size;
  if (isSmaller ? !shrinkable : grows && !growable) return sameSectors(options) ? UNMOVED : only(volume, report.size);
  if (isSmaller) {
    const { minimum, reason } = await minimumOf(volume, options);
    if (minimum > most) throw belowMinimum(volume.name, contentKind(volume), { wanted: most, minimum, reason });
  }
  const length = isSmaller || grows ? most : report.size;
  return length === report.size && sameSectors(options) ? UNMOVED : only(volume, length);
}

function only({ partition }: VolumeReport, length: Bytes): Arrangement {
  const places = new Map([[partition?.number ?? WITHOUT_TABLE, { offset: 0, length }]]);
  return { ...UNMOVED, places };
}

function flexibility({ partition, filesystem }: VolumeReport): Flexibility {
  return flexibilityOf(partition?.type ?? '', filesystem?.kind);
}

async function minimumOf({ name, extent, filesystem }: VolumeReport, options: ArrangeOptions): Promise<Minimum> {
  const { source, scratch, signal } = options;
  const kind = filesystem?.kind ?? '';
  makeFolder(scratch);
  return minimumSize({ source: baseExtent(source, extent), filesystem: kind, name, scratch, signal });
}

/** Without a wish everything keeps its size, unless that does not fit: then a smaller target is filled. */
async function arrangeTable(options: ArrangeOptions, table: PartitionTable): Promise<Arrangement> {
  const { layout, sizes } = options;
  if (layout !== undefined || sizes.size > 0) return arrangeAs(layout ?? 'same', options, table);
  const request = requestOf(options, { table, minima: new Map(), mode: 'same' });
  const decision = decideLayout(request);
  return decision.fits ? fromLayout(decision) : arrangeAs('fill', options, table);
}

/** Asks for the minimum of each volume that would shrink, until none of them is a guess any more. */
async function arrangeAs(mode: LayoutMode, options: ArrangeOptions, table: PartitionTable): Promise<Arrangement> {
  const { report, sizes } = options;
  const minima = new Map<number, Bytes>();
  const measure = async (numbers: readonly number[]): Promise<void> => {
    for (const volume of report.volumes) {
      const number = volume.partition?.number ?? 0;
      if (!numbers.includes(number) || minima.has(number) || !flexibility(volume).shrinkable) continue;
      minima.set(number, (await minimumOf(volume, options)).minimum);
    }
  };
  await measure(smallerSizes(report, sizes));
  for (;;) {
    const request = requestOf(options, { table, minima, mode });
    const decision = decideLayout(request);
    const guessed = decision.fits
      ? decision.placements.filter(({ size, number }) => size === 'shrunk' && isGuess(options, minima, number))
      : request.partitions.filter(({ number }) => isGuess(options, minima, number));
    if (guessed.length > 0) await measure(guessed.map(({ number }) => number));
    else if (decision.fits) return fromLayout(decision);
    else throw layoutError(request, decision);
  }
}

function smallerSizes({ volumes }: DiskReport, sizes: ReadonlyMap<number, WantedSize>): number[] {
  return volumes.flatMap(({ partition, extent }) => {
    const wanted = partition && sizes.get(partition.number);
    const isSmaller = wanted === 'min' || wanted === 'rest' || (wanted !== undefined && wanted < extent.length);
    return partition && isSmaller ? [partition.number] : [];
  });
}

function isGuess({ report }: ArrangeOptions, minima: ReadonlyMap<number, Bytes>, number: number): boolean {
  const volume = report.volumes.find(({ partition }) => partition?.number === number);
  return volume !== undefined && flexibility(volume).shrinkable && !minima.has(number);
}

function requestOf(
  { report, target, only: wanted, sizes, table: wish }: ArrangeOptions,
  { table, minima, mode }: { table: PartitionTable; minima: ReadonlyMap<number, Bytes>; mode: LayoutMode },
): LayoutRequest {
  const kept = report.volumes.filter(({ partition }) => !wanted || (partition && wanted.includes(partition.number)));
  return {
    table: wish === 'gpt' ? 'gpt' : table.kind,
    partitions: kept.flatMap((volume) => partitionOf(volume, minima) ?? []),
    containers: table.kind === 'mbr' ? table.raw.containers.map(({ extent }) => extent) : [],
    firstStart: Math.min(...table.partitions.map(({ extent }) => extent.offset)),
    sourceSize: report.size,
    target: { size: target.size, sectorSize: target.sectorSize },
    gpt:
      table.kind === 'gpt'
        ? { entryArray: table.raw.entries.length, firstUsable: table.raw.firstUsable * table.sectorSize }
        : undefined,
    mode,
    sizes,
  };
}

function partitionOf(volume: VolumeReport, minima: ReadonlyMap<number, Bytes>): LayoutPartition | undefined {
  const { partition, extent, filesystem } = volume;
  if (!partition) return undefined;
  const { fixed, growable, shrinkable } = flexibility(volume);
  const guess = Math.min(extent.length, filesystem?.used ?? extent.length);
  const minimum = shrinkable ? (minima.get(partition.number) ?? guess) : extent.length;
  return { number: partition.number, extent, role: partition.role, fixed, minimum, growable };
}

function fromLayout({ placements, containers, notes }: Layout): Arrangement {
  return {
    ...UNMOVED,
    places: new Map(placements.map(({ number, extent }) => [number, extent])),
    container: containers.length === 1 ? containers[0]?.extent : undefined,
    notes: notes.map(({ message }) => message),
  };
}
