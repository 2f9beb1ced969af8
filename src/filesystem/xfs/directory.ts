// Looks a name up in a directory, or lists all of them: in the inode itself, or in its data blocks, one after the other.
// Invariant: bounded work; directories that are longer than any root directory is are not searched. Blocks are checked
// (version 5: checksum, place, owner) before a name in them is believed. Indexes, which lie from 32 GiB on, are not read.
// Source: "XFS Algorithms & Data Structures", directories; kernel fs/xfs/libxfs/xfs_da_format.h.

import { FormatError } from '../../base/u64.js';
import { type Bytes, MiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { readFromFile } from '../file.js';
import type { FileExtent } from '../plugin.js';
import { type DirectoryEntry, entriesInBlock, entriesInInode } from './directory-entries.js';
import { readFileExtents } from './file-extents.js';
import type { Inode } from './inode.js';
import type { InodeGeometry } from './inode-geometry.js';
import { describesItself } from './self-description.js';
import type { Superblock } from './superblock.js';

const LONGEST_DIRECTORY: Bytes = 16 * MiB;
const DESCRIPTION = { checksum: 4, place: 8, uuid: 24, owner: 40 } as const;

/** True if its names are read at all. */
export function isSearched({ format, size }: Inode): boolean {
  return format === 'directory' && size <= LONGEST_DIRECTORY;
}

/** The number of the inode called `name`. Throws FormatError. */
export async function lookUp(
  volume: Source,
  superblock: Superblock,
  { geometry, directory, name }: { geometry: InodeGeometry; directory: Inode; name: Buffer },
): Promise<number | undefined> {
  if (!isSearched(directory)) return undefined;
  for await (const entry of entriesOf(volume, superblock, { geometry, directory })) {
    if (name.equals(entry.name)) return entry.inode();
  }
  return undefined;
}

/** Of a directory that `isSearched`. Names point into a buffer that the next block overwrites. Throws FormatError. */
export async function* entriesOf(
  volume: Source,
  superblock: Superblock,
  { geometry, directory }: { geometry: InodeGeometry; directory: Inode },
): AsyncGenerator<DirectoryEntry> {
  const { fork, size, number } = directory;
  if (fork.format === 'local') {
    if (size > fork.bytes.length) throw new FormatError(`inode ${number}: a directory longer than its inode`);
    yield* entriesInInode(superblock, fork.bytes.subarray(0, size));
    return;
  }
  const extents = await readFileExtents(volume, superblock, directory);
  const block = Buffer.alloc(geometry.directoryBlockSize);
  for (const { position, parts } of blocksOf(extents, { size, length: block.length })) {
    const [first] = parts;
    if (!first) continue; // a hole: all names of the block are gone
    if (first.position > position || parts.some(({ unwritten }) => unwritten)) {
      throw new FormatError(`inode ${number}: a directory with a block in part`);
    }
    await readFromFile(volume, { size, extents: parts }, { into: block, position });
    const description = { at: DESCRIPTION, offset: first.offset + position - first.position, owner: number };
    if (!describesItself(superblock, block, description)) {
      throw new FormatError(`inode ${number}: a directory block that is not its own`);
    }
    yield* entriesInBlock(superblock, block, { only: size === block.length });
  }
}

/** The directory's blocks, with the extents that each of them lies in; most often one. */
function* blocksOf(
  extents: readonly FileExtent[],
  { size, length }: { size: Bytes; length: Bytes },
): Generator<{ readonly position: Bytes; readonly parts: readonly FileExtent[] }> {
  let next = 0;
  for (let position = 0; position + length <= size; position += length) {
    const parts: FileExtent[] = [];
    for (let index = next; index < extents.length; index += 1) {
      const extent = extents[index];
      if (!extent || extent.position >= position + length) break;
      if (extent.position + extent.length > position) parts.push(extent);
      else next = index + 1;
    }
    yield { position, parts };
  }
}
