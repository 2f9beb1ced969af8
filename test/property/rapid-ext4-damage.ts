// Thousands of damaged superblocks, descriptors, inodes, trees and boot folders under the records of ext2/3/4, with
// their checksums made right again or not: they end in FormatError or in records that keep their promises.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { KiB, MiB } from '../../src/base/units.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import { memoryTarget } from '../../src/source/memory.js';
import { boundedSource, damage } from '../support/damage.js';
import { bootFolder } from '../support/ext4-boot-folder.js';
import { makeImage, mounted, sealSuperblock } from '../support/ext4-image.js';
import { manyRounds } from '../support/many-rounds.js';
import { ownersOf } from '../support/owners.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { type Scan, scanRecords } from '../support/record-scan.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { ALL, Workload } from '../support/workload.js';

const ROUNDS = rounds({ short: 200, long: 15_000 });
const scratch = scratchFolder();
const can = { ...ALL, reflink: false, fallocate: false, shift: false, punch: false };

interface Place {
  readonly offset: number;
  readonly length: number;
}

interface Volume {
  readonly name: string;
  readonly bytes: Buffer;
  readonly places: readonly Place[];
  /** Those of them that are inode tables. */
  readonly tables: readonly Place[];
  readonly checksums: boolean;
}

async function makeVolume(name: string, options: readonly string[], checksums = false): Promise<Volume> {
  const path = join(scratch, name);
  makeImage(path, 16 * MiB, [...options, '-N', '400']); // little room for hits that hit nothing
  const random = randomFrom(SEED);
  mounted(path, (folder) => {
    bootFolder(folder);
    new Workload(random, { can, room: 4 * MiB, largest: 100 * KiB, blockSize: KiB }).work(folder, 250);
  });
  const bytes = readFileSync(path);
  const structures = await ownersOf(ext4, memoryTarget(bytes));
  // Blocks of trees and of folders are owned by their files.
  const places = structures.flatMap(({ kind, extent, names }) =>
    kind === 'free' || /journal|bitmap|unused|space for/.test(names[0] ?? '') || extent.length < 64 ? [] : [extent],
  );
  const tables = structures.filter(({ names }) => /inode table/.test(names[0] ?? '')).map(({ extent }) => extent);
  return { name, bytes, places, tables, checksums };
}

const VOLUMES: readonly Volume[] = [
  await makeVolume('ext2', ['-t', 'ext2', '-b', '1024']),
  await makeVolume('no-checksums', ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum']),
  await makeVolume('checksums', ['-t', 'ext4', '-b', '1024'], true),
  await makeVolume('inline-data', ['-t', 'ext4', '-b', '4096', '-O', 'inline_data,^metadata_csum']),
];

async function scanOf(bytes: Buffer): Promise<Scan | undefined> {
  const volume = boundedSource(bytes);
  try {
    return (await ext4.probe(volume)) ? await scanRecords(ext4, volume) : undefined;
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/** One to four structures change; the superblock's checksum may be made right again. Undone by what is returned. */
function harm({ bytes, places, tables }: Volume, random: Random): () => void {
  const repairs: (() => void)[] = [];
  for (let change = random.between(1, 4); change > 0; change -= 1) {
    const place = random.chance(0.15)
      ? { offset: KiB, length: KiB }
      : random.pick(random.chance(0.6) ? tables : places);
    const length = Math.min(place.length, random.pick([64, 512, 4096]));
    const at = random.below(place.length - length + 1);
    const offset = place.offset + at - (at % 4); // damage is done to whole words
    repairs.unshift(damage(bytes, offset, length, random));
  }
  if (random.chance(0.7)) {
    const superblock = bytes.subarray(KiB, 2 * KiB);
    const old = Buffer.from(superblock);
    sealSuperblock(superblock);
    repairs.unshift(() => void old.copy(superblock));
  }
  return () => {
    for (const repair of repairs) repair();
  };
}

for (const [index, volume] of VOLUMES.entries()) {
  const { name, bytes, checksums } = volume;
  test(`${ROUNDS} damaged volumes: ${name}`, async () => {
    const random = randomFrom(SEED + index);
    const whole = await scanOf(bytes);
    assert.ok(whole && whole.records.size > 10 && volume.places.length > 20);
    let refused = 0;
    let fewer = 0;
    await manyRounds(name, ROUNDS, async () => {
      const superblock = Buffer.from(bytes.subarray(KiB, 2 * KiB));
      const repair = harm(volume, random);
      const isSame = superblock.equals(bytes.subarray(KiB, 2 * KiB));
      const scan = await scanOf(bytes);
      repair();
      if (!scan) refused += 1;
      else if (scan.records.size < whole.records.size) fewer += 1;
      if (!scan || !checksums || !isSame) return;
      for (const [id, { digest }] of scan.records) {
        assert.ok(whole.records.get(id)?.digest.equals(digest), `record ${id}: damage went unseen`);
      }
    });
    assert.equal((await scanOf(bytes))?.records, whole.records);
    console.log(`${name}: ${refused} refused, ${fewer} with fewer records`);
    assert.ok(refused > 0 && fewer > 0);
  });
}

test.run();
