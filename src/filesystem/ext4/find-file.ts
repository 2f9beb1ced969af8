// Finds a file by its path, for the few files that exclusions ask for: the fstab, and the swap files it names.
// Invariant: bounded work; directories that are longer than any root directory is are not searched, links not followed.
// Source: kernel Documentation/filesystems/ext4/directory.rst. Index blocks look like empty entries, so that all blocks
// can be read in a row.

import { FormatError } from '../../base/u64.js';
import { type Bytes, MiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { readFromFile } from '../file.js';
import type { FoundFile } from '../plugin.js';
import { demandTrustworthy } from './allocation-map.js';
import { type CheckedInode, readInode } from './checked-inode.js';
import { RoCompat } from './features.js';
import { readFileExtents } from './file-extents.js';
import { ROOT_INODE } from './inode.js';
import type { Superblock } from './superblock.js';

const LONGEST_DIRECTORY: Bytes = 16 * MiB;
const ENTRY = { inode: 0, length: 4, nameLength: 6, name: 8 } as const;
const LARGE_BLOCK = 65536;

/** Throws FormatError. */
export async function findFile(volume: Source, superblock: Superblock, path: string): Promise<FoundFile | undefined> {
  demandTrustworthy(volume, superblock);
  let inode = await readInode(volume, superblock, ROOT_INODE);
  for (const name of path.split('/').filter((part) => part !== '')) {
    const number = await lookUp(volume, superblock, { directory: inode, name: Buffer.from(name) });
    if (number === undefined) return undefined;
    inode = await readInode(volume, superblock, number);
  }
  if (inode.format !== 'regular' || !inode.map) return undefined;
  return {
    size: inode.size,
    owner: inode.owner,
    permissions: inode.permissions,
    shared: (superblock.roCompat & RoCompat.SHARED_BLOCKS) !== 0,
    extents: await readFileExtents(volume, superblock, inode),
  };
}

async function lookUp(
  volume: Source,
  superblock: Superblock,
  { directory, name }: { directory: CheckedInode; name: Buffer },
): Promise<number | undefined> {
  if (directory.format !== 'directory' || !directory.map || directory.size > LONGEST_DIRECTORY) return undefined;
  const extents = await readFileExtents(volume, superblock, directory);
  const block = Buffer.alloc(superblock.blockSize);
  for (let position = 0; position + block.length <= directory.size; position += block.length) {
    await readFromFile(volume, { size: directory.size, extents }, { into: block, position });
    const found = entryIn(block, name, directory);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The inode that `name` has in this block of a directory. */
function entryIn(block: Buffer, name: Buffer, directory: CheckedInode): number | undefined {
  for (let at = 0; at + ENTRY.name <= block.length; ) {
    const length = entryLength(block, at);
    if (length < ENTRY.name || at + length > block.length) {
      if (at === 0 && length === 0) return undefined; // a hole
      throw new FormatError(`inode ${directory.number}: impossible directory entry`);
    }
    const inode = block.readUInt32LE(at + ENTRY.inode);
    // Its upper half is a file type, or zero in the first format: names have 255 bytes at most.
    const nameLength = block.readUInt8(at + ENTRY.nameLength);
    const start = at + ENTRY.name;
    if (inode !== 0 && nameLength <= length - ENTRY.name && name.equals(block.subarray(start, start + nameLength))) {
      return inode;
    }
    at += length;
  }
  return undefined;
}

/** Blocks of 64 KiB are longer than 16 bits can say. */
function entryLength(block: Buffer, at: number): number {
  const length = block.readUInt16LE(at + ENTRY.length);
  if (block.length < LARGE_BLOCK) return length;
  return length === 0 || length === 0xffff ? LARGE_BLOCK : length;
}
