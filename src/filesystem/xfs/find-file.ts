// Finds a file by its path, for the few files that exclusions ask for: the fstab, and the swap files it names.
// Invariant: a file is given out with all its extents or not at all; links are not followed.
// Source: "XFS Algorithms & Data Structures", on-disk inode.

import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import type { FoundFile } from '../plugin.js';
import { demandTrustworthy } from './allocation-map.js';
import { lookUp } from './directory.js';
import { Version } from './features.js';
import { readFileExtents } from './file-extents.js';
import { readInode } from './inode.js';
import { inodeGeometry } from './inode-geometry.js';
import type { Superblock } from './superblock.js';

/** Throws FormatError. */
export async function findFile(volume: Source, superblock: Superblock, path: string): Promise<FoundFile | undefined> {
  demandTrustworthy(volume, superblock);
  if ((superblock.versionFlags & Version.DIRECTORY_V2) === 0) throw new FormatError('directories of the first version');
  const geometry = inodeGeometry(superblock);
  let inode = await readInode(volume, superblock, { geometry, number: geometry.root });
  for (const part of path.split('/').filter((each) => each !== '')) {
    const number = await lookUp(volume, superblock, { geometry, directory: inode, name: Buffer.from(part) });
    if (number === undefined) return undefined;
    inode = await readInode(volume, superblock, { geometry, number });
  }
  if (inode.format !== 'regular' || inode.realtime) return undefined;
  return {
    size: inode.size,
    owner: inode.owner,
    permissions: inode.permissions,
    shared: inode.reflinked,
    extents: await readFileExtents(volume, superblock, inode),
  };
}
