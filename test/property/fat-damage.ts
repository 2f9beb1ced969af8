// Thousands of damaged FAT volumes: each is refused or read, none crashes, hangs or eats memory.

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fat } from '../../src/filesystem/fat/plugin.js';
import { askEverything, damage } from '../support/damage.js';
import { fillFat, makeFat } from '../support/fat-volume.js';
import { manyRounds } from '../support/many-rounds.js';
import { randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const ROUNDS = rounds({ short: 800, long: 10_000 });
const scratch = scratchFolder();
const random = randomFrom(SEED);

const MADE = [
  { bits: 12, size: 3 * MiB, sectorsPerCluster: 4 },
  { bits: 16, size: 5 * MiB, sectorsPerCluster: 1 },
  { bits: 32, size: 36 * MiB, sectorsPerCluster: 1 },
] as const;

for (const geometry of MADE) {
  const { bits } = geometry;
  const image = join(scratch, `fat-${bits}`);
  makeFat(image, geometry);
  mkdirSync(`${image}-work`);
  fillFat(image, `${image}-work`, random, { budget: MiB / 2 });
  const bytes = readFileSync(image);
  const table = bytes.readUInt16LE(14) * 512;
  const tables = bytes.readUInt8(16) * 512 * (bytes.readUInt16LE(22) || bytes.readUInt32LE(36));

  test(`FAT${bits}: the undamaged volume is read`, async () => {
    assert.equal(await askEverything(fat, bytes), { recognised: true, mapped: true, tokened: true });
  });

  test(`FAT${bits}: ${ROUNDS} damaged volumes`, async () => {
    let unusual = 0;
    await manyRounds(`FAT${bits}`, ROUNDS, async () => {
      const data = table + tables + random.below(200) * 512;
      const offset = random.pick([0, 0, table, table + random.below(2000), data]);
      const repair = damage(bytes, offset, offset === 0 ? 96 : offset === table ? 64 : 512, random);
      try {
        const outcome = await askEverything(fat, bytes);
        if (!outcome.mapped) unusual += 1;
      } finally {
        repair();
      }
    });
    console.log(`${unusual} of ${ROUNDS} refused`);
    assert.ok(unusual > ROUNDS / 50 && unusual < ROUNDS);
  });
}

test.run();
