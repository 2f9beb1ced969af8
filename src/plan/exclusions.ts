// Which files of a disk are left out of a copy: page, hibernation and swap files, whose content no started system reads.
// Invariant: while a computer hibernates anywhere on the disk nothing is left out, and only clean file systems are asked.

import { contradictingOptions } from '../base/errors/usage.js';
import { FormatError } from '../base/u64.js';
import type { Bytes } from '../base/units.js';
import type { ExcludedFile, FilesystemState } from '../filesystem/plugin.js';
import { totalLength } from '../map/extent.js';
import { isUnreadable } from '../source/around.js';
import { sliceSource } from '../source/slice.js';
import type { Source } from '../source/types.js';
import type { DiskReport, VolumeReport } from './inspect.js';
import { excludedPart, findSwapFiles, openSwapFile, type SwapFile } from './swap-files.js';
import { printable } from './target-content.js';

export interface ExclusionOptions {
  readonly forensic?: boolean | undefined;
  /** Page, hibernation and swap files are copied like all others. */
  readonly keepExcluded?: boolean | undefined;
  /** They are left out of a forensic copy too. */
  readonly excludePageFiles?: boolean | undefined;
}

/** A file that is left out, for people and machines. */
export interface ExcludedFacts {
  /** From the root of its file system. */
  readonly path: string;
  /** Why: it is a page file, a hibernation file or a swap file. */
  readonly kind: ExcludedFile['kind'];
  readonly bytes: Bytes;
}

export function excludedFacts(files: readonly ExcludedFile[]): ExcludedFacts[] {
  return files.map(({ path, kind, extents }) => ({ path, kind, bytes: totalLength(extents) }));
}

/** Whether files are left out. Throws `usage.contradicting-options`. */
export function leavesOut({ forensic, keepExcluded, excludePageFiles }: ExclusionOptions): boolean {
  if (keepExcluded && excludePageFiles) {
    throw contradictingOptions('--keep-excluded', '--exclude-page-files', 'Give only one of them');
  }
  if (keepExcluded && forensic) {
    throw contradictingOptions(
      '--keep-excluded',
      '--forensic',
      'Leave --keep-excluded out: --forensic keeps every byte',
    );
  }
  if (excludePageFiles && !forensic) {
    const hint = 'Leave it out: without --forensic such files are left out anyway';
    throw contradictingOptions('--exclude-page-files', 'a copy without --forensic', hint);
  }
  return forensic ? (excludePageFiles ?? false) : !keepExcluded;
}

/**
 * The report with the files that may be left out, and with `hibernated` where a computer sleeps in a swap file. Of a
 * disk that is read around its holes nothing is left out once anything that would tell cannot be read.
 */
export async function withExclusions(disk: Source, report: DiskReport): Promise<DiskReport> {
  try {
    return await lookForFiles(disk, report);
  } catch (error) {
    if (disk.readAround && isUnreadable(error)) return report;
    throw error;
  }
}

async function lookForFiles(disk: Source, report: DiskReport): Promise<DiskReport> {
  const swapFiles = await findSwapFiles(disk, report);
  const volumes = report.volumes.map((volume) => ({ ...volume, state: stateOf(volume, swapFiles) }));
  if (volumes.some(({ state }) => state.kind === 'hibernated')) return { ...report, volumes };
  const looked: VolumeReport[] = [];
  for (const [index, volume] of volumes.entries()) {
    const own = swapFiles.filter((swapFile) => swapFile.volume === report.volumes[index]);
    looked.push({ ...volume, excludable: volume.state.kind === 'clean' ? await excludable(disk, volume, own) : [] });
  }
  return { ...report, volumes: looked };
}

/**
 * The files of `original` that are left out, where they lie in a view of it: what changes a file system's size may move
 * them. `view` is all of `medium`.
 */
export async function excludableInView(
  medium: Source,
  view: VolumeReport,
  original: VolumeReport,
): Promise<ExcludedFile[]> {
  if (original.excludable.length === 0) return [];
  const swapFiles: SwapFile[] = [];
  for (const { path, kind } of original.excludable) {
    const file = kind === 'swap file' ? await openSwapFile(medium, { volume: view, path }) : undefined;
    if (file) swapFiles.push(file);
  }
  return excludable(medium, view, swapFiles);
}

/** A suspended computer counts before all: what else is said of the volume would be bad advice. */
function stateOf(volume: VolumeReport, swapFiles: readonly SwapFile[]): FilesystemState {
  const suspended = swapFiles.find((swapFile) => swapFile.volume === volume && swapFile.header.hibernated);
  if (!suspended) return volume.state;
  return {
    kind: 'hibernated',
    reason: `a computer hibernates in its swap file ${printable(suspended.path)}`,
    advice: 'Start that computer and shut it down, or give its session up with mkswap',
  };
}

async function excludable(disk: Source, volume: VolumeReport, swapFiles: readonly SwapFile[]): Promise<ExcludedFile[]> {
  const files = [...(await knownByName(disk, volume)), ...swapFiles.flatMap((file) => excludedPart(file) ?? [])];
  return files.filter(({ extents }) => extents.length > 0).map((file) => ({ ...file, path: printable(file.path) }));
}

/** Metadata that contradicts itself names no file: what is not understood is copied. */
async function knownByName(
  disk: Source,
  { plugin, filesystem, extent, name }: VolumeReport,
): Promise<readonly ExcludedFile[]> {
  if (!plugin?.excludable || !filesystem) return [];
  try {
    return await plugin.excludable(sliceSource(disk, extent, `${disk.name} ${name}`), filesystem);
  } catch (error) {
    if (error instanceof FormatError) return [];
    throw error;
  }
}
