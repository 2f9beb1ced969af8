// What only NTFS, or only its driver, does to files: compressed and fragmented files, named streams, files that move into
// their records and out again, and writes that a full disk ends half-way.

import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Random } from './random.js';
import { run } from './run.js';

/** A folder, and that what is made in it is to be compressed. */
const COMPRESSED_FOLDER = '0x00000810';
const PIECE = 1 << 17;
/** Smaller files lie in their records. */
const NOT_IN_RECORD = 1024;

/** Files of a cluster each with gaps between them, files whose many pieces lie in the gaps, and files with holes. */
export function fragmentFiles(folder: string, random: Random, clusterSize: number): void {
  const length = Math.max(clusterSize, NOT_IN_RECORD);
  const crowd = join(folder, 'crowd');
  mkdirSync(crowd);
  const names = Array.from({ length: 2000 }, (_, index) => join(crowd, `${index}`));
  for (const name of names) writeFileSync(name, random.bytes(length));
  const rest = fillUp(folder, random);
  for (const name of names) if (random.chance(0.5)) rmSync(name);
  mkdirSync(join(folder, 'pieces'));
  for (const [name, pieces] of [
    ['a', 750],
    ['b', 100],
  ] as const) {
    const fd = openSync(join(folder, 'pieces', name), 'w');
    for (let piece = 0; piece < pieces; piece += 1) wrote(fd, random.bytes(length));
    closeSync(fd);
  }
  rmSync(rest);
  mkdirSync(join(folder, 'holed'));
  for (let index = 0; index < 20; index += 1) holedFile(join(folder, 'holed', `${index}`), random);
}

/** Makes a file of all free space; its path. */
export function fillUp(folder: string, random: Random): string {
  const path = join(folder, 'rest');
  const fd = openSync(path, 'w');
  const piece = random.bytes(PIECE);
  try {
    for (let length = PIECE; length >= 256; ) {
      if (!wrote(fd, piece.subarray(0, length))) length /= 2;
    }
  } finally {
    closeSync(fd);
  }
  return path;
}

/** False if the disk is full. The driver says EIO where there is no room for the run list either. */
function wrote(fd: number, bytes: Buffer, at: number | null = null): boolean {
  try {
    return writeSync(fd, bytes, 0, bytes.length, at) === bytes.length;
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EIO')) return false;
    throw error;
  }
}

export interface NtfsWorkload {
  /** Does each thing a few times. `streamsAs`: how the volume is mounted. */
  work(folder: string, streamsAs: 'xattr' | 'windows'): void;
  /** How many writes a full disk ended. */
  readonly ended: number;
}

export function openNtfsWorkload(random: Random): NtfsWorkload {
  let ended = 0;
  return {
    get ended() {
      return ended;
    },
    work(folder, streamsAs) {
      compress(join(folder, 'compressed'), random);
      if (existsSync(join(folder, 'pieces'))) patch(join(folder, 'pieces', random.pick(['a', 'b'])), random);
      shrinkAndGrow(join(folder, 'small'), random);
      changeStreams(join(folder, 'streams'), random, streamsAs);
      if (random.chance(0.4)) ended += writeOnFullDisk(folder, random);
    },
  };
}

function compress(folder: string, random: Random): void {
  if (!existsSync(folder)) {
    mkdirSync(folder);
    run('setfattr', ['-n', 'system.ntfs_attrib_be', '-v', COMPRESSED_FOLDER, folder]);
  }
  const path = join(folder, `${random.below(12)}`);
  const line = random.bytes(40).toString('base64');
  if (!existsSync(path)) writeFileSync(path, line.repeat(random.between(1, 2500)));
  else if (random.chance(0.2)) rmSync(path);
  else patch(path, random);
}

/** Writes a few bytes in place, sometimes puts the times back, sometimes goes on behind the end. */
function patch(path: string, random: Random): void {
  const { size, atime, mtime } = statSync(path);
  const fd = openSync(path, 'r+');
  try {
    const at = random.chance(0.2) ? size : random.below(size + 1);
    wrote(fd, random.bytes(random.pick([1, 30, 5000])), at);
  } finally {
    closeSync(fd);
  }
  if (random.chance(0.5)) utimesSync(path, atime, mtime);
}

/** Small files lie in their records; what grows leaves them. */
function shrinkAndGrow(folder: string, random: Random): void {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${random.below(10)}`);
  if (!existsSync(path) || random.chance(0.4)) writeFileSync(path, random.bytes(random.pick([20, 300, 3000, 30_000])));
  else if (random.chance(0.5)) truncateSync(path, random.below(200));
  else patch(path, random);
}

function changeStreams(folder: string, random: Random, streamsAs: 'xattr' | 'windows'): void {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${random.below(10)}`);
  if (!existsSync(path)) writeFileSync(path, random.bytes(random.pick([10, 9000])));
  const name = `s${random.below(2)}`;
  const bytes = random.bytes(random.pick([20, 3000, 20_000, 20_000]));
  if (streamsAs === 'xattr') {
    run('setfattr', ['--restore=-'], { input: `# file: ${path}\nuser.${name}=0s${bytes.toString('base64')}\n` });
    return;
  }
  const stream = `${path}:${name}`;
  if (existsSync(stream)) patch(stream, random);
  else writeFileSync(stream, bytes);
}

/** Pieces with holes between them, as small as what the kernel writes at once. */
export function holedFile(path: string, random: Random): void {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, 300_000);
  for (let at = 0; at < 60_000; at += 4096) writeSync(fd, random.bytes(1024), 0, 1024, at);
  closeSync(fd);
}

/** Fills the volume, and writes over files in place and on behind what there is room for. */
function writeOnFullDisk(folder: string, random: Random): number {
  const rest = fillUp(folder, random);
  const failed = overwriteSome(join(folder, 'crowd'), random) + overwriteSome(join(folder, 'holed'), random);
  rmSync(rest);
  return failed;
}

function overwriteSome(folder: string, random: Random): number {
  if (!existsSync(folder)) return 0;
  const names = readdirSync(folder);
  let failed = 0;
  for (let count = 0; count < 8; count += 1) if (!overwrite(join(folder, random.pick(names)), random)) failed += 1;
  return failed;
}

function overwrite(path: string, random: Random): boolean {
  const fd = openSync(path, 'r+');
  try {
    return wrote(fd, random.bytes(PIECE), 0);
  } finally {
    closeSync(fd);
  }
}
