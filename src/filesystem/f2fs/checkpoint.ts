// The newest whole checkpoint of the two: what it says of the file system, and which copy of each SIT block counts.
// Invariant: a pack counts only if its first and last block have right checksums and the same version.
// Format: kernel include/linux/f2fs_fs.h (struct f2fs_checkpoint), fs/f2fs/checkpoint.c (f2fs_get_valid_checkpoint).

import { rawCrc32 } from '../../base/checksum.js';
import { FormatError, readU64LE } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { BLOCK, MAGIC, SEGMENT_BLOCKS, type Superblock } from './superblock.js';

const AT = {
  version: 0,
  validBlocks: 16,
  nodeSegments: 36,
  nodeOffsets: 68,
  flags: 132,
  packBlocks: 136,
  firstSummary: 140,
  sitBitmapLength: 156,
  natBitmapLength: 160,
  checksumOffset: 164,
  bitmaps: 192,
} as const;
const LAST_CHECKSUM_OFFSET: Bytes = BLOCK - 4;
const NODE_LOGS = 3;

export const FLAG = {
  unmounted: 0x1,
  compactSummaries: 0x4,
  error: 0x8,
  needsFsck: 0x10,
  largeNatBitmap: 0x400,
  disabled: 0x1000,
  resizing: 0x4000,
} as const;

export interface Checkpoint {
  readonly flags: number;
  readonly validBlocks: number;
  /** Block numbers on the volume. */
  readonly firstBlock: number;
  readonly firstSummaryBlock: number;
  readonly lastBlock: number;
  /** One bit a SIT block, highest bit first: set if its second copy counts. */
  readonly sitBitmap: Buffer;
  /** Where the logs of nodes go on: segment and block in it. A mount looks there for what came after the checkpoint. */
  readonly nodeLogs: readonly { readonly segment: number; readonly block: number }[];
}

/** Throws FormatError if neither pack is whole, or the numbers of the newest cannot be. */
export async function readCheckpoint(volume: Source, superblock: Superblock): Promise<Checkpoint> {
  const packs: Pack[] = [];
  for (const number of [0, 1]) {
    const pack = await readPack(volume, superblock.checkpointBlock + number * SEGMENT_BLOCKS);
    if (pack) packs.push(pack);
  }
  const [first, second] = packs;
  const newest = first && second && second.version > first.version ? second : first;
  if (!newest) throw new FormatError('no whole checkpoint');
  return parseCheckpoint(newest, await readBlocks(volume, newest.firstBlock, 1 + superblock.payload), superblock);
}

interface Pack {
  readonly firstBlock: number;
  readonly version: bigint;
  readonly head: Buffer;
  readonly blocks: number;
}

async function readPack(volume: Source, firstBlock: number): Promise<Pack | undefined> {
  const head = await readBlocks(volume, firstBlock, 1);
  const blocks = head.readUInt32LE(AT.packBlocks);
  if (!hasRightChecksum(head) || blocks <= 2 || blocks > SEGMENT_BLOCKS) return undefined;
  const foot = await readBlocks(volume, firstBlock + blocks - 1, 1);
  const version = head.readBigUInt64LE(AT.version);
  if (!hasRightChecksum(foot) || foot.readBigUInt64LE(AT.version) !== version) return undefined;
  return { firstBlock, version, head, blocks };
}

/** The checksum may lie in the midst of the block. */
function hasRightChecksum(block: Buffer): boolean {
  const at = block.readUInt32LE(AT.checksumOffset);
  if (at < AT.bitmaps || at > LAST_CHECKSUM_OFFSET) return false;
  const before = rawCrc32(MAGIC, block.subarray(0, at));
  const sum = at < LAST_CHECKSUM_OFFSET ? rawCrc32(before, block.subarray(at + 4)) : before;
  return sum === block.readUInt32LE(at);
}

function parseCheckpoint({ firstBlock, head, blocks }: Pack, bytes: Buffer, superblock: Superblock): Checkpoint {
  const flags = head.readUInt32LE(AT.flags);
  const firstSummary = head.readUInt32LE(AT.firstSummary);
  if (firstSummary < 1 || firstSummary >= blocks - 1) throw new FormatError('the checkpoint names no summaries');
  if (1 + superblock.payload > blocks) throw new FormatError('the checkpoint is shorter than its bitmaps');
  return {
    flags,
    validBlocks: readU64LE(head, AT.validBlocks),
    firstBlock,
    firstSummaryBlock: firstBlock + firstSummary,
    lastBlock: firstBlock + blocks - 1,
    sitBitmap: sitBitmapOf(bytes, superblock, flags),
    nodeLogs: Array.from({ length: NODE_LOGS }, (_, log) => ({
      segment: head.readUInt32LE(AT.nodeSegments + log * 4),
      block: head.readUInt16LE(AT.nodeOffsets + log * 2),
    })),
  };
}

/** `bytes`: the checkpoint's first block and its payload. */
function sitBitmapOf(bytes: Buffer, superblock: Superblock, flags: number): Buffer {
  const length = bytes.readUInt32LE(AT.sitBitmapLength);
  const natLength = bytes.readUInt32LE(AT.natBitmapLength);
  if (length !== (superblock.sitSegments / 2) * (SEGMENT_BLOCKS / 8)) {
    throw new FormatError(`the version bitmap of the SIT has ${length} bytes`);
  }
  let at: Bytes = AT.bitmaps;
  if ((flags & FLAG.largeNatBitmap) !== 0) {
    // An older layout without room for the checksum is refused by kernels too.
    if (bytes.readUInt32LE(AT.checksumOffset) !== AT.bitmaps) throw new FormatError('a deprecated layout of bitmaps');
    at = AT.bitmaps + 4 + natLength;
  } else if (superblock.payload > 0) {
    at = BLOCK;
  } else if (at + length > bytes.readUInt32LE(AT.checksumOffset)) {
    throw new FormatError('the version bitmap of the SIT runs into the checksum');
  }
  if (at + length > bytes.length) throw new FormatError('the version bitmap of the SIT is too long');
  return bytes.subarray(at, at + length);
}

/** Throws FormatError if they lie beyond the end of the volume. */
export async function readBlocks(volume: Source, first: number, count: number): Promise<Buffer> {
  if ((first + count) * BLOCK > volume.size) throw new FormatError(`block ${first} lies beyond the end of the volume`);
  const bytes = Buffer.alloc(count * BLOCK);
  await volume.read(bytes, first * BLOCK);
  return bytes;
}
