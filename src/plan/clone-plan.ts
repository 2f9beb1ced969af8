// Everything a clone decides before it writes: what is copied how, what the target will look like, what is lost.
// Invariant: making a plan reads and never writes; --dry-run ends with it.

import { sourceUnclean } from '../base/errors/filesystem.js';
import { sectorSizeChange, targetTooSmall } from '../base/errors/partition.js';
import { optionNeedsDisks } from '../base/errors/usage.js';
import type { Bytes } from '../base/units.js';
import type { DiskIdentity } from '../device/identity.js';
import { CLEAN } from '../filesystem/plugin.js';
import { type Extent, extentEnd, gaps, normalise, totalLength } from '../map/extent.js';
import { gapsOf } from '../partition/layout.js';
import type { TableImage } from '../partition/table.js';
import type { Patch } from '../source/patched.js';
import { sliceSource } from '../source/slice.js';
import type { Source } from '../source/types.js';
import { type Allocation, allocationOf, usedBytes } from './allocation.js';
import { type Arrangement, placeOf, WITHOUT_TABLE } from './arrangement.js';
import { bootLoaderFor, type DiskPatch } from './boot-loader.js';
import { contentKind, type DiskReport, type VolumeReport } from './inspect.js';
import { clearedEnd, composeSurroundings, type Piece, tableHoles, withLostBootCode } from './surroundings.js';
import { contentIdOf, printable } from './target-content.js';
import { type TargetTable, targetTable } from './target-table.js';

/** A volume that will be copied. */
export interface PlannedVolume {
  readonly name: string;
  /** What lies there on the source. */
  readonly report: VolumeReport;
  /** What it is, for people: `ext4 "root"`. */
  readonly content: string;
  readonly sourceExtent: Extent;
  readonly targetExtent: Extent;
  /** Of the source; of the view where one is copied. */
  readonly allocation: Allocation;
  readonly used: Bytes;
  /** What of its content has to follow its new place, besides what the file system itself knows; volume offsets. */
  readonly patches: readonly Patch[];
  /** What is copied in place of the source's bytes; its size is that of the place on the target. */
  readonly view?: Source;
  /** True: the target is known to hold it already, so nothing of it is even looked at. */
  readonly kept?: boolean;
}

/** A stretch of a disk, for the picture of its layout. */
export interface LayoutPart {
  readonly label: string;
  readonly extent: Extent;
  readonly used: Bytes | undefined;
}

/** What the source becomes on the target. */
export interface CopyLayout {
  readonly volumes: readonly PlannedVolume[];
  readonly pieces: readonly Piece[];
  readonly parts: readonly LayoutPart[];
  readonly warnings: readonly string[];
  /** Unreadable sectors of the source's table, which the target gets anew. */
  readonly tableHoles: readonly Extent[];
  /** Identifies the content that the target will have. */
  readonly contentId: string;
  /** Of the target's table, for arming its last sector. */
  readonly sectorSize: Bytes;
}

/** Bytes of files that are left out. */
export function excludedBytes({ volumes }: CopyLayout): Bytes {
  return volumes.reduce((sum, { allocation }) => sum + totalLength(allocation.wiped), 0);
}

export interface LayoutOptions {
  readonly source: Source;
  readonly report: DiskReport;
  readonly target: { readonly name: string; readonly size: Bytes; readonly sectorSize: Bytes | undefined };
  readonly only: readonly number[] | undefined;
  readonly forensic: boolean;
  /** Page, hibernation and swap files are left out, where the report names any. */
  readonly leaveOut: boolean;
  readonly arrangement: Arrangement;
}

/** Plans the copy of a disk or a volume. Throws ToolError: too small, unclean, sector sizes, no such partition. */
export async function planLayout(options: LayoutOptions): Promise<CopyLayout> {
  const { source, report, target, only, forensic, leaveOut, arrangement } = options;
  const warnings = [...(report.table?.warnings ?? []).map(({ message }) => message), ...arrangement.notes];
  if (report.damage) warnings.push(`${report.damage}; the disk is copied as it is`);
  if (only && !report.table) throw optionNeedsDisks('--only');
  const moves = arrangement.places.size > 0;
  const fitted = report.table && targetTable(report.table, options);
  const boot = moves && report.table && fitted ? await bootLoaderFor(source, report.table, fitted) : undefined;
  const image = boot?.image ?? fitted?.image;
  warnings.push(...(boot?.warnings ?? []));
  if (!image && !moves) refuseOtherSectors(report.sectorSize, target.sectorSize);
  if (!image) refuseTooSmall(options);

  const kept = report.volumes.filter(({ partition }) => !only || (partition && only.includes(partition.number)));
  if (!forensic) kept.forEach(refuseUnclean);
  const volumes: PlannedVolume[] = [];
  const patches = boot?.patches ?? [];
  for (const volume of kept) {
    volumes.push(await planVolume(source, volume, { forensic, leaveOut, arrangement, patches }));
  }
  const lost = source.readAround && report.table ? await tableHoles(source, report.table) : [];
  const first = lost.find(({ offset }) => offset === 0);
  const made = fitted && image ? { ...fitted, image } : undefined;
  const pieces = withLostBootCode(await surroundings(options, made), first);
  if (forensic && image && !only) {
    for (const gap of forensicGaps(report, { image, pieces, targetSize: target.size })) {
      volumes.push(await planVolume(source, gap, { forensic, leaveOut: false, arrangement, patches: [] }));
    }
  }
  for (const { name, allocation } of volumes) {
    if (allocation.damaged) warnings.push(`${name} is copied whole: ${allocation.reason}`);
    if (allocation.notLeftOut) warnings.push(`nothing of ${name} is left out: ${allocation.notLeftOut}`);
  }
  return {
    volumes: volumes.sort((a, b) => a.targetExtent.offset - b.targetExtent.offset),
    pieces,
    parts: volumes.map(({ content, name, targetExtent, used }) => ({
      label: content || name,
      extent: targetExtent,
      used,
    })),
    warnings,
    tableHoles: lost.filter((hole) => hole !== first),
    contentId: await targetContentId(options),
    sectorSize: target.sectorSize ?? report.sectorSize ?? 512,
  };
}

/** What will tell the target's content from any other. */
async function targetContentId({ source, report, arrangement }: LayoutOptions): Promise<string> {
  const { identity, converted } = arrangement;
  const drawn = report.table ? (converted ?? identity)?.diskId : identity?.volumes[WITHOUT_TABLE];
  return drawn || contentIdOf(source, report);
}

async function surroundings(
  { source, report, target, forensic, arrangement }: LayoutOptions,
  made: TargetTable | undefined,
): Promise<Piece[]> {
  const { table } = report;
  if (!table || !made) {
    const [whole] = report.volumes;
    const size = whole ? extentEnd(placeOf(arrangement, whole)) : report.size;
    return clearedEnd({ size, targetSize: target.size });
  }
  // A forensic copy keeps what lies at the source's end; only what is longer than the source is cleared.
  const clearFrom = forensic ? source.size : 0;
  return composeSurroundings(source, { table, ...made, targetSize: target.size, clearFrom });
}

/** Without a table nothing else asks whether a volume fits where it goes. */
function refuseTooSmall({ report, target, arrangement }: LayoutOptions): void {
  const needed = Math.max(...report.volumes.map((volume) => extentEnd(placeOf(arrangement, volume))));
  if (needed > target.size) throw targetTooSmall({ needed, targetSize: target.size });
}

/** File systems count in sectors too: most cannot be used on a disk with larger ones. */
function refuseOtherSectors(source: Bytes | undefined, target: Bytes | undefined): void {
  if (source !== undefined && target !== undefined && source !== target) throw sectorSizeChange({ source, target });
}

/** A file system whose copy would not be what the user sees on the source is not copied. */
function refuseUnclean({ name, filesystem, state }: VolumeReport): void {
  if (state.kind !== 'clean') throw sourceUnclean(name, filesystem?.kind ?? 'unknown', state.reason, state.advice);
}

interface VolumeOptions {
  readonly forensic: boolean;
  readonly leaveOut: boolean;
  readonly arrangement: Arrangement;
  /** On the target's disk. */
  readonly patches: readonly DiskPatch[];
}

async function planVolume(source: Source, report: VolumeReport, options: VolumeOptions): Promise<PlannedVolume> {
  const volume = sliceSource(source, report.extent, `${source.name} ${report.name}`);
  const allocation = await allocationOf(volume, report, options);
  const { filesystem, partition } = report;
  const label = filesystem?.label || partition?.name || '';
  const targetExtent = placeOf(options.arrangement, report);
  const inside = options.patches.filter(
    (patch) => patch.offset >= targetExtent.offset && patch.offset < extentEnd(targetExtent),
  );
  return {
    name: report.name,
    report,
    content: `${contentKind(report) || 'unknown'}${label ? ` "${printable(label)}"` : ''}`,
    sourceExtent: report.extent,
    targetExtent,
    patches: inside.map(({ offset, bytes }) => ({ offset: offset - targetExtent.offset, bytes })),
    allocation,
    used: await usedBytes(allocation.map, volume.size),
  };
}

/** The forensic copy takes the gaps between partitions too, wherever nothing else of the target lies. */
function forensicGaps(
  { table, size }: DiskReport,
  { image, pieces, targetSize }: { image: TableImage; pieces: readonly Piece[]; targetSize: Bytes },
): VolumeReport[] {
  if (!table) return [];
  const taken = normalise([
    ...pieces.map(({ offset, bytes }) => ({ offset, length: bytes.length })),
    ...image.partitions.map(({ extent }) => extent),
  ]);
  const free = gapsOf(table, Math.min(size, targetSize)).flatMap((gap) => [...gaps(taken, gap)]);
  return free.map((extent) => ({
    name: `gap at byte ${extent.offset}`,
    partition: undefined,
    extent,
    filesystem: undefined,
    plugin: undefined,
    state: CLEAN,
    foreign: undefined,
    unrecognised: 'no file system',
    excludable: [],
  }));
}

/** The layout of a disk as it is. */
export function layoutOf(report: DiskReport | undefined): LayoutPart[] {
  return (report?.volumes ?? []).map((volume) => ({
    label: volume.filesystem?.label ? printable(volume.filesystem.label) : contentKind(volume) || 'unknown',
    extent: volume.extent,
    used: volume.filesystem?.used,
  }));
}

/** Who is who, for the plan. */
export interface PlannedDisk {
  readonly kind: DiskIdentity['kind'];
  readonly path: string;
  readonly id: string;
  readonly model: string;
  readonly size: Bytes;
}

export function plannedDisk({ kind, path, id, model, size }: DiskIdentity): PlannedDisk {
  return { kind, path, id, model, size };
}
