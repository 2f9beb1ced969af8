// Inodes whose blocks are written by others than file operations: the superblock's own, and what boot loaders write to.
// Invariant: what lies below a boot folder is found, or the search throws; links are not followed. The work is bounded.
// Source: "XFS Algorithms & Data Structures", superblocks; GRUB's manual (environment block); SYSLINUX's (ldlinux.sys).

import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import { entriesOf, isSearched } from './directory.js';
import type { DirectoryEntry } from './directory-entries.js';
import { Version } from './features.js';
import { type Inode, readInode } from './inode.js';
import type { InodeGeometry } from './inode-geometry.js';
import type { Superblock } from './superblock.js';

/** In the root directory. Where /boot has a volume of its own, boot loaders have their folders there. */
const BOOT_NAMES: readonly string[] = ['boot', 'grub', 'grub2', 'extlinux', 'syslinux', 'ldlinux.sys'];
const MOST_ENTRIES = 2 ** 16;
const MOST_FOLDERS = 2 ** 12;

/** Bitmaps and summary of a realtime device, quotas of users, groups and projects. */
const SYSTEM_INODES_AT: readonly number[] = [64, 72, 160, 168, 232];

export interface SpecialInode {
  readonly number: number;
  /** `boot`: below a boot folder. */
  readonly kind: 'system' | 'boot';
}

/** Ascending, each once. Throws FormatError. */
export async function findSpecialInodes(
  volume: Source,
  superblock: Superblock,
  geometry: InodeGeometry,
): Promise<SpecialInode[]> {
  const { raw } = superblock;
  const kinds = new Map<number, SpecialInode['kind']>();
  for (const number of await findBootInodes(volume, superblock, geometry)) kinds.set(number, 'boot');
  // Where there is none, all bits are set: a number that no inode has, exact or not.
  for (const at of SYSTEM_INODES_AT) kinds.set(raw.readUInt32BE(at) * 2 ** 32 + raw.readUInt32BE(at + 4), 'system');
  return [...kinds].map(([number, kind]) => ({ number, kind })).sort((a, b) => a.number - b.number);
}

async function findBootInodes(volume: Source, superblock: Superblock, geometry: InodeGeometry): Promise<Set<number>> {
  if ((superblock.versionFlags & Version.DIRECTORY_V2) === 0) throw new FormatError('directories of the first version');
  const read = (number: number): Promise<Inode> => readInode(volume, superblock, { geometry, number });
  const found = new Set<number>();
  const folders: Inode[] = [];
  let entries = 0;

  const addAll = async (directory: Inode, isWanted: (name: Buffer) => boolean): Promise<void> => {
    if (!isSearched(directory)) throw new FormatError('a boot folder that is too long');
    const named: { readonly number: number; readonly kind: DirectoryEntry['kind'] }[] = [];
    for await (const { name, kind, inode } of entriesOf(volume, superblock, { geometry, directory })) {
      if (!isWanted(name)) continue;
      entries += 1;
      if (entries > MOST_ENTRIES) throw new FormatError('boot folders of too many names');
      named.push({ number: inode(), kind });
    }
    for (const { number, kind } of named) {
      if (found.has(number)) continue;
      found.add(number);
      if (kind === 'other') continue;
      const inode = await read(number);
      if (inode.format === 'directory') folders.push(inode);
    }
    if (folders.length > MOST_FOLDERS) throw new FormatError('too many boot folders');
  };

  const root = await read(geometry.root);
  // Some file systems take upper case for lower case.
  await addAll(root, (name) => BOOT_NAMES.includes(name.toString('latin1').toLowerCase()));
  for (const folder of folders) await addAll(folder, (name) => !isDots(name));
  return found;
}

/** Directories of more than one block list themselves and their parent. */
function isDots(name: Buffer): boolean {
  return name.equals(Buffer.from('.')) || name.equals(Buffer.from('..'));
}
