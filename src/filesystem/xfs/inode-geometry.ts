// Where the superblock says that inodes lie and how long directory blocks are: what only finding files needs.
// Invariant: an inode's number names one place inside its allocation group, behind the headers; anything else throws.
// Source: "XFS Algorithms & Data Structures", superblocks, inode numbers.

import { FormatError, readU64BE } from '../../base/u64.js';
import { type Bytes, KiB } from '../../base/units.js';
import { blockOffset, groupLength, headerBlocks } from './group-headers.js';
import type { Superblock } from './superblock.js';

const At = { root: 56, inodeSize: 104, inodeSizeLog: 122, inodesPerBlockLog: 123, directoryBlockLog: 192 } as const;

const SMALLEST_INODE = { 4: 256, 5: 512 } as const;
const LARGEST_INODE = 2 * KiB;
const LARGEST_DIRECTORY_BLOCK = 64 * KiB;
const MOST_DOUBLINGS = 7;

export interface InodeGeometry {
  readonly inodeSize: Bytes;
  /** Number of the root directory. */
  readonly root: number;
  readonly directoryBlockSize: Bytes;
}

/** Not part of the superblock's own checks: copies need none of these numbers. Throws FormatError. */
export function inodeGeometry({ raw, blockSize, version }: Superblock): InodeGeometry {
  const inodeSize = raw.readUInt16BE(At.inodeSize);
  const smallest = version === 5 ? SMALLEST_INODE[5] : SMALLEST_INODE[4];
  const possible =
    inodeSize === 2 ** raw.readUInt8(At.inodeSizeLog) &&
    inodeSize >= smallest &&
    inodeSize <= Math.min(LARGEST_INODE, blockSize) &&
    blockSize / inodeSize === 2 ** raw.readUInt8(At.inodesPerBlockLog);
  if (!possible) throw new FormatError(`the XFS superblock is damaged: its inodes have ${inodeSize} bytes`);
  const doublings = raw.readUInt8(At.directoryBlockLog);
  const directoryBlockSize = blockSize * 2 ** Math.min(doublings, MOST_DOUBLINGS);
  if (doublings > MOST_DOUBLINGS || directoryBlockSize > LARGEST_DIRECTORY_BLOCK) {
    throw new FormatError('the XFS superblock is damaged: its directory blocks are too long');
  }
  return { inodeSize, root: readU64BE(raw, At.root), directoryBlockSize };
}

/** An inode's number is that of its group, its block in the group and its place in the block, one after another. */
export function inodeOffset(superblock: Superblock, { inodeSize }: InodeGeometry, number: number): Bytes {
  const perBlock = superblock.blockSize / inodeSize;
  const perGroup = 2 ** superblock.groupShift * perBlock;
  const group = Math.floor(number / perGroup);
  const block = Math.floor((number % perGroup) / perBlock);
  if (group >= superblock.groupCount || block < headerBlocks(superblock) || block >= groupLength(superblock, group)) {
    throw new FormatError(`there is no inode ${number}`);
  }
  return blockOffset(superblock, group, block) + (number % perBlock) * inodeSize;
}
