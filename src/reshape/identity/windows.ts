// Whether a disk holds Windows, whose boot configuration and registry name disk and partitions by their IDs.
// Invariant: reads only; what cannot be read counts as Windows.

import { twinOfWindows } from '../../base/errors/identity.js';
import { FormatError } from '../../base/u64.js';
import { BOOT_SECTOR_LENGTH, parseBootSector } from '../../filesystem/fat/boot-sector.js';
import { openFatFiles } from '../../filesystem/fat/files.js';
import { hasPath } from '../../filesystem/ntfs/find-path.js';
import type { Extent } from '../../map/extent.js';
import { sliceSource } from '../../source/slice.js';
import type { Source } from '../../source/types.js';

/** A VolumeReport of `plan/inspect` is one. */
export interface WindowsCandidate {
  readonly name: string;
  /** On the disk. */
  readonly extent: Extent;
  readonly filesystem: { readonly kind: string } | undefined;
}

const NTFS_SIGNS = ['/Windows/System32', '/Boot/BCD'];
const FAT_SIGNS = ['/EFI/Microsoft/Boot/BCD', '/Boot/BCD'];

/** What of Windows there is, with the volume's name in front of it; empty if nothing is. Throws ToolError on read errors. */
export async function windowsOn(disk: Source, volumes: readonly WindowsCandidate[]): Promise<string[]> {
  const found: string[] = [];
  for (const { name, extent, filesystem } of volumes) {
    const kind = filesystem?.kind ?? '';
    const volume = sliceSource(disk, extent, `${disk.name} ${name}`);
    const sign =
      kind === 'ntfs' ? await signOnNtfs(volume) : kind.startsWith('fat') ? await signOnFat(volume) : undefined;
    if (sign !== undefined) found.push(`${name}: ${sign}`);
  }
  return found;
}

/** Throws `safety.twin-of-windows` if there is Windows on the disk. */
export async function refuseWindows(disk: Source, volumes: readonly WindowsCandidate[]): Promise<void> {
  const found = await windowsOn(disk, volumes);
  if (found.length > 0) throw twinOfWindows(disk.name, found);
}

function signOnNtfs(volume: Source): Promise<string | undefined> {
  return firstOf(NTFS_SIGNS, (path) => hasPath(volume, path));
}

async function signOnFat(volume: Source): Promise<string | undefined> {
  const head = Buffer.alloc(BOOT_SECTOR_LENGTH);
  await volume.read(head, 0);
  const boot = parseBootSector(head);
  return boot && firstOf(FAT_SIGNS, async (path) => (await openFatFiles(volume, boot).find(path)) !== undefined);
}

async function firstOf(
  paths: readonly string[],
  isThere: (path: string) => Promise<boolean>,
): Promise<string | undefined> {
  try {
    for (const path of paths) if (await isThere(path)) return path;
    return undefined;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return `folders that cannot be read (${error.message})`;
  }
}
