// exFAT boot region: the geometry, and the checksum over it. It lies twice, in sectors 0 to 11 and 12 to 23.
// Invariant: a boot sector that parses has bounded numbers, and its areas follow each other inside its own size.
// Format: Microsoft "exFAT file system specification", section 3 (main and backup boot regions).

import type { Bytes } from '../../base/units.js';

export const BOOT_SECTOR_LENGTH = 512;
export const FIRST_CLUSTER = 2;

const AT = {
  name: 3,
  mustBeZero: 11,
  volumeLength: 72,
  tableOffset: 80,
  tableLength: 84,
  heapOffset: 88,
  clusterCount: 92,
  rootCluster: 96,
  serial: 100,
  revision: 104,
  flags: 106,
  sectorShift: 108,
  sectorsPerClusterShift: 109,
  tableCount: 110,
  percentInUse: 112,
  signature: 510,
} as const;

const NAME = 'EXFAT   ';
const SIGNATURE = 0xaa55;
const MAX_CLUSTERS = 0xfffffff5;
const REGION_SECTORS = 12;
/** Drivers change these while the volume is mounted, so the checksum leaves them out. */
const NOT_SUMMED = [AT.flags, AT.flags + 1, AT.percentInUse];
const ENTRY_LENGTH: Bytes = 4;

export interface BootSector {
  readonly sectorSize: Bytes;
  readonly clusterSize: Bytes;
  readonly tableOffset: Bytes;
  readonly tableSize: Bytes;
  /**
   * Which FAT and bitmap say what is used, first the active one: 0, or with two FATs also 1. Linux goes by the first
   * whatever is active, so that one counts too.
   */
  readonly tablesInUse: readonly number[];
  /** Where cluster 2 lies. */
  readonly heapOffset: Bytes;
  readonly clusterCount: number;
  readonly rootCluster: number;
  readonly span: Bytes;
  /** As blkid prints it: "ABCD-1234". */
  readonly serial: string;
  /** It was not unmounted. */
  readonly isDirty: boolean;
  /** A read or write failed, and the driver says so. */
  readonly mediaFailed: boolean;
}

/** Undefined: no exFAT boot sector, or an impossible one. */
export function parseBootSector(bytes: Buffer): BootSector | undefined {
  if (bytes.length < BOOT_SECTOR_LENGTH || bytes.readUInt16LE(AT.signature) !== SIGNATURE) return undefined;
  if (bytes.toString('latin1', AT.name, AT.mustBeZero) !== NAME) return undefined;
  if (bytes.subarray(AT.mustBeZero, 64).some((byte) => byte !== 0)) return undefined;

  const sectorShift = bytes.readUInt8(AT.sectorShift);
  const clusterShift = sectorShift + bytes.readUInt8(AT.sectorsPerClusterShift);
  const tableCount = bytes.readUInt8(AT.tableCount);
  if (sectorShift < 9 || sectorShift > 12 || clusterShift > 25) return undefined;
  if (tableCount !== 1 && tableCount !== 2) return undefined;
  if (bytes.readUInt8(AT.revision + 1) !== 1) return undefined;

  const sectorSize = 2 ** sectorShift;
  const clusterSize = 2 ** clusterShift;
  const sectors = (at: number): Bytes => bytes.readUInt32LE(at) * sectorSize;
  const span = Number(bytes.readBigUInt64LE(AT.volumeLength)) * sectorSize;
  const tableOffset = sectors(AT.tableOffset);
  const tableSize = sectors(AT.tableLength);
  const heapOffset = sectors(AT.heapOffset);
  const clusterCount = bytes.readUInt32LE(AT.clusterCount);
  const rootCluster = bytes.readUInt32LE(AT.rootCluster);
  if (!Number.isSafeInteger(span)) return undefined;
  if (clusterCount < 1 || clusterCount > MAX_CLUSTERS) return undefined;
  if (tableOffset < 2 * REGION_SECTORS * sectorSize) return undefined;
  if (tableSize < (clusterCount + FIRST_CLUSTER) * ENTRY_LENGTH) return undefined;
  if (tableOffset + tableCount * tableSize > heapOffset) return undefined;
  if (heapOffset + clusterCount * clusterSize > span) return undefined;
  if (rootCluster < FIRST_CLUSTER || rootCluster >= clusterCount + FIRST_CLUSTER) return undefined;

  const flags = bytes.readUInt16LE(AT.flags);
  const active = flags & 1;
  if (active >= tableCount) return undefined;
  return {
    sectorSize,
    clusterSize,
    tableOffset,
    tableSize,
    tablesInUse: active === 0 ? [0] : [1, 0],
    heapOffset,
    clusterCount,
    rootCluster,
    span,
    serial: serialOf(bytes.readUInt32LE(AT.serial)),
    isDirty: (flags & 2) !== 0,
    mediaFailed: (flags & 4) !== 0,
  };
}

/** Bytes of one boot region; the backup follows the main one. */
export function bootRegionLength({ sectorSize }: BootSector): Bytes {
  return REGION_SECTORS * sectorSize;
}

/** True if the last sector of the region repeats the checksum of the others. */
export function isBootRegionWhole(region: Buffer, sectorSize: Bytes): boolean {
  const summed = (REGION_SECTORS - 1) * sectorSize;
  const sum = bootRegionChecksum(region, sectorSize);
  for (let at = summed; at < region.length; at += ENTRY_LENGTH) if (region.readUInt32LE(at) !== sum) return false;
  return region.length > summed;
}

/** The checksum that the last sector of the region should repeat. */
export function bootRegionChecksum(region: Buffer, sectorSize: Bytes): number {
  const summed = (REGION_SECTORS - 1) * sectorSize;
  let sum = 0;
  for (let at = 0; at < summed; at += 1) {
    if (NOT_SUMMED.includes(at)) continue;
    sum = (((sum & 1) === 1 ? 0x80000000 : 0) + (sum >>> 1) + (region[at] ?? 0)) >>> 0;
  }
  return sum;
}

function serialOf(serial: number): string {
  const digits = serial.toString(16).toUpperCase().padStart(8, '0');
  return `${digits.slice(0, 4)}-${digits.slice(4)}`;
}

/** Where a cluster lies. */
export function clusterOffset({ heapOffset, clusterSize }: BootSector, cluster: number): Bytes {
  return heapOffset + (cluster - FIRST_CLUSTER) * clusterSize;
}

export function isCluster({ clusterCount }: BootSector, number: number): boolean {
  return number >= FIRST_CLUSTER && number < clusterCount + FIRST_CLUSTER;
}
