// Finds a file by its path, for the few files that are asked for: the fstab, the swap files it names, boot loaders' files.
// Invariant: a file is given out with all its extents or not at all; links are not followed.
// Source: "XFS Algorithms & Data Structures", on-disk inode.

import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import type { FoundFile } from '../plugin.js';
import { demandTrustworthy } from './allocation-map.js';
import { entriesOf, isSearched, lookUp } from './directory.js';
import { Version } from './features.js';
import { readFileExtents } from './file-extents.js';
import { type Inode, readInode } from './inode.js';
import { inodeGeometry } from './inode-geometry.js';
import type { Superblock } from './superblock.js';

/** Throws FormatError. */
export async function findFile(volume: Source, superblock: Superblock, path: string): Promise<FoundFile | undefined> {
  const inode = await inodeAt(volume, superblock, path);
  if (inode?.format !== 'regular' || inode.realtime) return undefined;
  return {
    size: inode.size,
    owner: inode.owner,
    permissions: inode.permissions,
    shared: inode.reflinked,
    extents: await readFileExtents(volume, superblock, inode),
  };
}

/** Names in a directory. Undefined: there is none, or it is not searched. Throws FormatError. */
export async function listFolder(volume: Source, superblock: Superblock, path: string): Promise<string[] | undefined> {
  const directory = await inodeAt(volume, superblock, path);
  if (!directory || !isSearched(directory)) return undefined;
  const names: string[] = [];
  const geometry = inodeGeometry(superblock);
  for await (const { name } of entriesOf(volume, superblock, { geometry, directory })) names.push(name.toString());
  return names;
}

async function inodeAt(volume: Source, superblock: Superblock, path: string): Promise<Inode | undefined> {
  demandTrustworthy(volume, superblock);
  if ((superblock.versionFlags & Version.DIRECTORY_V2) === 0) throw new FormatError('directories of the first version');
  const geometry = inodeGeometry(superblock);
  let inode = await readInode(volume, superblock, { geometry, number: geometry.root });
  for (const part of path.split('/').filter((each) => each !== '')) {
    const number = await lookUp(volume, superblock, { geometry, directory: inode, name: Buffer.from(part) });
    if (number === undefined) return undefined;
    inode = await readInode(volume, superblock, { geometry, number });
  }
  return inode;
}
