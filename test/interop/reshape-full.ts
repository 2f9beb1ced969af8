// Volumes whose files lie far behind are shown at their minimum: what is beyond the new end has to move, and the number
// that was named has to be enough.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { minimumSize, scratchNeeded } from '../../src/reshape/minimum.js';
import { mounted as mountedBtrfs } from '../support/btrfs-image.js';
import { HAS_LOOP } from '../support/loop.js';
import type { Content } from '../support/partition-content.js';
import { randomFrom, SEED, sampleOf } from '../support/random.js';
import { judgeView, makeScene, viewOptions } from '../support/reshape.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

interface Kind {
  readonly filesystem: string;
  readonly content: Content;
  /** In MiB. */
  readonly size: number;
  /** At most. */
  readonly fullness?: number;
}

const KINDS: readonly Kind[] = [
  { filesystem: 'ext4', content: { kind: 'ext', options: ['-t', 'ext4'] }, size: 300 },
  { filesystem: 'ext2', content: { kind: 'ext', options: ['-t', 'ext2', '-b', '1024'] }, size: 60 },
  { filesystem: 'ntfs', content: { kind: 'ntfs', clusterSize: 4096 }, size: 100 },
  { filesystem: 'ntfs', content: { kind: 'ntfs', clusterSize: 512 }, size: 50 },
  { filesystem: 'btrfs', content: { kind: 'btrfs', options: [] }, size: 500, fullness: 0.5 },
  { filesystem: 'f2fs', content: { kind: 'f2fs', options: ['-a', '1'] }, size: 300, fullness: 0.4 },
  { filesystem: 'fat32', content: { kind: 'fat', bits: 32 }, size: 120 },
  { filesystem: 'fat16', content: { kind: 'fat', bits: 16 }, size: 100 },
];

const folder = scratchFolder();

function testsOf({ filesystem, content, size, fullness = 0.6 }: Kind, index: number): void {
  const test = suite(`${filesystem} ${index}`);
  for (let round = 0; round < rounds({ short: 1, long: 12 }); round += 1) {
    test(`round ${round}`, async () => {
      const scratch = join(folder, `${index}-${round}`);
      mkdirSync(scratch);
      const random = randomFrom(SEED + 100 * index + round);

      const scene = await makeScene(scratch, {
        content,
        filesystem,
        size: size * MiB,
        random,
        fullness: random.between(50, 100) * (fullness / 100),
      });
      const { minimum } = await minimumSize(viewOptions(scene, 0));
      assert.ok(minimum < size * MiB, `${minimum} of ${size * MiB}`);
      const needed = await scratchNeeded(viewOptions(scene, minimum));
      const unmoved = await scratchNeeded(viewOptions(scene, size * MiB));
      // The kernel fills the chunks of btrfs from the front, and they are moved whole.
      if (filesystem !== 'btrfs') assert.ok(needed > unmoved, 'nothing lies beyond the new end');
      const { overlayBytes } = await judgeView(scene, minimum);
      assert.ok(overlayBytes <= needed, `${overlayBytes} of ${needed}`);
    });
  }
  test.run();
}

if (HAS_LOOP) for (const kind of sampleOf(KINDS, 2)) testsOf(kind, KINDS.indexOf(kind));

/** Two halves in chunks of their own, and the first is gone: the others have to move to the front. */
function moveChunks(path: string): void {
  const write = (folder: string, name: string, count: number): void => {
    const bytes = randomFrom(SEED).bytes(10 * MiB);
    for (let index = 0; index < count; index += 1) {
      bytes.writeUInt32LE(index);
      writeFileSync(join(folder, `${name}-${index}`), bytes);
    }
    run('sync', ['-f', folder]);
  };
  const shuffle = (folder: string): void => {
    write(folder, 'first', 30);
    write(folder, 'second', 20);
    for (let index = 0; index < 30; index += 1) rmSync(join(folder, `first-${index}`));
    run('sync', ['-f', folder]);
    run('btrfs', ['balance', 'start', '-dusage=0', folder]);
  };
  run('mkfs.btrfs', ['-q', '-f', path]);
  mountedBtrfs([path], shuffle, 'rw,nodiscard');
}

if (HAS_LOOP) {
  const test = suite('btrfs whose chunks have to move');
  test('at its minimum', async () => {
    const content: Content = { kind: 'btrfs', options: [] };
    const scratch = join(folder, 'chunks');
    mkdirSync(scratch);
    const random = randomFrom(SEED);
    const scene = await makeScene(scratch, {
      content,
      filesystem: 'btrfs',
      size: 900 * MiB,
      random,
      change: moveChunks,
    });
    const { minimum } = await minimumSize(viewOptions(scene, 0));
    const moved =
      (await scratchNeeded(viewOptions(scene, minimum))) - (await scratchNeeded(viewOptions(scene, 900 * MiB)));
    assert.ok(moved > 10 * MiB, `${moved} bytes lie beyond ${minimum}`);
    await judgeView(scene, minimum);
  });
  test.run();
}
