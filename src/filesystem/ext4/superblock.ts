// The superblock of ext2/3/4: 1024 bytes at byte 1024 of the volume.
// Invariant: every number in a `Superblock` is within its format's bounds, so nothing computed from it can overflow,
// divide by zero or ask for absurd memory. Whether it fits the volume is `isTruncated`, whether it is intact `intact`.
// Source: kernel Documentation/filesystems/ext4/super.rst, fs/ext4/super.c.

import { rawCrc32c } from '../../base/checksum.js';
import { FormatError, readSplitU64LE, readU64LE } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { type Features, Incompat, RoCompat } from './features.js';

export const SUPERBLOCK_OFFSET = 1024;
export const SUPERBLOCK_LENGTH = 1024;
const MAGIC = 0xef53;
const CHECKSUM_TYPE_CRC32C = 1;
const ALL_ONES = 0xffffffff;

const At = {
  inodeCount: 0x00,
  blockCount: 0x04,
  freeBlockCount: 0x0c,
  firstDataBlock: 0x14,
  logBlockSize: 0x18,
  logClusterSize: 0x1c,
  blocksPerGroup: 0x20,
  clustersPerGroup: 0x24,
  inodesPerGroup: 0x28,
  mountTime: 0x2c,
  writeTime: 0x30,
  magic: 0x38,
  state: 0x3a,
  revision: 0x4c,
  inodeSize: 0x58,
  compat: 0x5c,
  incompat: 0x60,
  roCompat: 0x64,
  uuid: 0x68,
  label: 0x78,
  reservedDescriptorBlocks: 0xce,
  journalInode: 0xe0,
  hashSeed: 0xec,
  descriptorSize: 0xfe,
  firstMetaGroup: 0x104,
  mountCount: 0x34,
  lastCheck: 0x40,
  madeTime: 0x108,
  blockCountHigh: 0x150,
  freeBlockCountHigh: 0x158,
  mmpBlock: 0x168,
  checksumType: 0x175,
  backupGroups: 0x24c,
  checksumSeed: 0x270,
  writeTimeHigh: 0x274,
  mountTimeHigh: 0x275,
  checksum: 0x3fc,
} as const;

export interface Superblock extends Features {
  readonly raw: Buffer;
  /** False if the superblock has a checksum and it is wrong. */
  readonly intact: boolean;
  readonly blockSize: Bytes;
  /** Allocation unit: the block, or with bigalloc a power of two of them. */
  readonly clusterSize: Bytes;
  readonly blocksPerCluster: number;
  readonly blockCount: number;
  readonly freeBlockCount: number;
  /** The block where group 0 starts: 1 if clusters are 1 KiB, else 0. */
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  readonly clustersPerGroup: number;
  readonly groupCount: number;
  readonly inodesPerGroup: number;
  readonly inodeSize: Bytes;
  readonly inodeCount: number;
  readonly descriptorSize: Bytes;
  readonly reservedDescriptorBlocks: number;
  /** First descriptor block that lies in its own meta-group; only with META_BG. */
  readonly firstMetaGroup: number;
  /** The groups that hold copies with SPARSE_SUPER2; 0 means none. */
  readonly backupGroups: readonly [number, number];
  /** Where the checksums of all other metadata start from. */
  readonly checksumSeed: number;
  readonly uuid: Buffer;
  readonly label: string;
  readonly state: number;
  /** 0 if there is no journal, or it is on another device. */
  readonly journalInode: number;
  /** Block of the multiple mount protection; 0 without that feature. */
  readonly mmpBlock: number;
  readonly lastWritten: Date | undefined;
  /**
   * Grows by one with each mount for writing, and by far more with a check of everything: e2fsck counts the mounts anew.
   */
  readonly mountCount: number;
  /** When it was made, and what its directories are hashed with: both drawn by mke2fs. Hexadecimal. */
  readonly made: string;
}

/** Undefined: no ext superblock, or that of an external journal. Throws FormatError if its numbers are impossible. */
export async function readSuperblock(volume: Source): Promise<Superblock | undefined> {
  if (volume.size < SUPERBLOCK_OFFSET + SUPERBLOCK_LENGTH) return undefined;
  const raw = Buffer.alloc(SUPERBLOCK_LENGTH);
  await volume.read(raw, SUPERBLOCK_OFFSET);
  return parseSuperblock(raw);
}

/** As `readSuperblock`, from its 1024 bytes. */
export function parseSuperblock(raw: Buffer): Superblock | undefined {
  if (raw.readUInt16LE(At.magic) !== MAGIC) return undefined;
  const features: Features = {
    compat: raw.readUInt32LE(At.compat),
    incompat: raw.readUInt32LE(At.incompat),
    roCompat: raw.readUInt32LE(At.roCompat),
  };
  if ((features.incompat & Incompat.JOURNAL_DEV) !== 0) return undefined;
  const sizes = parseSizes(raw, features);
  const uuid = raw.subarray(At.uuid, At.uuid + 16);
  return {
    ...features,
    ...sizes,
    raw,
    inodeCount: sizes.inodesPerGroup * sizes.groupCount,
    intact: isIntact(raw, features),
    reservedDescriptorBlocks: raw.readUInt16LE(At.reservedDescriptorBlocks),
    firstMetaGroup: raw.readUInt32LE(At.firstMetaGroup),
    backupGroups: [raw.readUInt32LE(At.backupGroups), raw.readUInt32LE(At.backupGroups + 4)],
    checksumSeed:
      (features.incompat & Incompat.CSUM_SEED) !== 0 ? raw.readUInt32LE(At.checksumSeed) : rawCrc32c(ALL_ONES, uuid),
    uuid,
    label: raw.toString('utf8', At.label, At.label + labelLength(raw)),
    state: raw.readUInt16LE(At.state),
    journalInode: raw.readUInt32LE(At.journalInode),
    mmpBlock: (features.incompat & Incompat.MMP) !== 0 ? readU64LE(raw, At.mmpBlock) : 0,
    lastWritten: lastWritten(raw),
    mountCount: raw.readUInt32LE(At.lastCheck) * 2 ** 16 + raw.readUInt16LE(At.mountCount),
    made: raw.toString('hex', At.madeTime, At.madeTime + 4) + raw.toString('hex', At.hashSeed, At.hashSeed + 16),
  };
}

/** True if the file system says that it is larger than the volume. */
export function isTruncated(superblock: Superblock, volume: Source): boolean {
  return superblock.blockCount * superblock.blockSize > volume.size;
}

type Sizes = Pick<
  Superblock,
  | 'blockSize'
  | 'clusterSize'
  | 'blocksPerCluster'
  | 'blockCount'
  | 'freeBlockCount'
  | 'firstDataBlock'
  | 'groupCount'
  | 'inodesPerGroup'
  | 'inodeSize'
  | 'descriptorSize'
> &
  GroupSizes;

type GroupSizes = Pick<Superblock, 'blocksPerGroup' | 'clustersPerGroup'>;

function parseSizes(raw: Buffer, { incompat, roCompat }: Features): Sizes {
  const sixtyFourBit = (incompat & Incompat.SIXTY_FOUR_BIT) !== 0;
  const bigalloc = (roCompat & RoCompat.BIGALLOC) !== 0;
  const logBlockSize = raw.readUInt32LE(At.logBlockSize);
  demand(logBlockSize <= 6, 'its block size is more than 64 KiB');
  const blockSize = 1024 << logBlockSize;
  const logClusterSize = bigalloc ? raw.readUInt32LE(At.logClusterSize) : logBlockSize;
  demand(logClusterSize >= logBlockSize && logClusterSize <= 20, 'its cluster size is impossible');
  const blocksPerCluster = 1 << (logClusterSize - logBlockSize);
  const firstDataBlock = raw.readUInt32LE(At.firstDataBlock);
  const firstExpected = logClusterSize === 0 ? 1 : 0;
  demand(firstDataBlock === firstExpected, `its first data block is ${firstDataBlock}`);

  const blockCount = sixtyFourBit
    ? readSplitU64LE(raw, { low: At.blockCount, high: At.blockCountHigh })
    : raw.readUInt32LE(At.blockCount);
  demand(blockCount > firstDataBlock, 'it has no blocks');
  demand(Number.isSafeInteger(blockCount * blockSize), 'its size is impossible');
  const freeBlockCount = sixtyFourBit
    ? readSplitU64LE(raw, { low: At.freeBlockCount, high: At.freeBlockCountHigh })
    : raw.readUInt32LE(At.freeBlockCount);
  const groups = parseGroupSizes(raw, { blockSize, blocksPerCluster });
  const groupCount = Math.ceil((blockCount - firstDataBlock) / groups.blocksPerGroup);
  demand(groupCount < 2 ** 32, 'it has too many groups');
  const inodes = parseInodeSizes(raw, blockSize);
  demand(inodes.inodesPerGroup * groupCount === raw.readUInt32LE(At.inodeCount), 'its inode count is impossible');

  const descriptorSize = sixtyFourBit ? raw.readUInt16LE(At.descriptorSize) : 32;
  const possible = descriptorSize === 32 ? !sixtyFourBit : descriptorSize >= 64 && descriptorSize <= 1024;
  demand(possible && isPowerOfTwo(descriptorSize), `its group descriptors have ${descriptorSize} bytes`);
  return {
    blockSize,
    clusterSize: blockSize * blocksPerCluster,
    blocksPerCluster,
    blockCount,
    freeBlockCount,
    firstDataBlock,
    ...groups,
    groupCount,
    ...inodes,
    descriptorSize,
  };
}

function parseGroupSizes(
  raw: Buffer,
  { blockSize, blocksPerCluster }: { blockSize: Bytes; blocksPerCluster: number },
): GroupSizes {
  const blocksPerGroup = raw.readUInt32LE(At.blocksPerGroup);
  const clustersPerGroup = blocksPerCluster > 1 ? raw.readUInt32LE(At.clustersPerGroup) : blocksPerGroup;
  demand(
    clustersPerGroup >= 8 && clustersPerGroup <= blockSize * 8 && clustersPerGroup % 8 === 0,
    `its groups have ${clustersPerGroup} clusters`,
  );
  demand(clustersPerGroup * blocksPerCluster === blocksPerGroup, `its groups have ${blocksPerGroup} blocks`);
  return { blocksPerGroup, clustersPerGroup };
}

function parseInodeSizes(raw: Buffer, blockSize: Bytes): { inodesPerGroup: number; inodeSize: Bytes } {
  const inodeSize = raw.readUInt32LE(At.revision) === 0 ? 128 : raw.readUInt16LE(At.inodeSize);
  demand(inodeSize >= 128 && inodeSize <= blockSize && isPowerOfTwo(inodeSize), `its inodes have ${inodeSize} bytes`);
  const inodesPerGroup = raw.readUInt32LE(At.inodesPerGroup);
  demand(inodesPerGroup >= 1 && inodesPerGroup <= blockSize * 8, `its groups have ${inodesPerGroup} inodes`);
  return { inodesPerGroup, inodeSize };
}

function isIntact(raw: Buffer, { roCompat }: Features): boolean {
  if ((roCompat & RoCompat.METADATA_CSUM) === 0) return true;
  return (
    raw[At.checksumType] === CHECKSUM_TYPE_CRC32C &&
    rawCrc32c(ALL_ONES, raw.subarray(0, At.checksum)) === raw.readUInt32LE(At.checksum)
  );
}

function labelLength(raw: Buffer): number {
  const end = raw.subarray(At.label, At.label + 16).indexOf(0);
  return end < 0 ? 16 : end;
}

function lastWritten(raw: Buffer): Date | undefined {
  const written = raw.readUInt32LE(At.writeTime) + raw.readUInt8(At.writeTimeHigh) * 2 ** 32;
  const mounted = raw.readUInt32LE(At.mountTime) + raw.readUInt8(At.mountTimeHigh) * 2 ** 32;
  const seconds = Math.max(written, mounted);
  return seconds === 0 ? undefined : new Date(seconds * 1000);
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}

function demand(condition: boolean, otherwise: string): void {
  if (!condition) throw new FormatError(`the ext superblock is damaged: ${otherwise}`);
}
