// Targets that somebody used between two runs: whatever happened to them, the next run makes them equal to the source.

import { closeSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { type ClonedPair, clonedPair, heal, SMALL } from '../support/clone-pair.js';
import { onPartition, partitionOf, writeAt } from '../support/disk-builder.js';
import { makeContent, removeFiles, withFolder } from '../support/partition-content.js';
import { randomFrom, SEED, sampleOf } from '../support/random.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const random = randomFrom(SEED);
const [FAT, EXT, NTFS, , RAW] = [1, 2, 3, 4, 5] as const;

interface Case {
  readonly name: string;
  readonly touch: (pair: ClonedPair) => void | Promise<void>;
  readonly detect: readonly string[] | undefined;
}

const cases: Case[] = [];

function touching(name: string, touch: Case['touch'], detect?: readonly string[]): void {
  cases.push({ name, touch, detect });
}

/** Lets `action` work in a partition of the target as its user would. */
async function use({ disk, target }: ClonedPair, number: number, action: (folder: string) => void): Promise<void> {
  const { extent, content } = partitionOf(disk, number);
  await onPartition(target, extent, (file) => withFolder(file, content, action), { write: true });
}

const write = (folder: string): void => {
  writeFileSync(join(folder, 'written on the target'), random.bytes(700_000));
};

touching('ext4 mounted and written', (pair) => use(pair, EXT, write), ['hash', 'compare', 'hash', 'hash', 'compare']);
touching('ext4 mounted, nothing written', (pair) => use(pair, EXT, () => {}), [
  'hash',
  'compare',
  'hash',
  'hash',
  'compare',
]);
touching('NTFS mounted and written', (pair) => use(pair, NTFS, write), ['hash', 'rapid', 'compare', 'hash', 'compare']);
touching('FAT written', (pair) => use(pair, FAT, write), ['compare', 'rapid', 'hash', 'hash', 'compare']);
touching('all three written', async (pair) => {
  for (const number of [FAT, EXT, NTFS]) await use(pair, number, write);
});

touching('bytes of a partition that no file system claims', ({ disk, target }) => {
  const { offset, length } = partitionOf(disk, RAW).extent;
  for (const at of [0, 70_000, length - 1]) writeAt(target, offset + at, Buffer.from([random.below(256)]));
});

touching('boot code and the gap before the first partition', ({ target }) => {
  writeAt(target, 100, random.bytes(50));
  writeAt(target, 900_000, random.bytes(5000));
});

touching('a partition deleted, the backup table wiped', ({ target, disk }) => {
  run('sgdisk', ['-d', '3', target]);
  writeAt(target, disk.size - 512, Buffer.alloc(512));
});

test('another partition over the end of one, whose superblock stayed as it was', async () => {
  const pair = await clonedPair(scratch, SMALL);
  const { disk, target } = pair;
  const { extent } = partitionOf(disk, EXT);
  const offset = Math.ceil((extent.offset + extent.length / 2) / MiB) * MiB;
  const end = Math.floor((extent.offset + extent.length) / MiB) * MiB;
  run('sgdisk', ['-d', `${EXT}`, '-n', `${EXT}:${offset / 512}:${end / 512 - 1}`, target]);
  writeAt(target, offset, random.bytes(end - offset)); // what somebody keeps there
  assert.equal(await heal(pair, `--overwrite-target=${target}`), ['hash', 'compare', 'hash', 'hash', 'compare']);
  pair.remove();
});

touching('a partition reformatted', async ({ disk, target }) => {
  const { extent, content } = partitionOf(disk, EXT);
  const file = join(scratch, 'reformatted');
  await makeContent(file, content, { size: extent.length, sectorSize: 512, random });
  writeAt(target, extent.offset, readFileSync(file));
  rmSync(file);
});

touching('files deleted, their space used by the source a run later', async (pair) => {
  const { disk, target, ectype } = pair;
  await use(pair, EXT, write);
  const { extent, content } = partitionOf(disk, EXT);
  await onPartition(target, extent, (file) => removeFiles(file, content, ['written on the target']), { write: true });
  ectype.clone(disk.path, target);
  // Zeros where the target may still hold what was written there: they count as content, not as nothing.
  const zeros = (file: string): Promise<void> =>
    withFolder(file, content, (folder) => writeFileSync(join(folder, 'zeros'), Buffer.alloc(3 * MiB)));
  await onPartition(disk.path, extent, zeros, { write: true });
});

/** Zeros wherever there is room: blocks that were used in part become full, and their content stays as it was. */
function fillWithZeros(folder: string): void {
  const fd = openSync(join(folder, 'zeros'), 'w');
  try {
    for (let size = MiB; size >= 4 * KiB; ) {
      try {
        for (;;) writeSync(fd, Buffer.alloc(size));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        size /= 4;
      }
    }
  } finally {
    closeSync(fd);
  }
}

for (const [name, number] of [
  ['ext4', EXT],
  ['NTFS', NTFS],
] as const) {
  touching(`a raw copy of the source over it, then zeros in ${name}`, async ({ disk, target }) => {
    run('dd', [`if=${disk.path}`, `of=${target}`, 'bs=1M', 'conv=notrunc', 'status=none']);
    const { extent, content } = partitionOf(disk, number);
    await onPartition(disk.path, extent, (file) => withFolder(file, content, fillWithZeros), { write: true });
  });
}

for (const { name, touch, detect } of sampleOf(cases, 7)) {
  test(name, async () => {
    const pair = await clonedPair(scratch, SMALL);
    await touch(pair);
    const found = await heal(pair);
    if (detect) assert.equal(found, detect);
    pair.remove();
  });
}

test.run();
