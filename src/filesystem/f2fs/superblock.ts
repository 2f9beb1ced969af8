// The F2FS superblock: geometry and name. It lies twice; like blkid we go by the first one.
// Invariant: a superblock that parses has areas that follow each other as the kernel demands, inside its own size.
// Format: kernel include/linux/f2fs_fs.h (struct f2fs_super_block), fs/f2fs/super.c (sanity_check_raw_super).

import { rawCrc32 } from '../../base/checksum.js';
import type { Bytes } from '../../base/units.js';

export const SUPERBLOCK_OFFSET: Bytes = 1024;
export const SUPERBLOCK_LENGTH: Bytes = 3072;
export const MAGIC = 0xf2f52010;
/** The only geometry of file systems made for pages of 4 KiB. */
export const BLOCK: Bytes = 4096;
export const SEGMENT_BLOCKS = 512;

const AT = {
  sectorShift: 8,
  sectorsPerBlockShift: 12,
  blockShift: 16,
  segmentShift: 20,
  checksumOffset: 32,
  blockCount: 36,
  segmentCount: 48,
  checkpointSegments: 52,
  sitSegments: 56,
  natSegments: 60,
  ssaSegments: 64,
  mainSegments: 68,
  segment0: 72,
  checkpoint: 76,
  sit: 80,
  nat: 84,
  ssa: 88,
  main: 92,
  uuid: 108,
  label: 124,
  labelEnd: 1148,
  payload: 1664,
  features: 2180,
  devices: 2201,
} as const;
const DEVICE_ENTRY_LENGTH: Bytes = 68;
const CHECKSUM_OFFSET: Bytes = 3068;

const FEATURE = { zoned: 0x2, checksum: 0x800 } as const;
const KNOWN_FEATURES = 0x7fff & ~FEATURE.zoned;

export interface Superblock {
  /** As it lies on the volume. */
  readonly raw: Buffer;
  readonly blockCount: number;
  readonly checkpointBlock: number;
  readonly sitBlock: number;
  /** Of both copies together. */
  readonly sitSegments: number;
  readonly mainBlock: number;
  readonly mainSegments: number;
  /** Blocks of a checkpoint pack that go on with its version bitmaps. */
  readonly payload: number;
  /** As blkid prints them. */
  readonly uuid: string;
  readonly label: string;
  readonly isWhole: boolean;
  readonly hasMoreDevices: boolean;
  /** Feature bits that we do not know or cannot copy. */
  readonly unsupported: number;
}

/** Undefined: no F2FS, or a geometry that cannot be. `bytes`: SUPERBLOCK_LENGTH bytes from SUPERBLOCK_OFFSET. */
export function parseSuperblock(bytes: Buffer): Superblock | undefined {
  if (bytes.length < SUPERBLOCK_LENGTH || bytes.readUInt32LE(0) !== MAGIC) return undefined;
  const read = (at: number): number => bytes.readUInt32LE(at);
  if (read(AT.blockShift) !== 12 || read(AT.segmentShift) !== 9) return undefined;
  if (read(AT.sectorShift) + read(AT.sectorsPerBlockShift) !== 12) return undefined;

  const blockCount = Number(bytes.readBigUInt64LE(AT.blockCount));
  const areas = [AT.checkpoint, AT.sit, AT.nat, AT.ssa, AT.main].map(read);
  const lengths = [AT.checkpointSegments, AT.sitSegments, AT.natSegments, AT.ssaSegments, AT.mainSegments].map(read);
  let block = read(AT.segment0);
  for (const [index, area] of areas.entries()) {
    if (area !== block) return undefined;
    block += (lengths[index] ?? 0) * SEGMENT_BLOCKS;
  }
  const [checkpointSegments = 0, sitSegments = 0, , , mainSegments = 0] = lengths;
  const [checkpointBlock = 0, sitBlock = 0, , , mainBlock = 0] = areas;
  if (!Number.isSafeInteger(blockCount * BLOCK) || block > blockCount) return undefined;
  if (checkpointBlock < 2 || checkpointSegments !== 2 || mainSegments < 1) return undefined;
  if (sitSegments < 2 || sitSegments % 2 !== 0) return undefined;
  if (read(AT.payload) > SEGMENT_BLOCKS - 8) return undefined;

  const features = read(AT.features);
  return {
    raw: bytes,
    blockCount,
    checkpointBlock,
    sitBlock,
    sitSegments,
    mainBlock,
    mainSegments,
    payload: read(AT.payload),
    uuid: formatUuid(bytes.subarray(AT.uuid, AT.label)),
    label: labelOf(bytes),
    isWhole: (features & FEATURE.checksum) === 0 || hasRightChecksum(bytes),
    hasMoreDevices: [0, 1].some((device) => bytes.readUInt8(AT.devices + device * DEVICE_ENTRY_LENGTH) !== 0),
    unsupported: (features & ~KNOWN_FEATURES) >>> 0,
  };
}

function hasRightChecksum(bytes: Buffer): boolean {
  if (bytes.readUInt32LE(AT.checksumOffset) !== CHECKSUM_OFFSET) return false;
  return bytes.readUInt32LE(CHECKSUM_OFFSET) === rawCrc32(MAGIC, bytes.subarray(0, CHECKSUM_OFFSET));
}

function labelOf(bytes: Buffer): string {
  const text = bytes.toString('utf16le', AT.label, AT.labelEnd);
  const end = text.indexOf('\0');
  return (end < 0 ? text : text.slice(0, end)).trimEnd();
}

function formatUuid(uuid: Buffer): string {
  if (uuid.every((byte) => byte === 0)) return '';
  const hex = uuid.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
