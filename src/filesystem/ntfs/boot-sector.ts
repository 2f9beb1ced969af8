// NTFS boot sector ($Boot): the geometry everything else is computed from.
// Invariant: a boot sector that parses has bounded numbers; every product of them is a safe integer.
// Format: ntfs-3g layout.h (NTFS_BOOT_SECTOR) and bootsect.c; measured with mkntfs.

import { type Bytes, KiB, MiB } from '../../base/units.js';

export const BOOT_SECTOR_LENGTH = 512;

const OEM_ID = 'NTFS    ';
const AT = {
  oemId: 3,
  sectorSize: 0x0b,
  sectorsPerCluster: 0x0d,
  /** Reserved sectors, FATs, root entries, sectors, media-independent: a FAT uses them, NTFS keeps them zero. */
  fatFieldsHead: 0x0e,
  fatFieldsHeadEnd: 0x15,
  sectorsPerFat: 0x16,
  largeSectors: 0x20,
  totalSectors: 0x28,
  mftCluster: 0x30,
  mirrorCluster: 0x38,
  recordSize: 0x40,
  indexBlockSize: 0x44,
  serial: 0x48,
} as const;

const MIN_SECTOR: Bytes = 256;
const MAX_SECTOR: Bytes = 4 * KiB;
const MIN_CLUSTER: Bytes = 512;
const MAX_CLUSTER: Bytes = 2 * MiB;
/** Sectors per cluster from here on are a negated exponent: 2^(256 - value). */
const FIRST_EXPONENT = 240;
const LAST_EXPONENT = 253;
const MIN_STRUCTURE: Bytes = 512;
const MAX_STRUCTURE: Bytes = 64 * KiB;

export interface BootSector {
  readonly sectorSize: Bytes;
  readonly clusterSize: Bytes;
  /** Without the sector of the backup boot sector, which lies right behind. */
  readonly totalSectors: number;
  /** Whole clusters; what is left of the sectors belongs to nobody but the backup boot sector. */
  readonly clusterCount: number;
  readonly mftCluster: number;
  readonly mirrorCluster: number;
  /** Of one MFT record. */
  readonly recordSize: Bytes;
  /** Of one block of a directory. */
  readonly indexBlockSize: Bytes;
  /** Sixteen upper-case hexadecimal digits, as blkid prints it. */
  readonly serial: string;
  /** What the file system spans with its backup boot sector; may be more than the volume has. */
  readonly span: Bytes;
}

/** Undefined: not an NTFS boot sector (BitLocker and ReFS are not), or one with impossible numbers. */
export function parseBootSector(bytes: Buffer): BootSector | undefined {
  if (bytes.length < BOOT_SECTOR_LENGTH) return undefined;
  if (bytes.toString('latin1', AT.oemId, AT.oemId + OEM_ID.length) !== OEM_ID) return undefined;
  if (!fatFieldsAreZero(bytes)) return undefined;

  const sectorSize = bytes.readUInt16LE(AT.sectorSize);
  const sectorsPerCluster = clusterFactor(bytes.readUInt8(AT.sectorsPerCluster));
  if (!isPowerOfTwo(sectorSize) || sectorSize < MIN_SECTOR || sectorSize > MAX_SECTOR) return undefined;
  if (sectorsPerCluster === undefined) return undefined;
  const clusterSize = sectorSize * sectorsPerCluster;
  if (clusterSize < MIN_CLUSTER || clusterSize > MAX_CLUSTER) return undefined;

  const totalSectors = Number(bytes.readBigUInt64LE(AT.totalSectors));
  const span = (totalSectors + 1) * sectorSize;
  const clusterCount = Math.floor(totalSectors / sectorsPerCluster);
  const mftCluster = Number(bytes.readBigUInt64LE(AT.mftCluster));
  const mirrorCluster = Number(bytes.readBigUInt64LE(AT.mirrorCluster));
  if (!Number.isSafeInteger(span) || clusterCount === 0) return undefined;
  if (mftCluster >= clusterCount || mirrorCluster >= clusterCount) return undefined;

  const recordSize = structureSize(bytes.readInt8(AT.recordSize), clusterSize);
  const indexBlockSize = structureSize(bytes.readInt8(AT.indexBlockSize), clusterSize);
  if (recordSize === undefined || indexBlockSize === undefined) return undefined;

  const serial = bytes.readBigUInt64LE(AT.serial).toString(16).toUpperCase().padStart(16, '0');
  return {
    sectorSize,
    clusterSize,
    totalSectors,
    clusterCount,
    mftCluster,
    mirrorCluster,
    recordSize,
    indexBlockSize,
    serial,
    span,
  };
}

function fatFieldsAreZero(bytes: Buffer): boolean {
  for (let at: number = AT.fatFieldsHead; at < AT.fatFieldsHeadEnd; at += 1) if (bytes[at] !== 0) return false;
  return bytes.readUInt16LE(AT.sectorsPerFat) === 0 && bytes.readUInt32LE(AT.largeSectors) === 0;
}

function clusterFactor(value: number): number | undefined {
  if (value >= FIRST_EXPONENT && value <= LAST_EXPONENT) return 2 ** (256 - value);
  return value <= 128 && isPowerOfTwo(value) ? value : undefined;
}

/** Positive: clusters; negative: the exponent of two. */
function structureSize(value: number, clusterSize: Bytes): Bytes | undefined {
  const size = value > 0 ? value * clusterSize : 2 ** -value;
  return isPowerOfTwo(size) && size >= MIN_STRUCTURE && size <= MAX_STRUCTURE ? size : undefined;
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}
