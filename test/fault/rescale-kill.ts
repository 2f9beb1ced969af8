// kill -9 of the real command line at any moment of a clone onto another size, views being made included. Then the same
// command ends well, leaves nothing of the killed run behind, and the clone is right; the source never changes.

import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Bytes, MiB } from '../../src/base/units.js';
import { oldFile, sha256 } from '../support/clone-judge.js';
import { preparedDisk, type Wish } from '../support/clone-round-trip.js';
import { changeDisk, listDisk } from '../support/disk-builder.js';
import { ectypeUntil } from '../support/ending.js';
import { EXT4, FAT32, NTFS } from '../support/partition-content.js';
import { randomFrom, SEED } from '../support/random.js';
import { demandRescaled } from '../support/rescaled.js';
import { assertNothingLeft } from '../support/reshape.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const sectors = (bytes: Bytes): number => bytes / 512;
const WISH: Wish = {
  table: 'gpt',
  size: 240 * MiB,
  partitions: [
    { content: FAT32, size: sectors(40 * MiB) },
    { content: EXT4, size: sectors(120 * MiB) },
    { content: NTFS, size: sectors(60 * MiB) },
  ],
};

const ROUNDS = rounds({ short: 2, long: 60 });
const scratch = scratchFolder();
const random = randomFrom(SEED);

for (const [name, size, options] of [
  ['larger', 400 * MiB, ['--layout', 'proportional']],
  ['smaller', 200 * MiB, []],
] as const) {
  test(`killed on the way to a ${name} disk`, async () => {
    const { disk: built } = await preparedDisk(scratch, WISH);
    const folder = join(scratch, name);
    mkdirSync(folder);
    const disk = { ...built, path: join(folder, 'source.img') };
    copyFileSync(built.path, disk.path);
    const target = oldFile(join(folder, 'target.img'), size);
    const state = join(folder, 'state');
    const words = ['clone', '--yes', '--json', ...options, `--overwrite-target=${target}`, disk.path, target];
    let longestMs = 4000;
    for (let round = 0; round < ROUNDS; round += 1) {
      if (round > 0) await changeDisk(disk, { random, generation: round }, [2]);
      const digest = sha256(disk.path);
      await ectypeUntil(words, { state, end: { signal: 'SIGKILL', afterMs: random.below(longestMs) } });
      assert.is(sha256(disk.path), digest, 'the source after the kill');
      const start = Date.now();
      const ended = await ectypeUntil(words, { state });
      longestMs = Math.max(1000, Date.now() - start);
      assert.is(ended.status, 0, ended.stderr);
      if (existsSync(join(state, 'scratch'))) assertNothingLeft(join(state, 'scratch'));
      await demandRescaled(disk, target, await listDisk(disk.path, disk.partitions));
      assert.is(sha256(disk.path), digest, 'the source at the end');
    }
  });
}

test.run();
