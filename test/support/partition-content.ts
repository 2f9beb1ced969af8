// What tests put into partitions: file systems full of real files, each made, filled, changed, listed and checked by
// the tools of its own ecosystem. Works on a partition that was cut out into a file.

import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Bytes, KiB, MiB } from '../../src/base/units.js';
import { demandPerfect as demandPerfectBtrfs, makeBtrfs, mounted as mountedBtrfs } from './btrfs-image.js';
import { fillExfat, makeExfat, withExfatMounted } from './exfat-volume.js';
import { digestFolder, fillFolder as fillExt, thinFolder } from './ext4-corpus.js';
import { makeImage, mounted } from './ext4-image.js';
import { assertSoundF2fs, dumpF2fs, fillF2fs, makeF2fs } from './f2fs-volume.js';
import { fillFat, hashFat, makeFat } from './fat-volume.js';
import { hashTree, withNtfsMounted } from './ntfs-mount.js';
import { fillFolder as fillNtfs, makeNtfs } from './ntfs-volume.js';
import type { Random } from './random.js';
import { run } from './run.js';
import { demandPerfectXfs, makeXfs, mountedXfs } from './xfs-image.js';

export type Content =
  | { readonly kind: 'ext'; readonly options: readonly string[] }
  | { readonly kind: 'xfs'; readonly options: readonly string[] }
  | { readonly kind: 'btrfs'; readonly options: readonly string[] }
  | { readonly kind: 'ntfs'; readonly clusterSize: Bytes }
  | { readonly kind: 'fat'; readonly bits: 12 | 16 | 32; readonly sectorsPerCluster?: number }
  | { readonly kind: 'exfat'; readonly clusterSize: Bytes }
  | { readonly kind: 'f2fs'; readonly options: readonly string[] }
  | { readonly kind: 'swap' }
  | { readonly kind: 'unrecognised' };

export const EXT4: Content = { kind: 'ext', options: ['-t', 'ext4', '-b', '4096'] };
export const NTFS: Content = { kind: 'ntfs', clusterSize: 4096 };
export const FAT32: Content = { kind: 'fat', bits: 32, sectorsPerCluster: 1 };
export const FAT32_4K: Content = { kind: 'fat', bits: 32 };
export const FAT16: Content = { kind: 'fat', bits: 16 };
export const EXFAT: Content = { kind: 'exfat', clusterSize: 4096 };
export const F2FS: Content = { kind: 'f2fs', options: [] };
export const SWAP: Content = { kind: 'swap' };
export const UNRECOGNISED: Content = { kind: 'unrecognised' };

const F2FS_BLOCK: Bytes = 4 * KiB;
/** Otherwise btrfs discards what was deleted, and nothing is left that could travel. */
const KEEP_NOISE = 'rw,nodiscard';

/** Fills files that are deleted again: none of it may be found on a target. Each round of changes has its own. */
export function noiseMark(generation = 0): Buffer {
  return Buffer.from(`deleted data of round ${generation}, which must not travel. `);
}

/** Path and digest of every file; of contents without files, the digest of every byte. */
export type Listing = ReadonlyMap<string, string>;

export function noise(length: Bytes, generation = 0): Buffer {
  return Buffer.alloc(length, noiseMark(generation));
}

/** Makes the file `path` of `size` bytes: a file system with files, deleted files and noise in its free space. */
export async function makeContent(
  path: string,
  content: Content,
  { size, sectorSize, random }: { size: Bytes; sectorSize: Bytes; random: Random },
): Promise<void> {
  const budget = Math.floor(size / 5);
  const fillMounted = (folder: string): void => {
    fillExt(folder, random, { files: 200, largest: 1 * MiB, total: budget });
    thinFolder(folder, random);
  };
  switch (content.kind) {
    case 'ext':
      makeImage(path, size, content.options);
      mounted(path, fillMounted);
      break;
    case 'xfs':
      makeXfs(path, size, content.options);
      mountedXfs(path, fillMounted);
      break;
    case 'btrfs':
      makeBtrfs([path], size, content.options);
      mountedBtrfs([path], fillMounted, KEEP_NOISE);
      break;
    case 'ntfs':
      makeNtfs(path, { size, sectorSize, clusterSize: content.clusterSize });
      await withNtfsMounted(path, (folder) => fillNtfs(folder, random, { budget: Math.min(budget, 12 * MiB) }));
      break;
    case 'fat': {
      const { bits, sectorsPerCluster } = content;
      makeFat(path, { size, bits, sectorSize, ...(sectorsPerCluster === undefined ? {} : { sectorsPerCluster }) });
      withWorkFolder(path, (work) => fillFat(path, work, random, { budget: Math.min(budget, 6 * MiB) }));
      break;
    }
    case 'exfat':
      makeExfat(path, { size, sectorSize, clusterSize: content.clusterSize });
      withExfatMounted(path, (folder) => fillExfat(folder, random, { budget: Math.min(budget, 8 * MiB) }));
      break;
    case 'f2fs':
      makeF2fs(path, { size, options: content.options, content: noise(size) });
      withWorkFolder(path, (work) => fillF2fs(path, work, random, { budget: Math.min(budget, 8 * MiB) }));
      return;
    case 'swap':
      // What lies behind the last whole page belongs to no area, and is copied.
      writeFileSync(path, noise(size).fill(0, size - (size % (4 * KiB))));
      run('mkswap', ['-q', '-L', 'swap', path]);
      return;
    case 'unrecognised':
      writeFileSync(path, random.bytes(size));
      return;
  }
  await plantNoise(path, content, Math.floor(size / 10));
}

/** Writes files of noise, makes sure that they are on the medium, and deletes them. */
async function plantNoise(path: string, content: Content, length: Bytes): Promise<void> {
  const names = [0, 1, 2, 3].map((index) => `noise-${index}`);
  const bytes = noise(Math.floor(length / names.length));
  await withFolder(path, content, (folder) => {
    for (const name of names) writeFileSync(join(folder, name), bytes);
  });
  await removeFiles(path, content, names);
}

/** Runs `action` on a folder that is the file system (or, for FAT and F2FS, whose files are copied into it afterwards). */
export async function withFolder(path: string, content: Content, action: (folder: string) => void): Promise<void> {
  if (content.kind === 'ext') mounted(path, action);
  else if (content.kind === 'xfs') mountedXfs(path, action);
  else if (content.kind === 'btrfs') mountedBtrfs([path], action, KEEP_NOISE);
  else if (content.kind === 'ntfs') await withNtfsMounted(path, action);
  else if (content.kind === 'exfat') withExfatMounted(path, action);
  else if (content.kind === 'f2fs') {
    withWorkFolder(path, (work) => {
      action(work);
      run('sload.f2fs', ['-f', work, path]);
    });
  } else if (content.kind === 'fat') {
    withWorkFolder(path, (work) => {
      action(work);
      run('sh', ['-c', `mcopy -o -s -Q -i "$1" "$2"/* ::/`, 'sh', path, work]);
    });
  } else throw new Error(`${content.kind} holds no files`);
}

/** Deletes files named relative to the root. */
export async function removeFiles(path: string, content: Content, names: readonly string[]): Promise<void> {
  if (content.kind === 'fat') {
    run('mdel', ['-i', path, ...names.map((name) => `::/${name}`)]);
    return;
  }
  await withFolder(path, content, (folder) => {
    for (const name of names) rmSync(join(folder, name));
  });
}

export async function listFiles(path: string, content: Content): Promise<Listing> {
  switch (content.kind) {
    case 'ext':
      return mounted(path, digestFolder, 'ro,noload');
    case 'xfs':
      return mountedXfs(path, digestFolder, 'ro,norecovery');
    case 'btrfs':
      return mountedBtrfs([path], digestFolder, 'ro');
    case 'ntfs':
      return withNtfsMounted(path, hashTree, { options: 'ro' });
    case 'fat':
      return withWorkFolder(path, (work) => hashFat(path, join(work, 'out')));
    case 'exfat':
      return withExfatMounted(path, hashTree, { readOnly: true });
    case 'f2fs':
      return withWorkFolder(path, (work) => dumpF2fs(path, join(work, 'out'), { inodes: 40 }));
    case 'swap':
      // The header is all there is to a swap area.
      return new Map([['header', run('blkid', ['-p', '-o', 'value', path])]]);
    case 'unrecognised':
      return new Map([['every byte', createHash('sha256').update(readFileSync(path)).digest('hex')]]);
  }
}

/** Throws with what the file system's own checker found wrong. */
export function checkContent(path: string, { kind }: Content): void {
  if (kind === 'ext') run('e2fsck', ['-fn', path]);
  else if (kind === 'xfs') demandPerfectXfs(path);
  else if (kind === 'btrfs') demandPerfectBtrfs([path]);
  else if (kind === 'ntfs') {
    run('ntfsfix', ['-n', path]);
    run('ntfsinfo', ['-f', '-m', path]);
  } else if (kind === 'fat') run('fsck.vfat', ['-n', path]);
  else if (kind === 'exfat') run('fsck.exfat', ['-n', path]);
  else if (kind === 'f2fs') assertSoundF2fs(path);
  else if (kind === 'swap') run('swaplabel', [path]);
}

function withWorkFolder<T>(path: string, work: (folder: string) => T): T {
  const folder = mkdtempSync(`${path}-work-`);
  try {
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface Change {
  readonly random: Random;
  /** Of the noise that is written and deleted again. */
  readonly generation?: number;
}

/** Adds files, and noise that is deleted again; without a file system, overwrites a few bytes. */
export async function changeFiles(path: string, content: Content, { random, generation = 1 }: Change): Promise<void> {
  if (content.kind === 'unrecognised' || content.kind === 'swap') {
    const bytes = readFileSync(path);
    random.bytes(5000).copy(bytes, 8192 + random.below(bytes.length - 13_192));
    writeFileSync(path, bytes);
    return;
  }
  const room = statSync(path).size / 20;
  const folderName = `round ${generation}`;
  await withFolder(path, content, (folder) => {
    mkdirSync(join(folder, folderName));
    for (const length of [1, 3000, 70_000, 400_000].filter((wanted) => wanted < room)) {
      writeFileSync(join(folder, folderName, `${length}`), random.bytes(random.between(length, length + 4 * KiB)));
    }
    if (content.kind === 'f2fs') return;
    writeFileSync(join(folder, `deleted ${generation}`), noise(Math.min(300_000, Math.floor(room)), generation));
  });
  if (content.kind === 'f2fs') overwriteNoise(path, generation);
  else await removeFiles(path, content, [`deleted ${generation}`]);
}

/** Nothing here deletes files of F2FS: a block that still holds the first noise is free, so it gets the new one. */
function overwriteNoise(path: string, generation: number): void {
  const bytes = readFileSync(path);
  const at = Math.ceil(bytes.indexOf(noise(3 * F2FS_BLOCK), bytes.length / 2) / F2FS_BLOCK) * F2FS_BLOCK;
  noise(F2FS_BLOCK, generation).copy(bytes, at + F2FS_BLOCK);
  writeFileSync(path, bytes);
}
