// What is copied in place of a volume that changes its size, its place or its sectors on the way: a view of it, made
// anew for each run. Invariant: source and target are only read; all that is written lies in the scratch folder.

import { join } from 'node:path';
import { scratchTooSmall } from '../base/errors/reshape.js';
import type { Report } from '../base/report.js';
import type { Bytes } from '../base/units.js';
import { freeSpace } from '../device/room.js';
import type { SourceEnd } from '../location/ends.js';
import type { Extent } from '../map/extent.js';
import { allocationOf, usedBytes } from '../plan/allocation.js';
import type { CopyLayout, PlannedVolume } from '../plan/clone-plan.js';
import { excludableInView } from '../plan/exclusions.js';
import { inspectSingle } from '../plan/inspect.js';
import { afterMove } from '../reshape/after-move/after-move.js';
import { type Adaptation, type Move, type Place, UNCHANGED } from '../reshape/after-move/place.js';
import { rebuildFat } from '../reshape/after-move/rebuild-fat.js';
import type { BaseExtent } from '../reshape/daemon.js';
import { scratchNeeded } from '../reshape/minimum.js';
import { runProgram } from '../reshape/program.js';
import { makeView } from '../reshape/view.js';
import { dismantle, makeViewFolder } from '../reshape/view-folder.js';
import { isUnreadable } from '../source/around.js';
import { openDiskSource } from '../source/disk.js';
import { patchedSource } from '../source/patched.js';
import { sliceSource } from '../source/slice.js';
import type { Source } from '../source/types.js';
import { makeFolder } from '../state/folder.js';

/** A layout whose volumes are shown as they will be on the target. */
export interface ViewedLayout {
  readonly layout: CopyLayout;
  /** For the user: what is worth knowing about the views. */
  readonly notes: readonly string[];
  close(): Promise<void>;
}

export interface ViewsOptions {
  readonly source: SourceEnd;
  /** Only its place and sizes are used, and volumes that are kept are read. */
  readonly target: SourceEnd;
  readonly layout: CopyLayout;
  /** Of the source's table. */
  readonly sourceSectorSize: Bytes;
  readonly forensic: boolean;
  readonly leaveOut: boolean;
  /** True for volumes, in the layout's order, that the target is known to hold already. */
  readonly kept: readonly boolean[];
  /** For what a view changes. */
  readonly scratch: string;
  readonly report: Report;
  readonly signal: AbortSignal;
}

/** Makes all views that the layout needs. Throws ToolError, and leaves nothing behind then. */
export async function viewLayout(options: ViewsOptions): Promise<ViewedLayout> {
  const { layout, kept } = options;
  const closing: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const end of closing.splice(0).reverse()) await end();
  };
  const notes: string[] = [];
  const volumes: PlannedVolume[] = [];
  try {
    for (const [index, planned] of layout.volumes.entries()) {
      const shown = kept[index] ? await keptOf(planned, options) : await viewOf(planned, options, closing);
      volumes.push(shown.volume);
      notes.push(...shown.notes);
    }
    return { layout: { ...layout, volumes }, notes, close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Shown {
  readonly volume: PlannedVolume;
  readonly notes: readonly string[];
}

/** What the target holds is the view, as the last run left it: its map says what is used. */
async function keptOf(planned: PlannedVolume, { target, source }: ViewsOptions): Promise<Shown> {
  const view = sliceSource(target.medium, planned.targetExtent, `${target.medium.name} ${planned.name}`);
  const { allocation } = await lookInto(view, planned, { leaveOut: false, source });
  return { volume: { ...planned, allocation, view, kept: true }, notes: [] };
}

async function viewOf(planned: PlannedVolume, options: ViewsOptions, closing: (() => Promise<void>)[]): Promise<Shown> {
  const resized = needsRebuild(planned, options)
    ? await rebuiltOf(planned, options, closing)
    : await resizedOf(planned, options, closing);
  const base = resized?.source ?? sourceSlice(planned, options);
  const adapted = needsRebuild(planned, options) ? UNCHANGED : await adaptationOf(planned, base, options);
  const { notes } = adapted;
  const patches = [...adapted.patches, ...planned.patches];
  const all = [...(resized?.notes ?? []), ...notes].map((note) => `${planned.name}: ${note}`);
  if (!resized && patches.length === 0) return { volume: planned, notes: all };
  const view = patchedSource(base, patches);
  // What is patched are sectors that were used before: only another size changes what is used.
  if (!resized) return { volume: { ...planned, view }, notes: all };
  return { volume: { ...planned, view, ...(await lookInto(view, planned, options)) }, notes: all };
}

function needsRebuild({ report }: PlannedVolume, { forensic, layout, sourceSectorSize }: ViewsOptions): boolean {
  return !forensic && layout.sectorSize !== sourceSectorSize && /^fat\d+$/.test(report.filesystem?.kind ?? '');
}

interface Resized {
  readonly source: Source;
  readonly notes: readonly string[];
}

/** Undefined: it keeps its size. */
async function resizedOf(
  { name, report: { filesystem }, sourceExtent, targetExtent }: PlannedVolume,
  { source, layout, scratch, report, signal }: ViewsOptions,
  closing: (() => Promise<void>)[],
): Promise<Resized | undefined> {
  if (targetExtent.length === sourceExtent.length || !filesystem) return undefined;
  const wanted = {
    source: baseExtent(source, sourceExtent),
    filesystem: filesystem.kind,
    name: `${source.place.name} ${name}`,
    size: targetExtent.length,
    sectorSize: layout.sectorSize,
    scratch,
    report,
    signal,
  };
  makeFolder(scratch);
  const needed = await scratchNeeded(wanted);
  const free = freeSpace(scratch);
  if (needed > free) throw scratchTooSmall(wanted.name, scratch, { needed, free });
  const view = await makeView(wanted);
  closing.push(() => view.close());
  const opened = view.source();
  closing.push(() => opened.close());
  return { source: opened, notes: view.notes };
}

/** The volume's place on the medium that is really opened. */
export function baseExtent({ place: { path, extent }, medium }: SourceEnd, { offset, length }: Extent): BaseExtent {
  const kind = medium.sectorSize === undefined ? 'file' : 'device';
  return { path, kind, offset: (extent?.offset ?? 0) + offset, length };
}

function sourceSlice({ name, sourceExtent }: PlannedVolume, { source: { medium } }: ViewsOptions): Source {
  return sliceSource(medium, sourceExtent, `${medium.name} ${name}`);
}

/** What its new place changes in it. Every byte of a forensic copy, and what cannot be read, stays as it is. */
async function adaptationOf(planned: PlannedVolume, volume: Source, options: ViewsOptions): Promise<Adaptation> {
  if (options.forensic) return UNCHANGED;
  try {
    return await afterMove(moveOf(planned, volume, options));
  } catch (error) {
    if (!volume.readAround || !isUnreadable(error)) throw error;
    return {
      patches: [],
      notes: ['a boot sector of it cannot be read, so those that say where it lies stay as they are'],
    };
  }
}

function moveOf(
  { report: { filesystem, foreign }, sourceExtent, targetExtent }: PlannedVolume,
  volume: Source,
  { source, target, layout, sourceSectorSize }: ViewsOptions,
): Move {
  const at = (start: Bytes, sectorSize: Bytes): Place => ({ startLba: Math.floor(start / sectorSize), sectorSize });
  const kind = filesystem?.kind ?? foreign?.kind;
  return {
    volume,
    filesystem: kind === undefined ? undefined : { kind },
    source: at(source.place.offsetOnDisk + sourceExtent.offset, sourceSectorSize),
    target: at(target.place.offsetOnDisk + targetExtent.offset, layout.sectorSize),
  };
}

/** A FAT counts everything in sectors: for sectors of another size it is made anew, and its files are copied. */
async function rebuiltOf(
  planned: PlannedVolume,
  options: ViewsOptions,
  closing: (() => Promise<void>)[],
): Promise<Resized> {
  const { name, report, targetExtent } = planned;
  const { scratch, signal, layout } = options;
  const volume = sourceSlice(planned, options);
  const { target, filesystem } = moveOf(planned, volume, options);
  makeFolder(scratch);
  const free = freeSpace(scratch);
  if (2 * planned.used > free) throw scratchTooSmall(volume.name, scratch, { needed: 2 * planned.used, free });
  const folder = makeViewFolder(scratch);
  closing.push(async () => dismantle(folder));
  const file = join(folder, 'volume');
  const { notes } = await rebuildFat(
    {
      volume,
      kind: filesystem?.kind ?? '',
      label: report.filesystem?.label ?? '',
      serial: report.filesystem?.uuid ?? '',
      size: targetExtent.length,
      sectorSize: layout.sectorSize,
      startLba: target.startLba,
      file,
    },
    (program, words, env) => runProgram(program, words, { purpose: `make ${name} anew`, volume: name, signal, env }),
  );
  const source = openDiskSource(file);
  closing.push(() => source.close());
  return { source, notes };
}

/** What of a view is used, by its own metadata. */
async function lookInto(
  view: Source,
  { name, report }: PlannedVolume,
  { leaveOut, source }: Pick<ViewsOptions, 'leaveOut' | 'source'>,
): Promise<Pick<PlannedVolume, 'allocation' | 'used'>> {
  const [found] = (await inspectSingle(view, source.identity, name)).volumes;
  if (!found) throw new Error(`internal error: nothing is known of the view of ${name}`);
  const excludable = leaveOut ? await excludableInView(view, found, report) : [];
  const allocation = await allocationOf(view, { ...found, excludable }, { forensic: false, leaveOut });
  return { allocation, used: await usedBytes(allocation.map, view.size) };
}
