// Whole disks with a GPT through the command line: equal, larger and smaller targets full of older data, raw files and
// loop devices, sectors of 512 and 4096 bytes. Outside tools judge table, file systems and files.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { demandClone, oldFile, sha256 } from '../support/clone-judge.js';
import { firstAt, GPT, GPT_4096, preparedDisk, roundTrip } from '../support/clone-round-trip.js';
import { ectypeIn } from '../support/ectype-cli.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();

test('a file onto a larger one that does not end at a sector', () =>
  roundTrip(scratch, GPT, { size: GPT.size + 11 * MiB + 100, loops: false }));

test('a loop device onto one of equal size', () => roundTrip(scratch, GPT, { size: GPT.size, loops: true }));

test('onto a smaller disk that still holds all partitions, and not onto one sector less', async () => {
  const { disk } = await preparedDisk(scratch, GPT);
  const end = Math.max(...disk.partitions.map(({ extent }) => extent.offset + extent.length));
  const needed = end + 33 * 512;
  await roundTrip(scratch, GPT, { size: needed, loops: false });
  const target = oldFile(join(scratch, 'too-small.img'), needed - 512);
  const before = sha256(target);
  const ectype = ectypeIn(join(scratch, 'too-small'));
  const error = ectype.refused(
    3,
    'clone',
    '--yes',
    '--layout',
    'same',
    '--overwrite-target',
    target,
    disk.path,
    target,
  );
  assert.is(error.code, 'safety.target-too-small');
  assert.is(sha256(target), before, 'a refused target is what it was');
  rmSync(target);
});

test('into a file that does not exist yet', async () => {
  const { disk, files } = await preparedDisk(scratch, GPT);
  const folder = join(scratch, 'new');
  const target = join(folder, 'new.img');
  ectypeIn(folder).clone(disk.path, target);
  await demandClone(disk, target, files);
  rmSync(folder, { recursive: true });
});

test('sectors of 4096 bytes: a loop device onto a larger one', () =>
  roundTrip(scratch, GPT_4096, { size: GPT_4096.size + 37 * MiB + 4096, loops: true }));

test('sectors of 4096 bytes: a file onto a file of equal size', () =>
  roundTrip(scratch, GPT_4096, { size: GPT_4096.size, loops: false }));

for (const start of [34, 40]) {
  const wish = firstAt(start);
  test(`partitions from LBA ${start} on: a file onto a file of equal size`, () =>
    roundTrip(scratch, wish, { size: wish.size, loops: false }));
  test(`partitions from LBA ${start} on: a loop device onto a larger one`, () =>
    roundTrip(scratch, wish, { size: wish.size + 5 * MiB, loops: true }));
}

test.run();
