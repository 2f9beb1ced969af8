// Inodes: what a file is, and where the list of its bytes begins.
// Invariant: an inode that comes out of here says that it is the one asked for and has a right checksum, if the file
// system is of version 5; its fork lies inside it. Nothing it counts has been believed yet.
// Source: "XFS Algorithms & Data Structures", on-disk inode; kernel fs/xfs/libxfs/xfs_inode_buf.c (xfs_dinode_verify).

import { FormatError, readU64BE } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { isSealed } from './checksum.js';
import { type InodeGeometry, inodeOffset } from './inode-geometry.js';
import type { Superblock } from './superblock.js';

const MAGIC = 0x494e; // IN
const FORMAT_MASK = 0xf000;
const FORMATS: Readonly<Record<number, Inode['format']>> = { 16384: 'directory', 32768: 'regular' };
const PERMISSIONS = 0xfff;
const FORK_FORMATS: Readonly<Record<number, Fork['format']>> = { 1: 'local', 2: 'extents', 3: 'btree' };
const FORK_UNIT = 8;

const FLAG_REALTIME = 0x1;
const FLAG2_DAX = 0x1;
const FLAG2_REFLINK = 0x2;
const FLAG2_LARGE_EXTENT_COUNTS = 0x10;

const At = {
  magic: 0,
  mode: 2,
  version: 4,
  forkFormat: 5,
  owner: 8,
  largeExtentCount: 24,
  size: 56,
  blocks: 64,
  extentCount: 76,
  forkLength: 82,
  flags: 90,
  endOfVersion2: 100,
  checksum: 100,
  /** The lower half of 64 bits. */
  flags2: 124,
  number: 152,
  uuid: 160,
  endOfVersion3: 176,
} as const;

/** Where the inode keeps its bytes, or the list of its extents. */
export interface Fork {
  readonly format: 'local' | 'extents' | 'btree' | 'other';
  readonly bytes: Buffer;
  readonly extentCount: number;
  /** Blocks that the file takes, those of its lists and of its extended attributes too. */
  readonly blockCount: number;
}

export interface Inode {
  readonly number: number;
  readonly format: 'regular' | 'directory' | 'other';
  readonly permissions: number;
  readonly owner: number;
  readonly size: Bytes;
  /** Its bytes lie on the realtime device. */
  readonly realtime: boolean;
  /** It shares, or once shared, blocks with other files. */
  readonly reflinked: boolean;
  /** Programs store to the medium itself, without the page cache between. */
  readonly direct: boolean;
  readonly fork: Fork;
}

/** Throws FormatError. */
export async function readInode(
  volume: Source,
  superblock: Superblock,
  { geometry, number }: { geometry: InodeGeometry; number: number },
): Promise<Inode> {
  const raw = Buffer.alloc(geometry.inodeSize);
  await volume.read(raw, inodeOffset(superblock, geometry, number));
  return parseInode(superblock, raw, number);
}

/** Throws FormatError. */
export function parseInode(superblock: Superblock, raw: Buffer, number: number): Inode {
  demandOwn(superblock, raw, number);
  const mode = raw.readUInt16BE(At.mode);
  const flags2 = superblock.version === 5 ? raw.readUInt32BE(At.flags2) : 0;
  return {
    number,
    format: FORMATS[mode & FORMAT_MASK] ?? 'other',
    permissions: mode & PERMISSIONS,
    owner: raw.readUInt32BE(At.owner),
    size: readU64BE(raw, At.size),
    realtime: (raw.readUInt16BE(At.flags) & FLAG_REALTIME) !== 0,
    reflinked: (flags2 & FLAG2_REFLINK) !== 0,
    direct: (flags2 & FLAG2_DAX) !== 0,
    fork: {
      format: FORK_FORMATS[raw.readUInt8(At.forkFormat)] ?? 'other',
      bytes: forkOf(superblock, raw, number),
      extentCount:
        (flags2 & FLAG2_LARGE_EXTENT_COUNTS) === 0
          ? raw.readUInt32BE(At.extentCount)
          : readU64BE(raw, At.largeExtentCount),
      blockCount: readU64BE(raw, At.blocks),
    },
  };
}

/** Inodes of version 3 belong to file systems of version 5, and to no others. */
function demandOwn({ version, metadataUuid }: Superblock, raw: Buffer, number: number): void {
  const newest = version === 5;
  if (raw.readUInt16BE(At.magic) !== MAGIC || raw.readUInt8(At.version) !== (newest ? 3 : 2)) {
    throw new FormatError(`inode ${number} is none`);
  }
  if (!newest) return;
  if (!isSealed(raw, At.checksum)) throw new FormatError(`the checksum of inode ${number} is wrong`);
  const own =
    readU64BE(raw, At.number) === number && metadataUuid.compare(raw, At.uuid, At.uuid + metadataUuid.length) === 0;
  if (!own) throw new FormatError(`inode ${number} belongs elsewhere`);
}

/** The data fork; behind it, if the inode says so, lies that of the extended attributes. */
function forkOf({ version }: Superblock, raw: Buffer, number: number): Buffer {
  const start = version === 5 ? At.endOfVersion3 : At.endOfVersion2;
  const length = raw.readUInt8(At.forkLength) * FORK_UNIT;
  if (start + length > raw.length) throw new FormatError(`inode ${number} has a fork that is longer than itself`);
  return raw.subarray(start, length === 0 ? raw.length : start + length);
}
