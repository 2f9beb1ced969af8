// FAT16 and FAT32 of any geometry given any size: fsck.vfat finds nothing, and mtools reads every file. No daemon: the
// change is made to a plain file.

import { copyFileSync, mkdirSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { MiB } from '../../src/base/units.js';
import { identify } from '../../src/filesystem/registry.js';
import { fat } from '../../src/reshape/fat.js';
import type { Workbench } from '../../src/reshape/overlay.js';
import type { Volume } from '../../src/reshape/resizer.js';
import { fillFat, hashFat, makeFat } from '../support/fat-volume.js';
import { fileSource } from '../support/file-source.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const folder = scratchFolder();

function geometry(random: Random): {
  size: number;
  bits: 16 | 32;
  sectorsPerCluster: number;
  tables: number;
  sectorSize: number;
} {
  const bits = random.pick([16, 32] as const);
  const sectorSize = random.pick(bits === 16 ? [512, 512, 2048, 4096] : [512, 512, 1024]);
  const sectorsPerCluster = bits === 16 ? random.pick([1, 2, 4, 8]) : random.pick([1, 1, 2]);
  const tables = random.pick([1, 2, 2]); // fsck.vfat judges no more of them
  const clusters = bits === 16 ? random.between(4400, 30_000) : random.between(66_000, 80_000);
  const size = (clusters + 600) * sectorsPerCluster * sectorSize + 2 * MiB;
  return { size: Math.floor(size / sectorSize) * sectorSize, bits, sectorsPerCluster, tables, sectorSize };
}

async function volumeOf(path: string): Promise<Volume & { close(): Promise<void> }> {
  const source = fileSource(path);
  const { recognised, unrecognised } = await identify(source);
  assert.ok(recognised, unrecognised);
  const { info } = recognised as NonNullable<typeof recognised>;
  return { name: path, kind: info.kind, info, source, close: () => source.close() };
}

/** Changes a copy of the file. Undefined: it said that it does not fit. */
async function resized(path: string, size: number): Promise<string | undefined> {
  const copy = `${path}.resized`;
  copyFileSync(path, copy);
  const volume = await volumeOf(path);
  truncateSync(copy, Math.max(size, volume.source.size));
  const bench = { path: copy, volume: path, note: () => {} } as unknown as Workbench;
  try {
    await fat.resize(volume, bench, size);
  } catch (error) {
    if (error instanceof ToolError && error.code === 'filesystem.below-minimum') return undefined;
    throw error;
  } finally {
    await volume.close();
  }
  truncateSync(copy, size);
  return copy;
}

test('every geometry, larger and smaller', async () => {
  let smaller = 0;
  let larger = 0;
  for (let round = 0; round < rounds({ short: 12, long: 300 }); round += 1) {
    const random = randomFrom(SEED + round);
    const work = join(folder, `${round}`);
    mkdirSync(work);
    const path = join(work, 'volume');
    const made = geometry(random);
    makeFat(path, made);
    fillFat(path, join(work, 'files'), random, { budget: Math.min(made.size / 3, 5 * MiB) });
    const files = hashFat(path, join(work, 'before'));
    const volume = await volumeOf(path);
    const { minimum } = await (fat.minimum as Extract<typeof fat.minimum, { by: 'reading' }>).find(volume);
    await volume.close();
    for (const wanted of [
      minimum,
      random.between(minimum, made.size),
      made.size * random.between(1, 4) + random.below(MiB),
    ]) {
      const size = Math.floor(wanted / made.sectorSize) * made.sectorSize;
      const what = `seed ${SEED + round}, ${JSON.stringify(made)} to ${size}`;
      const copy = await resized(path, size);
      assert.ok(copy !== undefined, `${what}: does not fit`);
      const after = await volumeOf(copy ?? '');
      assert.is(after.kind, `fat${made.bits}`, what);
      await after.close();
      run('fsck.vfat', ['-n', copy ?? '']);
      assert.equal(hashFat(copy ?? '', join(work, 'after')), files, what);
      rmSync(join(work, 'after'), { recursive: true });
      if (size < made.size) smaller += 1;
      else larger += 1;
    }
    rmSync(work, { recursive: true });
  }
  assert.ok(smaller > 0 && larger > 0);
});

test.run();
