// Makes FAT images through dosfstools and mtools: files in folders, part of them deleted, free space full of noise.

import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Random } from './random.js';
import { run } from './run.js';

export interface FatGeometry {
  readonly size: number;
  readonly bits: 12 | 16 | 32;
  readonly sectorSize?: number;
  readonly sectorsPerCluster?: number;
  readonly tables?: number;
}

export function makeFat(
  path: string,
  { size, bits, sectorSize = 512, sectorsPerCluster, tables = 2 }: FatGeometry,
): void {
  closeSync(openSync(path, 'w'));
  truncateSync(path, size);
  const cluster = sectorsPerCluster === undefined ? [] : ['-s', `${sectorsPerCluster}`];
  const geometry = ['-F', `${bits}`, '-S', `${sectorSize}`, '-f', `${tables}`, ...cluster];
  run('mkfs.vfat', ['-n', 'SAMPLE', '-i', '00ABcd12', ...geometry, path]);
}

/** Copies about `budget` bytes of files in, in folders, and deletes every third file again. `work` is a new folder. */
export function fillFat(image: string, work: string, random: Random, { budget }: { budget: number }): void {
  const folders = [0, 1, 2].map((index) => join(work, 'in', `Folder with a long name ${index}`, 'deep'));
  for (const folder of folders) mkdirSync(folder, { recursive: true });
  const names: string[] = [];
  for (let index = 0, left = budget; left > 0 && index < 150; index += 1) {
    const length = Math.min(left, random.pick([0, 10, 3000, 40_000, 200_000]) + random.below(700));
    const path = join(random.pick(folders), `file number ${index}`);
    writeFileSync(path, random.bytes(length));
    names.push(relative(join(work, 'in'), path));
    left -= length;
  }
  run('mcopy', [
    '-i',
    image,
    '-s',
    '-Q',
    ...readdirSync(join(work, 'in')).map((name) => join(work, 'in', name)),
    '::/',
  ]);
  const gone = names.filter((_, index) => index % 3 === 0).map((name) => `::/${name}`);
  run('mdel', ['-i', image, ...gone]);
  // New files in the holes: their chains are fragmented.
  for (let index = 0; index < 3; index += 1) {
    const path = join(work, `late ${index}`);
    writeFileSync(path, random.bytes(Math.floor(budget / 12)));
    run('mcopy', ['-i', image, path, `::/late ${index}`]);
  }
}

/** Path and sha256 of every file, read back through mtools into the new folder `work`. */
export function hashFat(image: string, work: string): Map<string, string> {
  mkdirSync(work);
  run('mcopy', ['-i', image, '-s', '-Q', '-n', '::/', work]);
  const hashes = new Map<string, string>();
  for (const entry of readdirSync(work, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    hashes.set(relative(work, path), createHash('sha256').update(readFileSync(path)).digest('hex'));
  }
  return hashes;
}
