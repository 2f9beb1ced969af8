// Builds whole disks as raw files: a table by sfdisk, boot code, real file systems, noise wherever nothing is used.

import { closeSync, copyFileSync, ftruncateSync, openSync, readSync, rmSync, statSync, writeSync } from 'node:fs';
import { type Bytes, MiB } from '../../src/base/units.js';
import { type Extent, extentEnd, gaps, normalise } from '../../src/map/extent.js';
import { attachLoop } from './loop-device.js';
import {
  type Change,
  type Content,
  changeFiles,
  checkContent,
  type Listing,
  listFiles,
  makeContent,
  noise,
} from './partition-content.js';
import type { Random } from './random.js';
import { run } from './run.js';

export interface PartitionWish {
  readonly content: Content;
  /** In sectors. */
  readonly size: number;
  /** In sectors; the next multiple of 1 MiB behind the partition before it if missing. */
  readonly start?: number;
  readonly logical?: boolean;
}

export interface DiskWish {
  readonly path: string;
  readonly size: Bytes;
  readonly table: 'gpt' | 'mbr';
  readonly sectorSize?: 512 | 4096;
  readonly partitions: readonly PartitionWish[];
}

export interface BuiltPartition {
  readonly number: number;
  readonly extent: Extent;
  readonly content: Content;
}

export interface BuiltDisk {
  readonly path: string;
  readonly size: Bytes;
  readonly table: 'gpt' | 'mbr';
  readonly sectorSize: 512 | 4096;
  readonly partitions: readonly BuiltPartition[];
}

const GPT_TYPES: Readonly<Record<Content['kind'], string>> = {
  ext: '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
  xfs: '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
  btrfs: '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
  ntfs: 'EBD0A0A2-B9E5-4433-87C0-68B6B72699C7',
  fat: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B',
  exfat: 'EBD0A0A2-B9E5-4433-87C0-68B6B72699C7',
  f2fs: '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
  swap: '0657FD6D-A4AB-43C4-84E5-0933C84B4F4F',
  unrecognised: '8DA63339-0007-60C0-C436-083AC8230908',
};
const MBR_TYPES: Readonly<Record<Content['kind'], string>> = {
  ext: '83',
  xfs: '83',
  btrfs: '83',
  ntfs: '7',
  fat: 'c',
  exfat: '7',
  f2fs: '83',
  swap: '82',
  unrecognised: 'da',
};

const FIRST_LOGICAL = 5;
const GPT_ENTRIES = 128 * 128;

/** Makes the disk. Everything that is no partition and no table holds random bytes (first gap) or noise. */
export async function buildDisk(wish: DiskWish, random: Random): Promise<BuiltDisk> {
  const { path, size, table, sectorSize = 512 } = wish;
  const fd = openSync(path, 'w');
  ftruncateSync(fd, size);
  closeSync(fd);
  const partitions = placed(wish);
  partition(path, { table, sectorSize, partitions });
  const disk = { path, size, table, sectorSize, partitions };
  plantSurroundings(disk, random);
  for (const { extent, content } of partitions) {
    const cut = `${path}.part`;
    await makeContent(cut, content, { size: extent.length, sectorSize, random });
    putBack(path, extent, cut);
    rmSync(cut);
  }
  return disk;
}

interface PlacedPartition extends BuiltPartition {
  readonly logical: boolean;
}

function placed({ sectorSize = 512, partitions }: DiskWish): PlacedPartition[] {
  let end = 1;
  let primary = 1;
  let logicals = FIRST_LOGICAL;
  return partitions.map(({ content, size, start, logical = false }) => {
    const offset = start === undefined ? (Math.floor(end / MiB) + (logical ? 2 : 1)) * MiB : start * sectorSize;
    end = offset + size * sectorSize;
    const number = logical ? logicals++ : primary++;
    return { number, extent: { offset, length: size * sectorSize }, content, logical };
  });
}

function partition(
  path: string,
  {
    table,
    sectorSize,
    partitions,
  }: { table: 'gpt' | 'mbr'; sectorSize: number; partitions: readonly PlacedPartition[] },
): void {
  const sectors = ({ offset, length }: Extent): string => `start=${offset / sectorSize}, size=${length / sectorSize}`;
  const types = table === 'gpt' ? GPT_TYPES : MBR_TYPES;
  const lines = partitions.map(({ extent, content }) => `${sectors(extent)}, type=${types[content.kind]}`);
  const logicals = partitions.filter(({ logical }) => logical);
  const [first] = logicals;
  if (first) {
    // The extended partition begins a MiB before its first logical one and ends with the last.
    const offset = first.extent.offset - MiB;
    const last = extentEnd(logicals.at(-1)?.extent ?? first.extent);
    lines.splice(partitions.indexOf(first), 0, `${sectors({ offset, length: last - offset })}, type=5`);
  }
  const header = table === 'gpt' ? ['label: gpt', `first-lba: ${sectorSize === 512 ? 34 : 6}`] : ['label: dos'];
  const input = `${[...header, 'grain: 512', '', ...lines].join('\n')}\n`;
  const script = ['--no-reread', '--no-tell-kernel', '-q'];
  if (sectorSize === 512) run('sfdisk', [...script, path], { input });
  else attachLoop(path, sectorSize, (device) => run('sfdisk', [...script, device], { input }));
}

/** Boot code, the gap before the first partition, and noise in all other gaps. */
function plantSurroundings(disk: BuiltDisk, random: Random): void {
  const { path } = disk;
  writeAt(path, 0, random.bytes(440));
  const first = Math.min(...disk.partitions.map(({ extent }) => extent.offset));
  for (const { offset, length } of gapsOf(disk)) {
    writeAt(path, offset, offset < first ? random.bytes(length) : noise(length));
  }
}

/** Neither partition nor table. The extended partition counts as taken: records lie between its logical ones. */
function gapsOf({ size, table, sectorSize, partitions }: BuiltDisk): Extent[] {
  const start = table === 'mbr' ? sectorSize : 2 * sectorSize + GPT_ENTRIES;
  const end = table === 'gpt' ? size - sectorSize - GPT_ENTRIES : size;
  const logicals = partitions.filter(({ number }) => table === 'mbr' && number >= FIRST_LOGICAL);
  const taken = partitions.map(({ extent }) => extent);
  const [first] = logicals;
  if (first) {
    const offset = first.extent.offset - MiB;
    taken.push({ offset, length: extentEnd(logicals.at(-1)?.extent ?? first.extent) - offset });
  }
  return [...gaps(normalise(taken), { offset: start, length: end - start })];
}

export function readAt(path: string, offset: Bytes, length: Bytes): Buffer {
  const bytes = Buffer.alloc(length);
  const fd = openSync(path, 'r');
  try {
    const got = readSync(fd, bytes, 0, length, offset);
    if (got !== length) throw new Error(`${path} ends at ${offset + got}`);
    return bytes;
  } finally {
    closeSync(fd);
  }
}

export function writeAt(path: string, offset: Bytes, bytes: Buffer): void {
  const fd = openSync(path, 'r+');
  try {
    writeSync(fd, bytes, 0, bytes.length, offset);
  } finally {
    closeSync(fd);
  }
}

const PIECE = 4 * MiB;

/** Copies a partition into a file of its own, with holes where it is zero. */
export function cutOut(path: string, { offset, length }: Extent, into: string): void {
  const from = openSync(path, 'r');
  const to = openSync(into, 'w');
  const piece = Buffer.alloc(PIECE);
  const zeros = Buffer.alloc(PIECE);
  ftruncateSync(to, length);
  for (let done = 0; done < length; done += PIECE) {
    const part = piece.subarray(0, Math.min(PIECE, length - done));
    readSync(from, part, 0, part.length, offset + done);
    if (!part.equals(zeros.subarray(0, part.length))) writeSync(to, part, 0, part.length, done);
  }
  closeSync(from);
  closeSync(to);
}

/** Copies a file back to where it was cut out; only what differs is written. */
export function putBack(path: string, { offset, length }: Extent, from: string): void {
  if (statSync(from).size !== length) throw new Error(`${from} has grown or shrunk`);
  const source = openSync(from, 'r');
  const to = openSync(path, 'r+');
  const [fresh, held] = [Buffer.alloc(PIECE), Buffer.alloc(PIECE)];
  for (let done = 0; done < length; done += PIECE) {
    const part = Math.min(PIECE, length - done);
    readSync(source, fresh, 0, part, done);
    readSync(to, held, 0, part, offset + done);
    if (!fresh.subarray(0, part).equals(held.subarray(0, part))) writeSync(to, fresh, 0, part, offset + done);
  }
  closeSync(source);
  closeSync(to);
}

/** Cuts the partition out, lets `action` change the file, and puts it back. */
export async function onPartition<T>(
  path: string,
  extent: Extent,
  action: (file: string) => T | Promise<T>,
  { write }: { write: boolean },
): Promise<T> {
  const file = `${path}.cut-${extent.offset}`;
  cutOut(path, extent, file);
  try {
    const result = await action(file);
    if (write) putBack(path, extent, file);
    return result;
  } finally {
    rmSync(file, { force: true });
  }
}

/** The files of every partition as `path` holds them; with `check`, each file system's own checker is asked first. */
export async function listDisk(
  path: string,
  partitions: readonly BuiltPartition[],
  { check }: { check: boolean } = { check: false },
): Promise<Map<number, Listing>> {
  const found = new Map<number, Listing>();
  for (const { number, extent, content } of partitions) {
    const look = (file: string): Promise<Listing> => {
      if (check) checkContent(file, content);
      return listFiles(file, content);
    };
    found.set(number, await onPartition(path, extent, look, { write: false }));
  }
  return found;
}

export function partitionOf({ path, partitions }: BuiltDisk, number: number): BuiltPartition {
  const found = partitions.find((partition) => partition.number === number);
  if (!found) throw new Error(`${path} has no partition ${number}`);
  return found;
}

/** Changes files in every partition, or in those with the given numbers. */
export async function changeDisk(
  { path, partitions }: BuiltDisk,
  change: Change,
  numbers: readonly number[] = partitions.map(({ number }) => number),
): Promise<void> {
  for (const { extent, content } of partitions.filter(({ number }) => numbers.includes(number))) {
    await onPartition(path, extent, (file) => changeFiles(file, content, change), { write: true });
  }
}

/** An independent copy of the disk's file. */
export function copyDisk(disk: BuiltDisk, path: string): BuiltDisk {
  copyFileSync(disk.path, path);
  return { ...disk, path };
}
