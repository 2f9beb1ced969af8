// The superblock of XFS: the first sector of the volume.
// Invariant: every number in a `Superblock` is within its format's bounds, so nothing computed from it can overflow,
// divide by zero or ask for absurd memory. Whether it fits the volume is `isTruncated`, whether it is intact `intact`.
// Source: "XFS Algorithms & Data Structures", superblocks; kernel fs/xfs/libxfs/xfs_sb.c (xfs_validate_sb_common).

import { FormatError, readU64BE } from '../../base/u64.js';
import { type Bytes, GiB, KiB, TiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { isSealed } from './checksum.js';
import { type Features, Incompat, Version } from './features.js';

const MAGIC = 0x58465342; // XFSB
const SMALLEST_SECTOR = 512;
const LARGEST_SECTOR = 32 * KiB;
const SMALLEST_GROUP_BLOCKS = 64;
const LARGEST_GROUP: Bytes = TiB;
const LARGEST_LOG: Bytes = 2 * GiB;

const At = {
  magic: 0,
  blockSize: 4,
  blockCount: 8,
  realtimeBlocks: 16,
  realtimeExtents: 24,
  uuid: 32,
  logStart: 48,
  groupBlocks: 84,
  groupCount: 88,
  logBlocks: 96,
  version: 100,
  sectorSize: 102,
  label: 108,
  logBlockSize: 120,
  logSectorSize: 121,
  logGroupBlocks: 124,
  inProgress: 126,
  freeBlockCount: 144,
  features2: 200,
  roCompat: 212,
  incompat: 216,
  checksum: 224,
  metadataUuid: 248,
} as const;

const LABEL_LENGTH = 12;
const SMALLEST_HEAD = 264;

export interface Superblock extends Features {
  /** The first sector. */
  readonly raw: Buffer;
  /** False if the superblock has a checksum and it is wrong. */
  readonly intact: boolean;
  readonly blockSize: Bytes;
  readonly sectorSize: Bytes;
  readonly blockCount: number;
  readonly freeBlockCount: number;
  /** Blocks of every allocation group but the last, which may be short. */
  readonly groupBlocks: number;
  readonly groupCount: number;
  /** Bits that a block's number inside its group takes in an absolute block number. */
  readonly groupShift: number;
  /** Where the log is; undefined if it lies on another device. */
  readonly log: { readonly group: number; readonly start: number; readonly blocks: number } | undefined;
  readonly hasRealtime: boolean;
  /** mkfs.xfs has not finished. */
  readonly inProgress: boolean;
  /** The one that people see and the log bears. */
  readonly uuid: Buffer;
  /** The one that all other metadata bears. */
  readonly metadataUuid: Buffer;
  readonly label: string;
}

/** Undefined: no XFS. Throws FormatError if its numbers are impossible. */
export async function readSuperblock(volume: Source): Promise<Superblock | undefined> {
  if (volume.size < SMALLEST_SECTOR) return undefined;
  const head = Buffer.alloc(SMALLEST_SECTOR);
  await volume.read(head, 0);
  if (head.readUInt32BE(At.magic) !== MAGIC) return undefined;
  const length = Math.min(parseSectorSize(head), volume.size);
  if (length === head.length) return parseSuperblock(head);
  const raw = Buffer.alloc(length);
  await volume.read(raw, 0);
  return parseSuperblock(raw);
}

/** As `readSuperblock`, from the bytes of its sector. */
export function parseSuperblock(raw: Buffer): Superblock | undefined {
  if (raw.length < SMALLEST_HEAD || raw.readUInt32BE(At.magic) !== MAGIC) return undefined;
  const features = parseFeatures(raw);
  const sizes = parseSizes(raw);
  const uuid = raw.subarray(At.uuid, At.uuid + 16);
  const own = (features.incompat & Incompat.METADATA_UUID) !== 0;
  return {
    ...features,
    ...sizes,
    raw,
    intact: features.version !== 5 || (raw.length === sizes.sectorSize && isSealed(raw, At.checksum)),
    log: parseLog(raw, sizes),
    hasRealtime: !isZero(raw, At.realtimeBlocks) || !isZero(raw, At.realtimeExtents),
    inProgress: raw[At.inProgress] !== 0,
    uuid,
    metadataUuid: own ? raw.subarray(At.metadataUuid, At.metadataUuid + 16) : uuid,
    label: parseLabel(raw),
  };
}

/** True if the file system says that it is larger than the volume. */
export function isTruncated({ blockCount, blockSize }: Superblock, volume: Source): boolean {
  return blockCount * blockSize > volume.size;
}

function parseFeatures(raw: Buffer): Features {
  const versionFlags = raw.readUInt16BE(At.version);
  const version = versionFlags & 0xf;
  const newest = version === 5;
  return {
    version,
    versionFlags,
    features2: newest || (versionFlags & Version.MORE) !== 0 ? raw.readUInt32BE(At.features2) : 0,
    roCompat: newest ? raw.readUInt32BE(At.roCompat) : 0,
    incompat: newest ? raw.readUInt32BE(At.incompat) : 0,
  };
}

type Sizes = Pick<
  Superblock,
  'blockSize' | 'sectorSize' | 'blockCount' | 'freeBlockCount' | 'groupBlocks' | 'groupCount' | 'groupShift'
>;

function parseSizes(raw: Buffer): Sizes {
  const sectorSize = parseSectorSize(raw);
  const blockSize = parsePower(raw, { size: raw.readUInt32BE(At.blockSize), logAt: At.logBlockSize });
  demand(blockSize >= sectorSize && blockSize <= 64 * KiB, `its blocks have ${blockSize} bytes`);
  const blockCount = readU64BE(raw, At.blockCount);
  demand(
    blockCount >= SMALLEST_GROUP_BLOCKS && Number.isSafeInteger(blockCount * blockSize),
    `it has ${blockCount} blocks`,
  );
  const groupBlocks = raw.readUInt32BE(At.groupBlocks);
  demand(
    groupBlocks >= SMALLEST_GROUP_BLOCKS && groupBlocks * blockSize <= LARGEST_GROUP,
    `its allocation groups have ${groupBlocks} blocks`,
  );
  const groupCount = raw.readUInt32BE(At.groupCount);
  demand(
    groupCount === Math.ceil(blockCount / groupBlocks) &&
      blockCount - (groupCount - 1) * groupBlocks >= SMALLEST_GROUP_BLOCKS,
    `it has ${groupCount} allocation groups`,
  );
  const groupShift = raw.readUInt8(At.logGroupBlocks);
  demand(groupShift === Math.ceil(Math.log2(groupBlocks)), `its allocation groups take ${groupShift} bits`);
  const freeBlockCount = readU64BE(raw, At.freeBlockCount);
  return { blockSize, sectorSize, blockCount, freeBlockCount, groupBlocks, groupCount, groupShift };
}

function parseSectorSize(raw: Buffer): Bytes {
  const size = parsePower(raw, { size: raw.readUInt16BE(At.sectorSize), logAt: At.logSectorSize });
  demand(size >= SMALLEST_SECTOR && size <= LARGEST_SECTOR, `its sectors have ${size} bytes`);
  return size;
}

/** Sizes are kept twice: as they are, and as a power of two. */
function parsePower(raw: Buffer, { size, logAt }: { size: number; logAt: number }): number {
  demand(size === 2 ** raw.readUInt8(logAt), `it says ${size} and 2 to the ${raw.readUInt8(logAt)} of the same size`);
  return size;
}

function parseLog(
  raw: Buffer,
  { blockSize, groupCount, groupBlocks, groupShift, blockCount }: Sizes,
): Superblock['log'] {
  const at = readU64BE(raw, At.logStart);
  if (at === 0) return undefined;
  const group = Math.floor(at / 2 ** groupShift);
  const start = at - group * 2 ** groupShift;
  const blocks = raw.readUInt32BE(At.logBlocks);
  const groupEnd = Math.min(groupBlocks, blockCount - group * groupBlocks);
  demand(
    blocks > 0 && blocks * blockSize <= LARGEST_LOG && group < groupCount && start + blocks <= groupEnd,
    'its log is impossible',
  );
  return { group, start, blocks };
}

function parseLabel(raw: Buffer): string {
  const label = raw.subarray(At.label, At.label + LABEL_LENGTH);
  const end = label.indexOf(0);
  return label.toString('utf8', 0, end < 0 ? LABEL_LENGTH : end);
}

function isZero(raw: Buffer, at: number): boolean {
  return raw.readUInt32BE(at) === 0 && raw.readUInt32BE(at + 4) === 0;
}

function demand(condition: boolean, otherwise: string): void {
  if (!condition) throw new FormatError(`the XFS superblock is damaged: ${otherwise}`);
}
