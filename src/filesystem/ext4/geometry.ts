// Where things lie in an ext2/3/4 file system, by arithmetic alone: groups, superblock copies, descriptor blocks.
// Invariant: pure functions of a checked superblock; block numbers are absolute.
// Source: kernel Documentation/filesystems/ext4/{group_descr,blockgroup}.rst, fs/ext4/balloc.c.

import { Compat, Incompat, RoCompat } from './features.js';
import type { Superblock } from './superblock.js';

/** Blocks [start, end). */
export interface BlockRange {
  readonly start: number;
  readonly end: number;
}

/** The blocks of a group; the last one may be short. */
export function groupRange(superblock: Superblock, group: number): BlockRange {
  const start = superblock.firstDataBlock + group * superblock.blocksPerGroup;
  return { start, end: Math.min(start + superblock.blocksPerGroup, superblock.blockCount) };
}

/** The group that a block lies in; blocks before the first group count as part of it. */
export function groupOfBlock(superblock: Superblock, block: number): number {
  return Math.max(0, Math.floor((block - superblock.firstDataBlock) / superblock.blocksPerGroup));
}

/** Clusters of a group; the last group's last cluster may be short. */
export function clustersInGroup(superblock: Superblock, group: number): number {
  const { start, end } = groupRange(superblock, group);
  return Math.ceil((end - start) / superblock.blocksPerCluster);
}

/** Blocks of each group's inode table. */
export function inodeTableBlocks({ inodesPerGroup, inodeSize, blockSize }: Superblock): number {
  return Math.ceil((inodesPerGroup * inodeSize) / blockSize);
}

export function descriptorsPerBlock({ blockSize, descriptorSize }: Superblock): number {
  return blockSize / descriptorSize;
}

/** Does the group start with the superblock or a copy of it? */
export function hasSuperblock({ compat, roCompat, backupGroups }: Superblock, group: number): boolean {
  if (group === 0) return true;
  if ((compat & Compat.SPARSE_SUPER2) !== 0) return backupGroups.includes(group);
  if (group === 1 || (roCompat & RoCompat.SPARSE_SUPER) === 0) return true;
  return isPowerOf(3, group) || isPowerOf(5, group) || isPowerOf(7, group);
}

/** Where the primary copy of descriptor block `index` lies. */
export function descriptorBlock(superblock: Superblock, index: number): number {
  const superblockAt = superblockBlock(superblock);
  if (!isMetaGroup(superblock, index)) return superblockAt + 1 + index;
  const group = index * descriptorsPerBlock(superblock);
  if (group === 0) return superblockAt + 1;
  return groupRange(superblock, group).start + (hasSuperblock(superblock, group) ? 1 : 0);
}

/** Where the backups of descriptor block `index` lie, the likeliest first. */
export function* descriptorBackups(superblock: Superblock, index: number): Generator<number> {
  const { groupCount } = superblock;
  if (isMetaGroup(superblock, index)) {
    const perBlock = descriptorsPerBlock(superblock);
    for (const group of [index * perBlock + 1, (index + 1) * perBlock - 1]) {
      if (group < groupCount) yield groupRange(superblock, group).start + (hasSuperblock(superblock, group) ? 1 : 0);
    }
    return;
  }
  const few = (superblock.compat & Compat.SPARSE_SUPER2) !== 0 ? superblock.backupGroups : [1, 3, 5, 7, 9];
  for (const group of few) {
    if (group > 0 && group < groupCount) yield groupRange(superblock, group).start + 1 + index;
  }
}

/** What `baseMetadata` consists of, part by part. */
export interface BaseParts {
  readonly superblock: BlockRange;
  readonly descriptors: BlockRange;
  /** Kept free, so that the descriptors can grow. */
  readonly reserved: BlockRange;
}

export function baseParts(superblock: Superblock, group: number): BaseParts {
  const { start, end } = baseMetadata(superblock, group);
  const copyEnd = group === 0 ? superblockBlock(superblock) + 1 : start + (hasSuperblock(superblock, group) ? 1 : 0);
  const perBlock = descriptorsPerBlock(superblock);
  const reserved = isMetaGroup(superblock, Math.floor(group / perBlock)) ? 0 : superblock.reservedDescriptorBlocks;
  const metaGroups = (superblock.incompat & Incompat.META_BG) !== 0;
  const reservedStart = metaGroups ? end : Math.max(copyEnd, end - reserved);
  return {
    superblock: { start: Math.min(start, copyEnd), end: copyEnd },
    descriptors: { start: copyEnd, end: Math.max(copyEnd, reservedStart) },
    reserved: { start: Math.max(copyEnd, reservedStart), end },
  };
}

/** The blocks at a group's start that hold a superblock copy and group descriptors, also those kept for growing. */
export function baseMetadata(superblock: Superblock, group: number): BlockRange {
  const { start, end } = groupRange(superblock, group);
  const copy = hasSuperblock(superblock, group);
  const perBlock = descriptorsPerBlock(superblock);
  let blocks = copy ? 1 : 0;
  if (isMetaGroup(superblock, Math.floor(group / perBlock))) {
    const place = group % perBlock;
    if (place === 0 || place === 1 || place === perBlock - 1) blocks += 1;
  } else if (copy) {
    blocks += fixedDescriptorBlocks(superblock);
  }
  // With 1 KiB blocks and bigalloc block 0 belongs to group 0, before the superblock in block 1.
  if (group === 0) blocks += superblockBlock(superblock) - start;
  return { start, end: Math.min(start + blocks, end) };
}

/** The block that holds byte 1024, where the primary superblock is. */
function superblockBlock({ blockSize }: Superblock): number {
  return blockSize === 1024 ? 1 : 0;
}

function isMetaGroup({ incompat, firstMetaGroup }: Superblock, descriptorBlockIndex: number): boolean {
  return (incompat & Incompat.META_BG) !== 0 && descriptorBlockIndex >= firstMetaGroup;
}

/** Descriptor blocks that follow each superblock copy. */
function fixedDescriptorBlocks(superblock: Superblock): number {
  if ((superblock.incompat & Incompat.META_BG) !== 0) return superblock.firstMetaGroup;
  return Math.ceil(superblock.groupCount / descriptorsPerBlock(superblock)) + superblock.reservedDescriptorBlocks;
}

function isPowerOf(base: number, value: number): boolean {
  let power = base;
  while (power < value) power *= base;
  return power === value;
}
