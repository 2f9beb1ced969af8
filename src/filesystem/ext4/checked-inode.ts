// Inodes of which the bytes of a file are found that must be right: for swap files and the journal, not for damage reports.
// Invariant: an inode that comes out of here has a right checksum, if the file system has any.
// Source: kernel Documentation/filesystems/ext4/inodes.rst, fs/ext4/inode.c (ext4_inode_csum).

import { rawCrc32c } from '../../base/checksum.js';
import { FormatError, readSplitU64LE } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { RoCompat } from './features.js';
import { readDescriptors } from './group-descriptors.js';
import type { Superblock } from './superblock.js';

export const INODE_FLAG_EXTENTS = 0x80000;
const FLAG_INLINE_DATA = 0x10000000;

const SMALLEST_INODE = 128;
const FORMAT_MASK = 0xf000;
const FORMATS: Readonly<Record<number, CheckedInode['format']>> = {
  16384: 'directory',
  32768: 'regular',
  40960: 'link',
};
const PERMISSIONS = 0xfff;

const At = {
  mode: 0x00,
  owner: 0x02,
  size: 0x04,
  flags: 0x20,
  blocks: 0x28,
  blocksEnd: 0x64,
  generation: 0x64,
  sizeHigh: 0x6c,
  ownerHigh: 0x78,
  checksum: 0x7c,
  extraSize: 0x80,
  checksumHigh: 0x82,
} as const;
/** From this extra size on the upper half of the checksum is there. */
const EXTRA_WITH_CHECKSUM = 4;

export interface CheckedInode {
  readonly number: number;
  readonly format: 'regular' | 'directory' | 'link' | 'other';
  readonly permissions: number;
  readonly owner: number;
  readonly size: Bytes;
  readonly flags: number;
  /** Root of the extent tree, or block numbers; undefined if the file's bytes lie in the inode itself. */
  readonly map: Buffer | undefined;
  /** What the checksums of its extent tree start from; undefined without checksums. */
  readonly checksumSeed: number | undefined;
}

/** The first bytes of an inode as they lie there. Throws FormatError if its group cannot be trusted. */
export async function readRawInode(
  volume: Source,
  superblock: Superblock,
  { number, length = SMALLEST_INODE }: { number: number; length?: Bytes },
): Promise<Buffer> {
  const { inodesPerGroup, inodeSize, blockSize, groupCount } = superblock;
  const group = Math.floor((number - 1) / inodesPerGroup);
  if (number < 1 || group >= groupCount) throw new FormatError(`there is no inode ${number}`);
  const [descriptor] = await readDescriptors(volume, superblock, { first: group, count: 1 });
  if (!descriptor || descriptor.problem !== undefined) {
    throw new FormatError(descriptor?.problem ?? `there is no group ${group}`);
  }
  const offset = descriptor.inodeTable * blockSize + ((number - 1) % inodesPerGroup) * inodeSize;
  if (offset + length > volume.size) throw new FormatError(`inode ${number} lies beyond the end of the volume`);
  const raw = Buffer.alloc(length);
  await volume.read(raw, offset);
  return raw;
}

/** Throws FormatError. */
export async function readInode(volume: Source, superblock: Superblock, number: number): Promise<CheckedInode> {
  const raw = await readRawInode(volume, superblock, { number, length: superblock.inodeSize });
  const mode = raw.readUInt16LE(At.mode);
  const flags = raw.readUInt32LE(At.flags);
  return {
    number,
    format: FORMATS[mode & FORMAT_MASK] ?? 'other',
    permissions: mode & PERMISSIONS,
    owner: raw.readUInt16LE(At.owner) + raw.readUInt16LE(At.ownerHigh) * 2 ** 16,
    size: readSplitU64LE(raw, { low: At.size, high: At.sizeHigh }),
    flags,
    map: (flags & FLAG_INLINE_DATA) === 0 ? raw.subarray(At.blocks, At.blocksEnd) : undefined,
    checksumSeed: checkedSeed(superblock, number, raw),
  };
}

/** Throws FormatError if the checksum is wrong. */
function checkedSeed({ roCompat, checksumSeed }: Superblock, number: number, raw: Buffer): number | undefined {
  if ((roCompat & RoCompat.METADATA_CSUM) === 0) return undefined;
  const numberBytes = Buffer.alloc(4);
  numberBytes.writeUInt32LE(number);
  const generation = raw.subarray(At.generation, At.generation + 4);
  const seed = rawCrc32c(rawCrc32c(checksumSeed, numberBytes), generation);
  const wide = raw.length > SMALLEST_INODE && raw.readUInt16LE(At.extraSize) >= EXTRA_WITH_CHECKSUM;
  const covered = Buffer.from(raw);
  covered.writeUInt16LE(0, At.checksum);
  if (wide) covered.writeUInt16LE(0, At.checksumHigh);
  const found = raw.readUInt16LE(At.checksum) + (wide ? raw.readUInt16LE(At.checksumHigh) * 2 ** 16 : 0);
  const expected = rawCrc32c(seed, covered);
  if (found !== (wide ? expected : expected & 0xffff))
    throw new FormatError(`the checksum of inode ${number} is wrong`);
  return seed;
}
