// Finds the superblock of an ext3/4 journal: the first bytes of the journal inode's first block.
// Invariant: bounded work (one descriptor, one inode, at most five tree blocks); undefined where anything is odd.
// Source: kernel Documentation/filesystems/ext4/{inodes,ifork,journal}.rst.

import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import { INODE_FLAG_EXTENTS, readRawInode } from './checked-inode.js';
import { Compat } from './features.js';
import type { Superblock } from './superblock.js';

/** Length of a journal superblock. */
const JOURNAL_SUPERBLOCK_LENGTH = 1024;

const INODE_FLAGS_AT = 0x20;
const INODE_BLOCKS_AT = 0x28;
const INODE_BLOCKS_LENGTH = 60;

const EXTENT_MAGIC = 0xf30a;
const EXTENT_ENTRIES_AT = 2;
const EXTENT_DEPTH_AT = 6;
const EXTENT_HEADER_LENGTH = 12;
const MAX_DEPTH = 5;

/** Undefined if the journal is elsewhere, absent, or cannot be found. */
export async function readJournalSuperblock(volume: Source, superblock: Superblock): Promise<Buffer | undefined> {
  const { compat, journalInode } = superblock;
  if ((compat & Compat.HAS_JOURNAL) === 0 || journalInode === 0) return undefined;
  const inode = await readJournalInode(volume, superblock);
  if (!inode) return undefined;
  const blocks = inode.subarray(INODE_BLOCKS_AT, INODE_BLOCKS_AT + INODE_BLOCKS_LENGTH);
  const extents = (inode.readUInt32LE(INODE_FLAGS_AT) & INODE_FLAG_EXTENTS) !== 0;
  const first = extents ? await firstOfTree(volume, superblock, blocks) : blocks.readUInt32LE(0);
  return first === undefined ? undefined : readBlock(volume, superblock, first, JOURNAL_SUPERBLOCK_LENGTH);
}

async function readJournalInode(volume: Source, superblock: Superblock): Promise<Buffer | undefined> {
  try {
    return await readRawInode(volume, superblock, { number: superblock.journalInode });
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/** Follows the leftmost branch of an extent tree to the block that holds the file's first bytes. */
async function firstOfTree(volume: Source, superblock: Superblock, root: Buffer): Promise<number | undefined> {
  let node = root;
  for (let depth = 0; depth <= MAX_DEPTH; depth += 1) {
    if (node.readUInt16LE(0) !== EXTENT_MAGIC || node.readUInt16LE(EXTENT_ENTRIES_AT) === 0) return undefined;
    const entry = node.subarray(EXTENT_HEADER_LENGTH, EXTENT_HEADER_LENGTH * 2);
    if (entry.readUInt32LE(0) !== 0) return undefined;
    if (node.readUInt16LE(EXTENT_DEPTH_AT) === 0) return entry.readUInt32LE(8) + entry.readUInt16LE(6) * 2 ** 32;
    const child = entry.readUInt32LE(4) + entry.readUInt16LE(8) * 2 ** 32;
    const next = await readBlock(volume, superblock, child, superblock.blockSize);
    if (!next) return undefined;
    node = next;
  }
  return undefined;
}

async function readBlock(
  volume: Source,
  { blockCount, blockSize }: Superblock,
  block: number,
  length: number,
): Promise<Buffer | undefined> {
  if (block === 0 || block >= blockCount || block * blockSize + length > volume.size) return undefined;
  const bytes = Buffer.alloc(length);
  await volume.read(bytes, block * blockSize);
  return bytes;
}
