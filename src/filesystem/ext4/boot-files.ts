// Files that boot loaders write to without the file system knowing: grubenv, ldlinux.sys, uboot.env. Their blocks change,
// their inodes do not.
// Invariant: all files below the folders of boot loaders are found, or `all` says that it was not possible: too many, too
// long, or behind a link. Directories whose content contradicts itself throw FormatError.

import { type Bytes, MiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { type CheckedInode, readInode, readRawInode } from './checked-inode.js';
import { inlineEntries } from './directory-entries.js';
import { type Entry, entriesOf } from './find-file.js';
import { ROOT_INODE } from './inode.js';
import type { Superblock } from './superblock.js';

export interface BootFiles {
  /** Everything that is no directory below those folders. */
  readonly numbers: ReadonlySet<number>;
  /** Any file may be one of them. */
  readonly all: boolean;
}

/** In the root folder, of a whole system or of a volume that is mounted on /boot. Upper and lower case do not matter. */
const FOLDERS: ReadonlySet<string> = new Set(['boot', 'grub', 'grub2', 'extlinux', 'syslinux', 'isolinux', 'loader']);
const FILES: ReadonlySet<string> = new Set(['ldlinux.sys', 'extlinux.sys', 'grubenv', 'uboot.env', 'uboot-redund.env']);

/** More than any boot folder has; boot loaders' writers are few and simple. */
const MOST_FOLDERS = 64;
const MOST_ENTRIES = 2 ** 14;
const LONGEST_ROOT: Bytes = 4 * MiB;
const LONGEST_FOLDER: Bytes = MiB;

const SELF = Buffer.from('.');
const PARENT = Buffer.from('..');

const ALL: BootFiles = { numbers: new Set(), all: true };

/** Throws FormatError. */
export async function findBootFiles(volume: Source, superblock: Superblock): Promise<BootFiles> {
  const numbers = new Set<number>();
  const folders = new Set<number>();
  const add = async (number: number): Promise<boolean> => {
    const inode = await readInode(volume, superblock, number);
    if (inode.format === 'directory') folders.add(number);
    else numbers.add(number);
    return inode.format !== 'link';
  };
  const root = await readInode(volume, superblock, ROOT_INODE);
  if (root.format !== 'directory' || root.size > LONGEST_ROOT) return ALL;
  for await (const { name, inode } of namesIn(volume, superblock, root)) {
    const known = name.toString('latin1').toLowerCase();
    if (FILES.has(known)) numbers.add(inode);
    if (FOLDERS.has(known) && !(await add(inode))) return ALL;
  }
  let entries = 0;
  for (const number of folders) {
    // The set grows while it is walked, and has each folder once.
    const folder = await readInode(volume, superblock, number);
    if (folders.size > MOST_FOLDERS || folder.size > LONGEST_FOLDER) return ALL;
    for await (const { name, inode, isFile } of namesIn(volume, superblock, folder)) {
      if (name.equals(SELF) || name.equals(PARENT)) continue;
      entries += 1;
      if (entries > MOST_ENTRIES) return ALL;
      if (isFile) numbers.add(inode);
      else await add(inode);
    }
  }
  return { numbers, all: false };
}

async function* namesIn(volume: Source, superblock: Superblock, directory: CheckedInode): AsyncGenerator<Entry> {
  if (directory.map) {
    yield* entriesOf(volume, superblock, directory);
    return;
  }
  const raw = await readRawInode(volume, superblock, { number: directory.number, length: superblock.inodeSize });
  for (const { inode, name } of inlineEntries(raw)) yield { inode, name, isFile: false };
}
