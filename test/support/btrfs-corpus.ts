// What only btrfs has, on top of the ordinary corpus: snapshots, reflinks, compression, fragments in one file.

import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { KiB, MiB } from '../../src/base/units.js';
import { fillFolder, thinFolder } from './ext4-corpus.js';
import type { Random } from './random.js';
import { run } from './run.js';

/** Fills, commits and deletes about half, so that free space is noise; `total` bytes at most, about. */
export function fillWithHistory(folder: string, random: Random, total: number): void {
  fillFolder(folder, random, { files: 300, largest: 1 * MiB, total });
  run('sync', ['-f', folder]);
  thinFolder(folder, random);
}

export function addSnapshots(folder: string, random: Random): void {
  const volume = join(folder, 'volume');
  run('btrfs', ['subvolume', 'create', volume]);
  fillFolder(volume, random, { files: 80, largest: 256 * KiB, total: 6 * MiB });
  run('btrfs', ['subvolume', 'snapshot', volume, join(folder, 'writable')]);
  run('btrfs', ['subvolume', 'snapshot', '-r', volume, join(folder, 'frozen')]);
  thinFolder(join(folder, 'writable'), random);
  mkdirSync(join(volume, 'later'));
  fillFolder(join(volume, 'later'), random, { files: 30, largest: 256 * KiB, total: 2 * MiB });
  run('btrfs', ['subvolume', 'snapshot', volume, join(folder, 'dropped')]);
  run('btrfs', ['subvolume', 'delete', '--commit-after', join(folder, 'dropped')]);
}

export function addReflinks(folder: string, random: Random): void {
  const original = join(folder, 'original');
  writeFileSync(original, random.bytes(3 * MiB));
  for (let index = 0; index < 20; index += 1) {
    const copy = join(folder, `copy ${index}`);
    run('cp', ['--reflink=always', original, copy]);
    overwrite(copy, random, { places: 10, within: 3 * MiB });
  }
  rmSync(original);
}

/** Thousands of extents in one file, by committing overwritten sectors again and again. */
export function addFragmented(folder: string, random: Random): void {
  const path = join(folder, 'fragmented');
  writeFileSync(path, random.bytes(8 * MiB));
  for (let pass = 0; pass < 4; pass += 1) {
    overwrite(path, random, { places: 500, within: 8 * MiB });
    run('sync', ['-f', folder]);
  }
}

export function addSmallFiles(folder: string, random: Random, count: number): void {
  for (let index = 0; index < count; index += 1) {
    const into = join(folder, `small ${index % 10}`);
    if (index < 10) mkdirSync(into);
    writeFileSync(join(into, `${index}`), random.bytes(random.pick([1, 100, 1500, 2100, 5000])));
  }
}

/** Text that compresses, between noise that does not. */
export function addCompressible(folder: string, random: Random): void {
  for (let index = 0; index < 40; index += 1) {
    const text = Buffer.alloc(random.below(500_000), `line ${index} of a long story\n`);
    writeFileSync(join(folder, `story ${index}`), Buffer.concat([text, random.bytes(random.below(60_000)), text]));
  }
}

function overwrite(path: string, random: Random, { places, within }: { places: number; within: number }): void {
  const fd = openSync(path, 'r+');
  for (let place = 0; place < places; place += 1) {
    writeSync(fd, random.bytes(4 * KiB), 0, 4 * KiB, random.below(within / (4 * KiB)) * 4 * KiB);
  }
  closeSync(fd);
}
