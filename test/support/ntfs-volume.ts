// Makes NTFS images with a history: files written and deleted, so that free space is full of noise.

import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from './random.js';
import { run } from './run.js';

/** A fresh file system; `sectorSize` other than 512 needs a file of whole sectors. */
export function makeNtfs(
  path: string,
  { size, clusterSize, sectorSize = 512 }: { size: number; clusterSize: number; sectorSize?: number },
): void {
  closeSync(openSync(path, 'w'));
  truncateSync(path, size);
  const geometry = ['-c', `${clusterSize}`, '-s', `${sectorSize}`, '-p', '0', '-H', '0', '-S', '0'];
  run('mkntfs', ['-F', '-Q', '-q', '-L', 'Prüfstück', ...geometry, path, `${size / sectorSize}`]);
}

/** Files of many sizes in nested folders, a third of them deleted again; sparse and resident ones among them. */
export function fillFolder(folder: string, random: Random, { budget }: { budget: number }): void {
  let left = budget;
  for (let index = 0; left > 0 && index < 300; index += 1) {
    const parent = join(folder, `folder ${index % 7}`, `ü${index % 3}`);
    mkdirSync(parent, { recursive: true });
    const length = Math.min(left, random.pick([0, 10, 600, 5000, 70_000, 300_000]) + random.below(1000));
    const path = join(parent, `file ${index}`);
    writeFileSync(path, random.bytes(length));
    left -= length;
    if (random.chance(0.35)) rmSync(path);
  }
  const sparse = openSync(join(folder, 'sparse'), 'w');
  ftruncateSync(sparse, 50_000_000);
  writeSync(sparse, random.bytes(9000), 0, 9000, 20_000_000);
  closeSync(sparse);
}

/**
 * Fills the volume with one-cluster files, deletes every second one, and writes a file and many names into the holes:
 * its run list needs $ATTRIBUTE_LIST, and $MFT grows in fragments.
 */
export function fragment(
  folder: string,
  random: Random,
  { clusterSize, holes, names }: { clusterSize: number; holes: number; names: number },
): void {
  const filler = join(folder, 'filler');
  mkdirSync(filler);
  const names1 = Array.from({ length: holes * 2 }, (_, index) => join(filler, `${index}`));
  for (const name of names1) writeFileSync(name, random.bytes(clusterSize));
  const rest = openSync(join(folder, 'rest'), 'w');
  try {
    for (;;) writeSync(rest, random.bytes(1 << 20));
  } catch {
    // The volume is full, as it should be.
  } finally {
    closeSync(rest);
  }
  for (const [index, name] of names1.entries()) if (index % 2 === 0) rmSync(name);
  const big = openSync(join(folder, 'fragmented'), 'w');
  for (let written = 0; written < Math.floor(holes * 0.3); written += 1) writeSync(big, random.bytes(clusterSize));
  closeSync(big);
  mkdirSync(join(folder, 'names'));
  for (let index = 0; index < names; index += 1) writeFileSync(join(folder, 'names', `${index}`), `${index}`);
}
