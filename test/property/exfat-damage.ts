// Thousands of damaged exFAT volumes: each is refused or read, none crashes, hangs or eats memory.

import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { exfat } from '../../src/filesystem/exfat/plugin.js';
import { askEverything, damage } from '../support/damage.js';
import { exfatLayout, fillExfat, makeExfat, sealExfat, withExfatMounted } from '../support/exfat-volume.js';
import { randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const MAX_MS = 3000;
const MAX_GROWTH = 300 * MiB;
const ROUNDS = rounds({ short: 1500, long: 20_000 });
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
    const before = process.memoryUsage().rss;
    let unusual = 0;
    let slowest = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const offset = random.pick([64, 64, table, table + random.below(3000), heap, root, heap + random.below(MiB)]);
      const repair = damage(bytes, offset, offset === 64 ? 56 : offset === table ? 64 : 512, random);
      if (offset === 64 && bytes.readUInt8(108) <= 12) sealExfat(bytes);
      const started = performance.now();
      try {
        const outcome = await askEverything(exfat, bytes);
        if (!outcome.mapped) unusual += 1;
      } catch (error) {
        throw new Error(`round ${round} of seed ${SEED}, at ${offset}`, { cause: error });
      } finally {
        repair();
        boot.copy(bytes);
      }
      slowest = Math.max(slowest, performance.now() - started);
    }
    const growth = process.memoryUsage().rss - before;
    console.log(
      `${unusual} of ${ROUNDS} refused, slowest ${slowest.toFixed(0)} ms, ${(growth / MiB).toFixed(0)} MiB more`,
    );
    assert.ok(unusual > ROUNDS / 50 && unusual < ROUNDS);
    assert.ok(slowest < MAX_MS);
    assert.ok(growth < MAX_GROWTH);
  });
}

test.run();
