// Group descriptors of ext2/3/4: where a group keeps its bitmaps and inode table, and how many clusters are free.
// Invariant: a descriptor without a `problem` has a right checksum (if the file system has any) and points inside it.
// Source: kernel Documentation/filesystems/ext4/group_descr.rst, fs/ext4/super.c (ext4_group_desc_csum).

import { rawCrc32c } from '../../base/checksum.js';
import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import { crc16 } from './crc16.js';
import { Incompat, RoCompat } from './features.js';
import { type BlockRange, descriptorBlock, descriptorsPerBlock, groupRange, inodeTableBlocks } from './geometry.js';
import type { Superblock } from './superblock.js';

const At = {
  blockBitmap: 0x00,
  inodeBitmap: 0x04,
  inodeTable: 0x08,
  freeClusters: 0x0c,
  flags: 0x12,
  unusedInodes: 0x1c,
  bitmapChecksum: 0x18,
  checksum: 0x1e,
  blockBitmapHigh: 0x20,
  inodeBitmapHigh: 0x24,
  inodeTableHigh: 0x28,
  freeClustersHigh: 0x2c,
  unusedInodesHigh: 0x32,
  bitmapChecksumHigh: 0x38,
} as const;

const SMALL_DESCRIPTOR = 32;
const INODE_UNINIT = 0x1;
const BLOCK_UNINIT = 0x2;

export interface GroupDescriptor {
  readonly group: number;
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  readonly inodeTable: number;
  readonly freeClusters: number;
  /** The block bitmap on disk is garbage: only metadata is used in this group. */
  readonly uninitialised: boolean;
  /** Inodes at the end of the table that were never used; their bytes on disk may be garbage. */
  readonly unusedInodes: number;
  /** Of the block bitmap; only as wide as `bitmapChecksumMask`. */
  readonly bitmapChecksum: number;
  readonly bitmapChecksumMask: number;
  /** Why the descriptor cannot be trusted; undefined if it can. */
  readonly problem: string | undefined;
}

export interface DescriptorRange {
  readonly first: number;
  readonly count: number;
  /** Where descriptor block `index` is read; its primary copy if missing. */
  readonly blockOf?: (index: number) => number;
}

/** Reads the descriptors of groups [first, first + count). Throws FormatError if they lie outside the file system. */
export async function readDescriptors(
  volume: Source,
  superblock: Superblock,
  { first, count, blockOf = (index) => descriptorBlock(superblock, index) }: DescriptorRange,
): Promise<GroupDescriptor[]> {
  const perBlock = descriptorsPerBlock(superblock);
  const firstIndex = Math.floor(first / perBlock);
  const lastIndex = Math.floor((first + count - 1) / perBlock);
  const bytes = await readDescriptorBlocks(volume, superblock, { firstIndex, lastIndex, blockOf });
  const descriptors: GroupDescriptor[] = [];
  for (let group = first; group < first + count; group += 1) {
    const offset = (group - firstIndex * perBlock) * superblock.descriptorSize;
    descriptors.push(parseDescriptor(superblock, group, bytes.subarray(offset, offset + superblock.descriptorSize)));
  }
  return descriptors;
}

/** A group's own metadata wherever it lies: block bitmap, inode bitmap, inode table. */
export function metadataOf(superblock: Superblock, descriptor: GroupDescriptor): readonly BlockRange[] {
  const { blockBitmap, inodeBitmap, inodeTable } = descriptor;
  return [
    { start: blockBitmap, end: blockBitmap + 1 },
    { start: inodeBitmap, end: inodeBitmap + 1 },
    { start: inodeTable, end: inodeTable + inodeTableBlocks(superblock) },
  ];
}

/** Neighbouring descriptor blocks are read at once; with META_BG each lies alone. */
async function readDescriptorBlocks(
  volume: Source,
  superblock: Superblock,
  { firstIndex, lastIndex, blockOf }: { firstIndex: number; lastIndex: number; blockOf: (index: number) => number },
): Promise<Buffer> {
  const { blockSize, blockCount } = superblock;
  const readable = Math.min(blockCount, Math.floor(volume.size / blockSize));
  const bytes = Buffer.allocUnsafe((lastIndex - firstIndex + 1) * blockSize);
  for (let index = firstIndex; index <= lastIndex; ) {
    const start = blockOf(index);
    let next = index + 1;
    while (next <= lastIndex && blockOf(next) === start + (next - index)) next += 1;
    if (start + (next - index) > readable) {
      throw new FormatError('the group descriptors lie beyond the end of the file system');
    }
    const into = bytes.subarray((index - firstIndex) * blockSize, (next - firstIndex) * blockSize);
    await volume.read(into, start * blockSize);
    index = next;
  }
  return bytes;
}

function parseDescriptor(superblock: Superblock, group: number, raw: Buffer): GroupDescriptor {
  const wide = superblock.descriptorSize > SMALL_DESCRIPTOR;
  const split = (low: number, high: number): number =>
    raw.readUInt32LE(low) + (wide ? raw.readUInt32LE(high) * 2 ** 32 : 0);
  const half = (low: number, high: number): number =>
    raw.readUInt16LE(low) + (wide ? raw.readUInt16LE(high) * 2 ** 16 : 0);
  const flags = raw.readUInt16LE(At.flags);
  const hasFlags = (superblock.roCompat & (RoCompat.GDT_CSUM | RoCompat.METADATA_CSUM)) !== 0;
  const descriptor = {
    group,
    blockBitmap: split(At.blockBitmap, At.blockBitmapHigh),
    inodeBitmap: split(At.inodeBitmap, At.inodeBitmapHigh),
    inodeTable: split(At.inodeTable, At.inodeTableHigh),
    freeClusters: half(At.freeClusters, At.freeClustersHigh),
    uninitialised: hasFlags && (flags & BLOCK_UNINIT) !== 0,
    unusedInodes: hasFlags ? unusedOf(superblock, flags, half(At.unusedInodes, At.unusedInodesHigh)) : 0,
    bitmapChecksum: half(At.bitmapChecksum, At.bitmapChecksumHigh),
    bitmapChecksumMask: wide ? 0xffffffff : 0xffff,
    problem: undefined,
  };
  return { ...descriptor, problem: problemOf(superblock, descriptor, raw) };
}

function unusedOf({ inodesPerGroup }: Superblock, flags: number, unused: number): number {
  return (flags & INODE_UNINIT) !== 0 ? inodesPerGroup : Math.min(unused, inodesPerGroup);
}

function problemOf(superblock: Superblock, descriptor: GroupDescriptor, raw: Buffer): string | undefined {
  const { group } = descriptor;
  const expected = checksumOf(superblock, group, raw);
  if (expected !== undefined && expected !== raw.readUInt16LE(At.checksum)) {
    return `the checksum of group descriptor ${group} is wrong`;
  }
  const anywhere = (superblock.incompat & Incompat.FLEX_BG) !== 0;
  const allowed = anywhere
    ? { start: superblock.firstDataBlock + 1, end: superblock.blockCount }
    : groupRange(superblock, group);
  for (const { start, end } of metadataOf(superblock, descriptor)) {
    if (start < allowed.start || end > allowed.end) {
      return `group descriptor ${group} points outside its ${anywhere ? 'file system' : 'group'}`;
    }
  }
  return undefined;
}

/** Undefined if the file system has no checksums. */
function checksumOf(superblock: Superblock, group: number, raw: Buffer): number | undefined {
  const { roCompat } = superblock;
  const groupNumber = Buffer.alloc(4);
  groupNumber.writeUInt32LE(group);
  const before = raw.subarray(0, At.checksum);
  const after = raw.subarray(At.checksum + 2);
  if ((roCompat & RoCompat.METADATA_CSUM) !== 0) {
    const covered = Buffer.concat([groupNumber, before, Buffer.alloc(2), after]);
    return rawCrc32c(superblock.checksumSeed, covered) & 0xffff;
  }
  if ((roCompat & RoCompat.GDT_CSUM) !== 0) {
    return crc16(0xffff, Buffer.concat([superblock.uuid, groupNumber, before, after]));
  }
  return undefined;
}
