// Swap files that an fstab on the same disk names, and whether their content is worth nothing.
// Invariant: only what looks in every respect like a swap file of a computer that was shut down is given out; anything
// else is a file like all others.

import { FormatError } from '../base/u64.js';
import { type Bytes, MiB } from '../base/units.js';
import { isSolid, readFromFile, wholeBlocks } from '../filesystem/file.js';
import type { ExcludedFile, FoundFile } from '../filesystem/plugin.js';
import { HEADER_LENGTH, parseSwapHeader, SMALLEST_AREA, type SwapHeader } from '../filesystem/swap/header.js';
import { sliceSource } from '../source/slice.js';
import type { Source } from '../source/types.js';
import { type FilesystemName, type Fstab, mountOf, parseFstab } from './fstab.js';
import type { DiskReport, VolumeReport } from './inspect.js';

const FSTAB = '/etc/fstab';
const LONGEST_FSTAB: Bytes = MiB;
const ROOT = 0;
const OTHERS = 0o077;

/** A file with a swap header that an fstab calls a swap file. */
export interface SwapFile {
  readonly volume: VolumeReport;
  /** From the root of its own file system. */
  readonly path: string;
  readonly file: FoundFile;
  readonly header: SwapHeader;
}

/** All swap files of the disk. Reads the fstab of every file system that has one. */
export async function findSwapFiles(disk: Source, report: DiskReport): Promise<SwapFile[]> {
  const found = new Map<string, SwapFile>();
  for (const volume of report.volumes) {
    const fstab = await readFstab(disk, volume);
    for (const path of fstab?.swapFiles ?? []) {
      const place = fstab && placeOf(path, { fstab, home: volume, report });
      const swapFile = place && (await openSwapFile(disk, place));
      if (swapFile) found.set(`${swapFile.volume.extent.offset} ${swapFile.path}`, swapFile);
    }
  }
  return [...found.values()];
}

/** What of it may be left out: everything behind its header. Undefined: it is no plain swap file, or not root's alone. */
export function excludedPart({ volume, path, file, header }: SwapFile): ExcludedFile | undefined {
  const { pageSize, pageCount, version, badPages, hibernated } = header;
  const plain = version === 1 && badPages === 0 && !hibernated && file.size === pageCount * pageSize;
  const own = file.owner === ROOT && (file.permissions & OTHERS) === 0 && !file.shared && isSolid(file);
  if (!plain || !own || !volume.filesystem) return undefined;
  const paged = { offset: pageSize, length: file.size - pageSize };
  return { path, kind: 'swap file', extents: wholeBlocks(file, paged, volume.filesystem.blockSize) };
}

async function readFstab(disk: Source, volume: VolumeReport): Promise<Fstab | undefined> {
  const file = await findFile(disk, volume, FSTAB);
  if (!file || file.size > LONGEST_FSTAB) return undefined;
  const bytes = Buffer.alloc(file.size);
  await readFromFile(sourceOf(disk, volume), file, { into: bytes, position: 0 });
  return parseFstab(bytes.toString('utf8'));
}

/** Which file system of the disk the path lies on. Undefined: on none of them, or that cannot be told. */
function placeOf(
  path: string,
  { fstab, home, report }: { fstab: Fstab; home: VolumeReport; report: DiskReport },
): { volume: VolumeReport; path: string } | undefined {
  const { mount, below } = mountOf(fstab, path);
  if (mount?.filesystem) {
    const [only, other] = report.volumes.filter((volume) => isCalled(volume, mount.filesystem));
    return only && !other ? { volume: only, path: below } : undefined;
  }
  // The root, if the fstab does not say otherwise, is the file system that it lies on itself.
  return mount === undefined || mount.folder === '' ? { volume: home, path: below } : undefined;
}

function isCalled({ filesystem }: VolumeReport, name: FilesystemName | undefined): boolean {
  if (!filesystem || !name) return false;
  if (name.by === 'label') return filesystem.label === name.value;
  return filesystem.uuid.toLowerCase() === name.value.toLowerCase();
}

/** The swap file at `path` of its volume; undefined if there is none that bears a header. */
export async function openSwapFile(
  disk: Source,
  { volume, path }: { volume: VolumeReport; path: string },
): Promise<SwapFile | undefined> {
  const file = await findFile(disk, volume, path);
  if (!file || file.size < SMALLEST_AREA) return undefined;
  const bytes = Buffer.alloc(Math.min(HEADER_LENGTH, file.size));
  await readFromFile(sourceOf(disk, volume), file, { into: bytes, position: 0 });
  const header = parseSwapHeader(bytes);
  return header && { volume, path, file, header };
}

/** Metadata that contradicts itself names no file. */
async function findFile(disk: Source, volume: VolumeReport, path: string): Promise<FoundFile | undefined> {
  const { plugin, filesystem } = volume;
  if (!plugin?.findFile || !filesystem) return undefined;
  try {
    return await plugin.findFile(sourceOf(disk, volume), filesystem, path);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

function sourceOf(disk: Source, { extent, name }: VolumeReport): Source {
  return sliceSource(disk, extent, `${disk.name} ${name}`);
}
