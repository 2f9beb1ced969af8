// How IDs are written, and what kind of volume has which: UUIDs, serial numbers of FAT and NTFS, those of partitions.
// Invariant: an ID that is drawn is one that blkid prints to the letter as it is written here.
// Format: RFC 9562 (UUID version 4); Microsoft's FAT, exFAT and NTFS documentation; util-linux libblkid for the spelling.

import type { Bytes } from '../../base/units.js';

/** `length` random bytes. */
export type RandomBytes = (length: Bytes) => Buffer;

/** `uuid`: of a file system, a partition or a disk. `serial32`: "ABCD-1234". `serial64`: sixteen digits. */
export type IdForm = 'uuid' | 'serial32' | 'serial64';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const PATTERNS: Readonly<Record<IdForm, RegExp>> = {
  uuid: UUID,
  serial32: /^[0-9A-F]{4}-[0-9A-F]{4}$/,
  serial64: /^[0-9A-F]{16}$/,
};
const SIGNATURE = /^[0-9a-f]{8}$/;
const MBR_PARTITION = /^[0-9a-f]{8}-[0-9a-f]{2,}$/;

const FORMS: Readonly<Record<string, IdForm>> = {
  btrfs: 'uuid',
  exfat: 'serial32',
  ext2: 'uuid',
  ext3: 'uuid',
  ext4: 'uuid',
  f2fs: 'uuid',
  fat12: 'serial32',
  fat16: 'serial32',
  fat32: 'serial32',
  ntfs: 'serial64',
  swap: 'uuid',
  xfs: 'uuid',
};

/** Of a kind as FilesystemInfo has it; undefined: nobody here gives it a new ID. */
export function formOf(kind: string): IdForm | undefined {
  return Object.hasOwn(FORMS, kind) ? FORMS[kind] : undefined;
}

/** Never all zeros, which would mean that there is none. */
export function drawId(form: IdForm, random: RandomBytes): string {
  if (form === 'uuid') return drawUuid(random);
  const hex = drawNumber(random, form === 'serial32' ? 4 : 8).toUpperCase();
  return form === 'serial32' ? `${hex.slice(0, 4)}-${hex.slice(4)}` : hex;
}

/** Of an MBR disk: eight digits. */
export function drawSignature(random: RandomBytes): string {
  return drawNumber(random, 4);
}

/** As Linux makes it up of the disk's signature and the partition's number. */
export function mbrPartitionId(signature: string, number: number): string {
  return `${signature}-${number.toString(16).padStart(2, '0')}`;
}

function drawUuid(random: RandomBytes): string {
  const bytes = random(16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return formatUuid(bytes);
}

function drawNumber(random: RandomBytes, length: Bytes): string {
  const bytes = random(length);
  if (bytes.every((byte) => byte === 0)) bytes.writeUInt8(1, length - 1);
  return bytes.toString('hex');
}

export function formatUuid(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

export const isUuid = (text: string): boolean => UUID.test(text);
export const isVolumeId = (text: string): boolean => Object.values(PATTERNS).some((pattern) => pattern.test(text));
export const hasForm = (text: string, form: IdForm): boolean => PATTERNS[form].test(text);
export const isSignature = (text: string): boolean => SIGNATURE.test(text);
export const isMbrPartitionId = (text: string): boolean => MBR_PARTITION.test(text);

/** UUIDs as they lie on disk: in the order in which they are written. Serial numbers: least significant byte first. */
export function idBytes(id: string): Buffer {
  const bytes = Buffer.from(id.replaceAll('-', ''), 'hex');
  return bytes.length === 16 ? bytes : bytes.reverse();
}
