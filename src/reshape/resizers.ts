// The only file of this layer that names all file systems.

import { btrfs } from './btrfs.js';
import { ext } from './ext.js';
import { f2fs } from './f2fs.js';
import { fat } from './fat.js';
import { ntfs } from './ntfs.js';
import type { Resizer } from './resizer.js';
import { swap } from './swap.js';
import { xfs } from './xfs.js';

/** By the kinds that file systems call themselves (FilesystemInfo). */
const RESIZERS: Readonly<Record<string, Resizer>> = {
  btrfs,
  ext2: ext,
  ext3: ext,
  ext4: ext,
  f2fs,
  fat16: fat,
  fat32: fat,
  ntfs,
  swap,
  xfs,
};

/** Undefined: it stays as large as it is. */
export function resizerOf(kind: string): Resizer | undefined {
  return Object.hasOwn(RESIZERS, kind) ? RESIZERS[kind] : undefined;
}

/** Why there is no resizer for it, in the user's words. */
export function whyNot(kind: string): string {
  if (kind === 'exfat') return 'no program on Linux changes the size of exFAT';
  if (kind === 'fat12') return 'FAT12 has no room to grow';
  return 'nothing here knows how';
}
