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
import { fatNeedsRebuild } from '../reshape/after-move/fat.js';
import { type Adaptation, type Move, type Site, UNCHANGED } from '../reshape/after-move/move.js';
import { rebuildFat } from '../reshape/after-move/rebuild-fat.js';
import type { BaseExtent } from '../reshape/daemon.js';
import type { References } from '../reshape/identity/references.js';
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
import { changesByTool, newIdOf, type Patched, patchedTwin, type Twin, twinSteps } from './twin-view.js';

/** A layout whose volumes are shown as they will be on the target. */
export interface ViewedLayout {
  readonly layout: CopyLayout;
  /** For the user: what is worth knowing about the views. */
  readonly notes: readonly string[];
  /** What names old IDs in the volumes that were looked into; undefined if there are no new ones. */
  readonly references: References | undefined;
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
  /** Of a twin. */
  readonly twin: Twin | undefined;
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
  const found: References[] = [];
  try {
    for (const [index, planned] of layout.volumes.entries()) {
      const shown = kept[index] ? await keptOf(planned, options) : await viewOf(planned, options, closing);
      volumes.push(shown.volume);
      notes.push(...shown.notes);
      if (shown.references) found.push(shown.references);
    }
    const references = options.twin && joined(found);
    return { layout: { ...layout, volumes }, notes, references, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function joined(found: readonly References[]): References {
  return {
    rewritten: found.flatMap(({ rewritten }) => rewritten),
    unresolved: found.flatMap(({ unresolved }) => unresolved),
    listed: found.flatMap(({ listed }) => listed),
  };
}

interface Shown {
  readonly volume: PlannedVolume;
  readonly notes: readonly string[];
  readonly references?: References | undefined;
}

/** What the target holds is the view, as the last run left it: its map says what is used. */
async function keptOf(planned: PlannedVolume, { target, source }: ViewsOptions): Promise<Shown> {
  const view = sliceSource(target.medium, planned.targetExtent, `${target.medium.name} ${planned.name}`);
  const { allocation } = await lookInto(view, planned, { leaveOut: false, source });
  return { volume: { ...planned, allocation, view, kept: true }, notes: [] };
}

async function viewOf(planned: PlannedVolume, options: ViewsOptions, closing: (() => Promise<void>)[]): Promise<Shown> {
  const { name } = planned;
  const rebuilds = await needsRebuild(planned, options);
  const made = rebuilds ? await rebuiltOf(planned, options, closing) : await resizedOf(planned, options, closing);
  const plain = made?.source ?? sourceSlice(planned, options);
  const renamed = await renamedOf(planned, plain, { options, made, rebuilds });
  const base = renamed?.source ?? plain;
  const adapted = rebuilds ? UNCHANGED : await adaptationOf(planned, base, options);
  const patches = [...adapted.patches, ...planned.patches];
  const notes = [...(made?.notes ?? []), ...adapted.notes].map((note) => `${name}: ${note}`);
  const references = made?.references ?? renamed?.references;
  if (!made && base === plain && patches.length === 0) return { volume: planned, notes, references };
  const view = patches.length > 0 ? patchedSource(base, patches) : base;
  // What is patched are sectors that were used before: only another size changes what is used.
  if (!made) return { volume: { ...planned, view }, notes, references };
  return { volume: { ...planned, view, ...(await lookInto(view, planned, options)) }, notes, references };
}

/** What tools have not done for a twin already, by patches. */
async function renamedOf(
  planned: PlannedVolume,
  volume: Source,
  { options: { twin }, made, rebuilds }: { options: ViewsOptions; made: Made | undefined; rebuilds: boolean },
): Promise<Patched | undefined> {
  if (!twin || (made && !rebuilds)) return undefined;
  return patchedTwin(planned, volume, { twin, hasNewId: rebuilds });
}

/** True if the view takes a tool that works on an overlay: it costs time and room. */
export function needsView(planned: PlannedVolume, twin: Twin | undefined): boolean {
  const { report, sourceExtent, targetExtent } = planned;
  if (!report.filesystem) return false;
  return targetExtent.length !== sourceExtent.length || (twin !== undefined && changesByTool(planned));
}

async function needsRebuild(planned: PlannedVolume, options: ViewsOptions): Promise<boolean> {
  if (options.forensic || !/^fat\d+$/.test(planned.report.filesystem?.kind ?? '')) return false;
  return fatNeedsRebuild(moveOf(planned, sourceSlice(planned, options), options));
}

interface Made {
  readonly source: Source;
  readonly notes: readonly string[];
  readonly references?: References | undefined;
}

/** Undefined: it keeps its size and its ID. */
async function resizedOf(
  planned: PlannedVolume,
  options: ViewsOptions,
  closing: (() => Promise<void>)[],
): Promise<Made | undefined> {
  const { name, report: volume, sourceExtent, targetExtent } = planned;
  const { source, layout, scratch, report, signal, twin } = options;
  const { filesystem } = volume;
  if (!filesystem || !needsView(planned, twin)) return undefined;
  let references: References | undefined;
  const wanted = {
    source: baseExtent(source, sourceExtent),
    filesystem: filesystem.kind,
    name: `${source.place.name} ${name}`,
    size: targetExtent.length,
    sectorSize: layout.sectorSize,
    scratch,
    report,
    signal,
    after: twin ? twinSteps(planned, twin, (found) => (references = found)) : [],
  };
  makeFolder(scratch);
  const needed = await scratchNeeded(wanted);
  const free = freeSpace(scratch);
  if (needed > free) throw scratchTooSmall(wanted.name, scratch, { needed, free });
  const view = await makeView(wanted);
  closing.push(() => view.close());
  const opened = view.source();
  closing.push(() => opened.close());
  return { source: opened, notes: view.notes, references };
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
  const at = (start: Bytes, sectorSize: Bytes): Site => ({ startLba: Math.floor(start / sectorSize), sectorSize });
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
): Promise<Made> {
  const { name, report, targetExtent } = planned;
  const { scratch, signal, layout, twin } = options;
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
      serial: (twin && newIdOf(planned, twin)) ?? report.filesystem?.uuid ?? '',
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
