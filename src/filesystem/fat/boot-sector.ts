// FAT boot sector: the BIOS parameter block and the geometry that follows from it.
// Invariant: a boot sector that parses has bounded numbers, and its areas follow each other inside its own size.
// Format: Microsoft "FAT: General Overview of On-Disk Format" 1.03; sanity as Linux fs/fat/inode.c does it.

import { type Bytes, KiB } from '../../base/units.js';

export const BOOT_SECTOR_LENGTH = 512;

const AT = {
  jump: 0,
  oemId: 3,
  sectorSize: 11,
  sectorsPerCluster: 13,
  reservedSectors: 14,
  tableCount: 16,
  rootEntries: 17,
  totalSectors16: 19,
  media: 21,
  tableSectors16: 22,
  totalSectors32: 32,
  tableSectors32: 36,
  extFlags: 40,
  rootCluster: 44,
  /** GUID of a BitLocker To Go volume, which looks like a FAT32 otherwise. */
  bitLockerGuid: 424,
  partitions: 446,
  signature: 510,
} as const;

/** What FAT12/16 and FAT32 have in different places. */
const EXTENDED = {
  16: { state: 0x25, bootSignature: 0x26, serial: 0x27, label: 0x2b, type: 0x36 },
  32: { state: 0x41, bootSignature: 0x42, serial: 0x43, label: 0x47, type: 0x52 },
} as const;

const FOREIGN_OEM_IDS = ['NTFS    ', 'EXFAT   ', '-FVE-FS-', 'ReFS\0\0\0\0'];
const BITLOCKER_TO_GO = Buffer.from('3bd66749292ed84a8399f6a339e3d001', 'hex');
const SIGNATURE = 0xaa55;
const MIN_SECTOR: Bytes = 512;
const MAX_SECTOR: Bytes = 4 * KiB;
const ENTRY_LENGTH: Bytes = 32;
const NOT_MIRRORED = 0x80;
const ACTIVE_TABLE_MASK = 0x0f;
/** The serial number is there with either signature, the label with the second only. */
const HAS_SERIAL = [0x28, 0x29];
const HAS_LABEL = 0x29;
const MAX_CLUSTERS = { 12: 4084, 16: 65524, 32: 0x0ffffff4 } as const;

export type FatBits = 12 | 16 | 32;

export interface BootSector {
  /** Width of a table entry; FAT32 has 28 bits that count. */
  readonly bits: FatBits;
  readonly sectorSize: Bytes;
  readonly clusterSize: Bytes;
  readonly tableOffset: Bytes;
  readonly tableSize: Bytes;
  readonly tableCount: number;
  /** The tables that say what is used: one if they are mirrored; else the active one, and the first, which Linux uses. */
  readonly tablesInUse: readonly number[];
  /** Extent of the root directory; FAT32 has a cluster chain instead and the length is 0. */
  readonly root: { readonly offset: Bytes; readonly length: Bytes };
  /** First cluster of the root directory; 0 except on FAT32. */
  readonly rootCluster: number;
  /** Where cluster 2 lies. */
  readonly dataOffset: Bytes;
  readonly clusterCount: number;
  readonly span: Bytes;
  /** As blkid prints it ("ABCD-1234"); empty if there is none. */
  readonly serial: string;
  readonly label: string;
  /** Bit 0: mounted or not unmounted. Bit 1: an I/O error was seen. */
  readonly state: number;
}

/** Undefined: no FAT boot sector (a master boot record, NTFS, exFAT and BitLocker are none), or an impossible one. */
export function parseBootSector(bytes: Buffer): BootSector | undefined {
  if (bytes.length < BOOT_SECTOR_LENGTH || bytes.readUInt16LE(AT.signature) !== SIGNATURE) return undefined;
  if (looksForeign(bytes)) return undefined;

  const sectorSize = bytes.readUInt16LE(AT.sectorSize);
  const clusterSize = sectorSize * bytes.readUInt8(AT.sectorsPerCluster);
  if (!isPowerOfTwo(sectorSize) || sectorSize < MIN_SECTOR || sectorSize > MAX_SECTOR) return undefined;
  if (!isPowerOfTwo(clusterSize)) return undefined;
  const reserved = bytes.readUInt16LE(AT.reservedSectors);
  const tableCount = bytes.readUInt8(AT.tableCount);
  const media = bytes.readUInt8(AT.media);
  if (reserved === 0 || tableCount === 0 || (media !== 0xf0 && media < 0xf8)) return undefined;

  const tableSectors = bytes.readUInt16LE(AT.tableSectors16) || bytes.readUInt32LE(AT.tableSectors32);
  const totalSectors = bytes.readUInt16LE(AT.totalSectors16) || bytes.readUInt32LE(AT.totalSectors32);
  const rootLength = bytes.readUInt16LE(AT.rootEntries) * ENTRY_LENGTH;
  if (tableSectors === 0 || rootLength % sectorSize !== 0) return undefined;
  const tableOffset = reserved * sectorSize;
  const tableSize = tableSectors * sectorSize;
  const rootOffset = tableOffset + tableCount * tableSize;
  const dataOffset = rootOffset + rootLength;
  const span = totalSectors * sectorSize;
  const clusterCount = Math.floor((span - dataOffset) / clusterSize);
  if (clusterCount < 1) return undefined;
  const bits = widthOf(bytes, clusterCount);
  if (clusterCount > MAX_CLUSTERS[bits]) return undefined;
  const rootCluster = bits === 32 ? bytes.readUInt32LE(AT.rootCluster) : 0;
  if (bits === 32 ? rootCluster < 2 || rootCluster >= clusterCount + 2 : rootLength === 0) return undefined;

  const active = bits === 32 ? activeTable(bytes) : 0;
  if (active >= tableCount) return undefined;
  return {
    bits,
    sectorSize,
    clusterSize,
    tableOffset,
    tableSize,
    tableCount,
    tablesInUse: active === 0 ? [0] : [active, 0],
    root: { offset: rootOffset, length: rootLength },
    rootCluster,
    dataOffset,
    clusterCount,
    span,
    ...extendedFields(bytes, bits),
  };
}

/** Linux, Windows and fsck agree: FAT32 is what has no 16-bit table size; only 12 and 16 are told apart by the count. */
function widthOf(bytes: Buffer, clusterCount: number): FatBits {
  if (bytes.readUInt16LE(AT.tableSectors16) === 0) return 32;
  return clusterCount <= MAX_CLUSTERS[12] ? 12 : 16;
}

function activeTable(bytes: Buffer): number {
  const flags = bytes.readUInt16LE(AT.extFlags);
  return (flags & NOT_MIRRORED) === 0 ? 0 : flags & ACTIVE_TABLE_MASK;
}

function extendedFields(bytes: Buffer, bits: FatBits): { serial: string; label: string; state: number } {
  const at = EXTENDED[bits === 32 ? 32 : 16];
  const signature = bytes.readUInt8(at.bootSignature);
  const serial = bytes.readUInt32LE(at.serial).toString(16).toUpperCase().padStart(8, '0');
  return {
    serial: HAS_SERIAL.includes(signature) ? `${serial.slice(0, 4)}-${serial.slice(4)}` : '',
    label: signature === HAS_LABEL ? bytes.toString('latin1', at.label, at.label + 11).trimEnd() : '',
    state: bytes.readUInt8(at.state),
  };
}

function looksForeign(bytes: Buffer): boolean {
  if (FOREIGN_OEM_IDS.includes(bytes.toString('latin1', AT.oemId, AT.oemId + 8))) return true;
  if (bytes.subarray(AT.bitLockerGuid, AT.bitLockerGuid + BITLOCKER_TO_GO.length).equals(BITLOCKER_TO_GO)) return true;
  const saysFat = [EXTENDED[16].type, EXTENDED[32].type].some((at) => bytes.toString('latin1', at, at + 3) === 'FAT');
  if (saysFat) return false;
  const jump = bytes.readUInt8(AT.jump);
  return (jump !== 0xeb && jump !== 0xe9) || looksLikePartitionTable(bytes);
}

/** Four entries with a valid boot flag, one of them in use: a master boot record that kept somebody's BPB. */
function looksLikePartitionTable(bytes: Buffer): boolean {
  const entries = [0, 1, 2, 3].map((index) =>
    bytes.subarray(AT.partitions + index * 16, AT.partitions + index * 16 + 16),
  );
  return entries.every((entry) => entry[0] === 0 || entry[0] === 0x80) && entries.some((entry) => entry[4] !== 0);
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}
