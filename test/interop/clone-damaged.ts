// Targets that were replaced, wiped, grown or damaged between two runs: refused or noticed, and healed.

import { copyFileSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { BLOCK_SIZE } from '../../src/map/block-map.js';
import { WITNESS_LENGTH } from '../../src/state/witness.js';
import { demandSameFiles, oldFile } from '../support/clone-judge.js';
import { clonedPair, differingBlocks, filesOf, findBytes, heal, SMALL } from '../support/clone-pair.js';
import { preparedDisk } from '../support/clone-round-trip.js';
import { buildDisk, onPartition, partitionOf, readAt, writeAt } from '../support/disk-builder.js';
import { withFolder } from '../support/partition-content.js';
import { randomFrom, SEED } from '../support/random.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const random = randomFrom(SEED);
const EXT = 2;
const RAW = 5;

const write = (folder: string): void => {
  writeFileSync(join(folder, 'written later'), random.bytes(700_000));
};

test('everything wiped: the run asks for the name, and fills it again', async () => {
  const pair = await clonedPair(scratch, SMALL);
  const { target, disk } = pair;
  writeAt(target, 0, Buffer.alloc(disk.size));
  await heal(pair);
  oldFile(join(scratch, 'old'), disk.size);
  writeAt(target, 0, readFileSync(join(scratch, 'old')));
  assert.is(pair.ectype.refused(3, 'clone', '--yes', disk.path, target).code, 'safety.target-holds-data');
  await heal(pair, '--overwrite-target', target);
  pair.remove();
});

test('another source was cloned onto it in between', async () => {
  const pair = await clonedPair(scratch, SMALL);
  const { disk, target, ectype } = pair;
  const other = await buildDisk({ ...SMALL, path: join(scratch, 'other.img') }, randomFrom(SEED + 1));
  assert.is(ectype.refused(3, 'clone', '--yes', other.path, target).exitStatus, 3);
  ectype.clone(other.path, target, '--overwrite-target', target);
  await demandSameFiles(other, target, await filesOf(other));
  assert.is(ectype.refused(3, 'clone', '--yes', disk.path, target).exitStatus, 3);
  await heal(pair, '--overwrite-target', target);
  rmSync(other.path);
  pair.remove();
});

test('an older copy of the target was put back', async () => {
  const pair = await clonedPair(scratch, SMALL);
  const { disk, target, ectype } = pair;
  const old = join(scratch, 'old-target');
  copyFileSync(target, old);
  const { extent, content } = partitionOf(disk, EXT);
  await onPartition(disk.path, extent, (file) => withFolder(file, content, write), { write: true });
  ectype.clone(disk.path, target);
  writeAt(target, 0, readFileSync(old)); // the same file, so the same identity
  await heal(pair);
  renameSync(old, target);
  const error = ectype.refused(3, 'clone', '--yes', disk.path, target);
  assert.is(error.code, 'safety.target-holds-data', 'another file under the same name is another target');
  await heal(pair, '--overwrite-target', target);
  pair.remove();
});

test('the target grew, and shrank again', async () => {
  const pair = await clonedPair(scratch, SMALL);
  const { disk, target } = pair;
  truncateSync(target, disk.size + 3 * MiB);
  await heal(pair, '--overwrite-target', target);
  truncateSync(target, disk.size);
  await heal(pair, '--overwrite-target', target);
  pair.remove();
});

test('silent damage below the file system: compare and verify find it, and the repair costs its block', async () => {
  const pair = await clonedPair(scratch, SMALL);
  const { disk, target, ectype } = pair;
  const { extent, content } = partitionOf(disk, EXT);
  const bytes = random.bytes(1 * MiB);
  const add = (file: string): Promise<void> =>
    withFolder(file, content, (folder) => writeFileSync(join(folder, 'victim'), bytes));
  await onPartition(disk.path, extent, add, { write: true });
  ectype.clone(disk.path, target);
  const place = findBytes(target, bytes.subarray(8 * KiB, 12 * KiB), extent) + 77;
  writeAt(target, place, Buffer.from([(readAt(target, place, 1)[0] ?? 0) ^ 1]));
  const block = Math.floor((place - extent.offset) / BLOCK_SIZE);

  const found = ectype.verify(disk.path, target);
  assert.not.ok(found.equal);
  assert.is(ectype.try('verify', disk.path, target).status, 7);
  assert.equal(found.differences, [
    { volume: 'partition 2', offset: extent.offset + block * BLOCK_SIZE, length: BLOCK_SIZE },
  ]);
  const { status, events } = ectype.try('clone', '--yes', '--verify', disk.path, target);
  assert.is(status, 7, 'a clone that verifies finds it too');
  assert.is(events.at(-1)?.event, 'error');
  const { amounts } = ectype.clone(disk.path, target, '--detect', 'compare');
  assert.equal(differingBlocks(disk.path, target, extent).includes(block), false);
  assert.is(
    amounts.written,
    4 * BLOCK_SIZE + 4 * WITNESS_LENGTH,
    'one block, three that were armed, and the witnesses',
  );
  await heal(pair);
  pair.remove();
});

test('verify reports where tables and gaps differ, and ignores what nobody uses', async () => {
  const pair = await clonedPair(scratch, SMALL);
  const { disk, target, ectype } = pair;
  const { disk: original } = await preparedDisk(scratch, SMALL);
  assert.ok(ectype.verify(original.path, target).equal, 'another copy of the source will do');
  const offsets = (): number[] => ectype.verify(disk.path, target).differences.map(({ offset }) => offset);
  for (const place of [50, 600_000, disk.size - 300, partitionOf(disk, RAW).extent.offset + 100_000]) {
    const byte = readAt(target, place, 1)[0] ?? 0;
    writeAt(target, place, Buffer.from([byte ^ 0x10]));
    const [found, ...others] = offsets();
    assert.ok(found !== undefined && found <= place && place < found + BLOCK_SIZE, `byte ${place}, found at ${found}`);
    assert.equal(others, []);
    writeAt(target, place, Buffer.from([byte]));
    assert.equal(offsets(), []);
  }
  const last = partitionOf(disk, RAW).extent;
  writeAt(target, last.offset + last.length + 4096, random.bytes(10_000)); // behind the last partition
  assert.equal(offsets(), []);
  pair.remove();
});

test.run();
