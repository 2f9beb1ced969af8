// Disks with partition tables for tests: built by hand (not by our own writer), on files, and on loop devices.

import { closeSync, ftruncateSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { TableImage } from '../../src/partition/table.js';
import { memoryTarget } from '../../src/source/memory.js';
import type { Target } from '../../src/source/types.js';
import { run } from './run.js';

/** `bytes` as a disk with sectors of `sectorSize`, or as a raw file if that is undefined. */
export function memoryDisk(bytes: Buffer, sectorSize?: number): Target {
  return { ...memoryTarget(bytes, 'disk'), sectorSize };
}

export function emptyFile(folder: string, name: string, size: number): string {
  const path = join(folder, name);
  writeFileSync(path, '');
  truncateSync(path, size);
  return path;
}

/** Writes a fitted table into a new file of `size` bytes. */
export function imageFile(folder: string, name: string, { writes, size }: TableImage & { size: number }): string {
  const path = join(folder, name);
  const fd = openSync(path, 'w');
  ftruncateSync(fd, size);
  for (const { offset, bytes } of writes) writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
  return path;
}

/** A fitted table in memory, on a disk of `size` bytes. */
export function imageBytes({ writes }: TableImage, size: number): Buffer {
  const disk = Buffer.alloc(size);
  for (const { offset, bytes } of writes) {
    if (offset + bytes.length > size) throw new Error(`a write ends at ${offset + bytes.length}, beyond ${size}`);
    bytes.copy(disk, offset);
  }
  return disk;
}

/** Runs `body` with a loop device of the given sector size over `path`; detaches it whatever happens. */
export function withLoop<T>(path: string, sectorSize: number, body: (device: string) => T): T {
  const device = run('losetup', ['-f', '--show', '-b', String(sectorSize), path]).trim();
  try {
    // A loop device stays read-only for its next user if somebody made it so.
    run('blockdev', ['--setrw', device]);
    return body(device);
  } finally {
    run('losetup', ['-d', device]);
  }
}

export interface SfdiskPartition {
  readonly node: string;
  readonly start: number;
  readonly size: number;
  readonly type: string;
  readonly uuid?: string;
  readonly name?: string;
  readonly attrs?: string;
  readonly bootable?: boolean;
}

export interface SfdiskTable {
  readonly label: string;
  readonly id: string;
  readonly firstlba?: number;
  readonly lastlba?: number;
  readonly partitions?: readonly SfdiskPartition[];
}

export function sfdiskTable(path: string): SfdiskTable {
  const parsed: { partitiontable: SfdiskTable } = JSON.parse(run('sfdisk', ['--json', path]));
  return parsed.partitiontable;
}

export function fileBytes(path: string): Buffer {
  return readFileSync(path);
}

export interface BuiltPartition {
  /** Entry index, from 0. */
  readonly index: number;
  readonly first: number;
  readonly last: number;
  readonly name?: string;
  readonly type?: Buffer;
  readonly attributes?: Buffer;
}

export interface BuiltGpt {
  readonly sectorSize?: number;
  readonly sectorCount: number;
  readonly entrySize?: number;
  readonly entryCount?: number;
  readonly primaryEntriesLba?: number;
  readonly firstUsable?: number;
  readonly lastUsable?: number;
  readonly partitions: readonly BuiltPartition[];
}

const LINUX = Buffer.from('af3dc60f838472478e793d69d8477de4', 'hex');

/** A GPT as UEFI 2.10 describes it, written without the code under test. */
export function buildGpt(options: BuiltGpt): Buffer {
  const { sectorSize = 512, sectorCount, entrySize = 128, entryCount = 128, primaryEntriesLba = 2 } = options;
  const disk = Buffer.alloc(sectorCount * sectorSize);
  const entries = Buffer.alloc(entrySize * entryCount);
  for (const partition of options.partitions) {
    const at = partition.index * entrySize;
    (partition.type ?? LINUX).copy(entries, at);
    entries.writeUInt32LE(0x1000 + partition.index, at + 16);
    entries.writeBigUInt64LE(BigInt(partition.first), at + 32);
    entries.writeBigUInt64LE(BigInt(partition.last), at + 40);
    partition.attributes?.copy(entries, at + 48);
    Buffer.from(partition.name ?? '', 'utf16le').copy(entries, at + 56, 0, 72);
  }
  const arraySectors = Math.ceil(entries.length / sectorSize);
  const last = sectorCount - 1;
  const firstUsable = options.firstUsable ?? primaryEntriesLba + arraySectors;
  const lastUsable = options.lastUsable ?? last - arraySectors - 1;
  const place = (lba: number, alternate: number, entriesLba: number): void => {
    const at = lba * sectorSize;
    entries.copy(disk, entriesLba * sectorSize);
    disk.write('EFI PART', at, 'latin1');
    disk.writeUInt32LE(0x10000, at + 8);
    disk.writeUInt32LE(92, at + 12);
    const numbers = [lba, alternate, firstUsable, lastUsable];
    for (const [i, number] of numbers.entries()) disk.writeBigUInt64LE(BigInt(number), at + 24 + i * 8);
    disk.write('GUID of the disk', at + 56, 'latin1');
    disk.writeBigUInt64LE(BigInt(entriesLba), at + 72);
    disk.writeUInt32LE(entryCount, at + 80);
    disk.writeUInt32LE(entrySize, at + 84);
    disk.writeUInt32LE(referenceCrc32(entries), at + 88);
    sealHeader(disk, at);
  };
  place(1, last, primaryEntriesLba);
  place(last, 1, last - arraySectors);
  putEntry(disk, { at: 446, type: 0xee, start: 1, count: Math.min(sectorCount - 1, 0xffffffff) });
  disk.writeUInt16BE(0x55aa, 510);
  return disk;
}

/** Makes the checksum of the header at byte `at` right again. */
export function sealHeader(disk: Buffer, at: number): void {
  disk.writeUInt32LE(0, at + 16);
  disk.writeUInt32LE(referenceCrc32(disk.subarray(at, at + disk.readUInt32LE(at + 12))), at + 16);
}

/** An MBR entry at byte `at` of the disk. */
export function putEntry(
  disk: Buffer,
  { at, type, start, count, boot = 0 }: { at: number; type: number; start: number; count: number; boot?: number },
): void {
  disk.writeUInt8(boot, at);
  disk.writeUInt8(type, at + 4);
  disk.writeUInt32LE(start, at + 8);
  disk.writeUInt32LE(count, at + 12);
}

/** CRC-32 bit by bit, to judge the fast one. */
function referenceCrc32(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** Runs `body` and returns what it throws. */
export async function thrownBy(body: () => unknown): Promise<unknown> {
  try {
    await body();
  } catch (error) {
    return error;
  }
  return undefined;
}
