// Thousands of damaged exFAT volumes: each is refused or read, none crashes, hangs or eats memory.

import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { exfat } from '../../src/filesystem/exfat/plugin.js';
import { askEverything, damage } from '../support/damage.js';
import { exfatLayout, fillExfat, makeExfat, sealExfat, withExfatMounted } from '../support/exfat-volume.js';
import { manyRounds } from '../support/many-rounds.js';
import { randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const ROUNDS = rounds({ short: 800, long: 20_000 });
const scratch = scratchFolder();
const random = randomFrom(SEED);

for (const clusterSize of [512, 4096]) {
  const image = join(scratch, `exfat-${clusterSize}`);
  makeExfat(image, { size: 6 * MiB, clusterSize });
  withExfatMounted(image, (folder) => fillExfat(folder, random, { budget: MiB / 2 }));
  const bytes = readFileSync(image);
  rmSync(image);
  const { table, heap, root } = exfatLayout(bytes);
  const boot = Buffer.from(bytes.subarray(0, 12 * 512));

  test(`clusters of ${clusterSize}: the undamaged volume is read`, async () => {
    assert.equal(await askEverything(exfat, bytes), { recognised: true, mapped: true, tokened: true });
  });

  test(`clusters of ${clusterSize}: ${ROUNDS} damaged volumes`, async () => {
    let unusual = 0;
    await manyRounds(`clusters of ${clusterSize}`, ROUNDS, async () => {
      const offset = random.pick([64, 64, table, table + random.below(3000), heap, root, heap + random.below(MiB)]);
      const repair = damage(bytes, offset, offset === 64 ? 56 : offset === table ? 64 : 512, random);
      if (offset === 64 && bytes.readUInt8(108) <= 12) sealExfat(bytes);
      try {
        const outcome = await askEverything(exfat, bytes);
        if (!outcome.mapped) unusual += 1;
      } finally {
        repair();
        boot.copy(bytes);
      }
    });
    console.log(`${unusual} of ${ROUNDS} refused`);
    assert.ok(unusual > ROUNDS / 50 && unusual < ROUNDS);
  });
}

test.run();
