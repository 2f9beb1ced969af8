// Walks the btree that lists an allocation group's inodes, 64 at a time, in the order of their numbers.
// Invariant: every block is checked before it is believed (place, level, checksum, neighbours), and numbers only ascend:
// no walk is longer than the group. Memory holds one block. The sum is that of the group's header, or the walk throws.
// Source: "XFS Algorithms & Data Structures", inode btrees; kernel fs/xfs/libxfs/xfs_ialloc_btree.c.

import { FormatError } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { isSealed } from './checksum.js';
import { Incompat } from './features.js';
import { blockOffset, groupLength, headerBlocks, readInodeHeader } from './group-headers.js';
import type { Superblock } from './superblock.js';

const MAGIC_V4 = 0x49414254; // IABT
const MAGIC_V5 = 0x49414233; // IAB3
const HEADER_V4 = 16;
const HEADER_V5 = 56;
const NO_SIBLING = 0xffffffff;
export const CHUNK_RECORD = 16;
const KEY = 4;
const POINTER = 4;
/** XFS counts places on the device in these, whatever its sectors are. */
const BASIC_BLOCK = 512;
const At = { magic: 0, level: 4, count: 6, left: 8, right: 12, place: 16, uuid: 32, group: 48, checksum: 52 } as const;

const Chunk = { first: 0, holes: 4, freeHigh: 8, freeLow: 12 } as const;
export const CHUNK_INODES = 64;
/** One bit of `holes` stands for so many inodes. */
const INODES_PER_HOLE = 4;
const NONE = { low: 0, high: 0 } as const;

/** Inodes with numbers in a row. */
export interface InodeChunk {
  /** Its number inside its group. */
  readonly first: number;
  /** As it lies in the btree: all of the above and below. */
  readonly raw: Buffer;
}

/** 64 bits, that of the first inode lowest. */
export interface InodeBits {
  readonly low: number;
  readonly high: number;
}

/** Inodes that are in use: neither free, nor missing because the chunk was made with holes. */
export function usedInodes(superblock: Superblock, chunk: InodeChunk): InodeBits {
  const { raw } = chunk;
  const { low, high } = missingInodes(superblock, chunk);
  return { low: ~(raw.readUInt32BE(Chunk.freeLow) | low), high: ~(raw.readUInt32BE(Chunk.freeHigh) | high) };
}

/** Inodes that do not exist. Other things may lie in their place. */
export function missingInodes(superblock: Superblock, { raw }: InodeChunk): InodeBits {
  const holes = holesOf(superblock, raw);
  const spread = (bits: number): number => {
    let mask = 0;
    for (let bit = 0; bit < 8; bit += 1) if ((bits & (1 << bit)) !== 0) mask |= 0xf << (bit * INODES_PER_HOLE);
    return mask;
  };
  return holes === 0 ? NONE : { low: spread(holes & 0xff), high: spread(holes >>> 8) };
}

export function hasBit({ low, high }: InodeBits, index: number): boolean {
  return ((index < 32 ? low : high) & (1 << (index & 31))) !== 0;
}

/** Sixteen bits for four inodes each. */
function holesOf({ version, incompat }: Superblock, raw: Buffer): number {
  return version === 5 && (incompat & Incompat.SPARSE_INODES) !== 0 ? raw.readUInt16BE(Chunk.holes) : 0;
}

/** A block of the btree at a time. Throws FormatError. */
export async function* inodeChunks(
  volume: Source,
  superblock: Superblock,
  group: number,
): AsyncGenerator<readonly InodeChunk[]> {
  const { treeRoot, treeDepth, inodes } = await readInodeHeader(volume, superblock, group);
  const tree = { volume, superblock, group };
  let leaf = await firstLeaf(tree, { root: treeRoot, depth: treeDepth });
  let next = 0;
  let sum = 0;
  for (let left = NO_SIBLING; ; ) {
    if (leaf.left !== left) throw damaged(group, 'is not linked in its order');
    const chunks = chunksIn(leaf);
    for (const { first, raw } of chunks) {
      if (first < next) throw damaged(group, 'is not in order');
      next = first + CHUNK_INODES;
      sum += countOf(superblock, raw);
    }
    yield chunks;
    if (leaf.right === NO_SIBLING) break;
    // A chain that leads in a circle comes to a block whose numbers do not ascend; an empty one would not.
    if (chunks.length === 0) throw damaged(group, 'has an empty block');
    left = leaf.block;
    leaf = await readTreeBlock(tree, { block: leaf.right, level: 0 });
  }
  if (sum !== inodes) throw damaged(group, `lists ${sum} inodes, its header says ${inodes}`);
}

interface Tree {
  readonly volume: Source;
  readonly superblock: Superblock;
  readonly group: number;
}

interface TreeBlock {
  readonly block: number;
  readonly left: number;
  readonly right: number;
  readonly count: number;
  readonly body: Buffer;
}

async function firstLeaf(tree: Tree, { root, depth }: { root: number; depth: number }): Promise<TreeBlock> {
  let node = await readTreeBlock(tree, { block: root, level: depth - 1 });
  for (let level = depth - 2; level >= 0; level -= 1) {
    if (node.count === 0) throw damaged(tree.group, 'has an empty block');
    // Pointers begin behind room for as many keys as fit, not behind the last key.
    const most = Math.floor(node.body.length / (KEY + POINTER));
    node = await readTreeBlock(tree, { block: node.body.readUInt32BE(most * KEY), level });
  }
  return node;
}

function chunksIn({ body, count }: TreeBlock): InodeChunk[] {
  return Array.from({ length: count }, (_, index) => {
    const raw = body.subarray(index * CHUNK_RECORD, (index + 1) * CHUNK_RECORD);
    return { first: raw.readUInt32BE(Chunk.first), raw };
  });
}

/** Inodes of a chunk, free ones too. */
function countOf(superblock: Superblock, raw: Buffer): number {
  const holes = holesOf(superblock, raw);
  if (holes === 0) return CHUNK_INODES;
  let count = CHUNK_INODES;
  for (let bits = holes; bits !== 0; bits &= bits - 1) count -= INODES_PER_HOLE;
  return count;
}

async function readTreeBlock(tree: Tree, { block, level }: { block: number; level: number }): Promise<TreeBlock> {
  const { volume, superblock, group } = tree;
  if (block < headerBlocks(superblock) || block >= groupLength(superblock, group)) {
    throw damaged(group, 'points outside its group');
  }
  const offset = blockOffset(superblock, group, block);
  const bytes = Buffer.allocUnsafeSlow(superblock.blockSize);
  await volume.read(bytes, offset);
  const newest = superblock.version === 5;
  if (bytes.readUInt32BE(At.magic) !== (newest ? MAGIC_V5 : MAGIC_V4)) {
    throw damaged(group, 'has a block of another kind');
  }
  if (newest) demandSealed(tree, { bytes, offset });
  if (bytes.readUInt16BE(At.level) !== level) throw damaged(group, `has a block of another level than ${level}`);
  const body = bytes.subarray(newest ? HEADER_V5 : HEADER_V4);
  const count = bytes.readUInt16BE(At.count);
  if (count > Math.floor(body.length / (level === 0 ? CHUNK_RECORD : KEY + POINTER))) {
    throw damaged(group, `has a block of ${count} records`);
  }
  return { block, left: bytes.readUInt32BE(At.left), right: bytes.readUInt32BE(At.right), count, body };
}

function demandSealed(
  { superblock: { metadataUuid }, group }: Tree,
  { bytes, offset }: { bytes: Buffer; offset: Bytes },
): void {
  if (!isSealed(bytes, At.checksum)) throw damaged(group, 'has a block with a wrong checksum');
  const place = bytes.readUInt32BE(At.place) * 2 ** 32 + bytes.readUInt32BE(At.place + 4);
  const isHome =
    place === offset / BASIC_BLOCK &&
    bytes.readUInt32BE(At.group) === group &&
    bytes.subarray(At.uuid, At.uuid + 16).equals(metadataUuid);
  if (!isHome) throw damaged(group, 'has a block that belongs elsewhere');
}

function damaged(group: number, what: string): FormatError {
  return new FormatError(`the inode btree of allocation group ${group} ${what}`);
}
