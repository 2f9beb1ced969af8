// The second and every later run through the command line: nothing changed, blocks changed, files deleted, tables edited.
// What a run wrote is seen on the target itself, not only in what ectype says.

import { copyFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { BLOCK_SIZE } from '../../src/map/block-map.js';
import { WITNESS_LENGTH } from '../../src/state/witness.js';
import { demandSameFiles, demandSoundTable, holdsNoise, holdsWitness, sha256 } from '../support/clone-judge.js';
import { type ClonedPair, clonedPair, differingBlocks, filesOf, findBytes, SMALL } from '../support/clone-pair.js';
import { changeDisk, onPartition, partitionOf, readAt, writeAt } from '../support/disk-builder.js';
import { attachLoop, writeCounters } from '../support/loop-device.js';
import { makeContent, removeFiles, withFolder } from '../support/partition-content.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const random = randomFrom(SEED);

/** What a run that changes anything writes besides: the blocks that were armed, at the disk's start and end. */
const ARMED_BLOCKS = 3;
/** One in each volume that has a file system, swap included. */
const WITNESSES = 4;

async function demandSame({ disk, target }: ClonedPair): Promise<void> {
  demandSoundTable(disk, target);
  await demandSameFiles(disk, target, await filesOf(disk));
}

/** Puts a file into partition `number` of the source. */
async function addFile({ disk }: ClonedPair, number: number, name: string, bytes: Buffer): Promise<void> {
  const { extent, content } = partitionOf(disk, number);
  const add = (file: string): Promise<void> =>
    withFolder(file, content, (folder) => writeFileSync(join(folder, name), bytes));
  await onPartition(disk.path, extent, add, { write: true });
}

async function removeFile({ disk }: ClonedPair, number: number, name: string): Promise<void> {
  const { extent, content } = partitionOf(disk, number);
  await onPartition(disk.path, extent, (file) => removeFiles(file, content, [name]), { write: true });
}

test('no change: a target file is not touched at all', async () => {
  const pair = await clonedPair(scratch, SMALL);
  const { disk, target, ectype } = pair;
  const before = { digest: sha256(target), ...statSync(target) };
  for (const options of [[], ['--detect', 'compare'], ['--verify']]) {
    const { changed, amounts } = ectype.clone(disk.path, target, ...options);
    assert.not.ok(changed);
    assert.equal([amounts.written, amounts.zeroed, amounts.discarded], [0, 0, 0], options.join(' '));
  }
  const { mtimeMs, ctimeMs, blocks } = statSync(target);
  assert.equal(
    { mtimeMs, ctimeMs, blocks },
    { mtimeMs: before.mtimeMs, ctimeMs: before.ctimeMs, blocks: before.blocks },
  );
  assert.is(sha256(target), before.digest);
  pair.remove();
});

test('no change: a target device sees no write and no discard', async () => {
  const pair = await clonedPair(scratch, SMALL);
  const { disk, target, ectype } = pair;
  attachLoop(disk.path, 512, (from) =>
    attachLoop(target, 512, (to) => {
      ectype.clone(from, to, '--overwrite-target', to);
      const before = writeCounters(to);
      const { changed } = ectype.clone(from, to);
      assert.not.ok(changed);
      assert.equal(writeCounters(to), before);
    }),
  );
  pair.remove();
});

test('bytes flipped below the file system are found, and just their blocks are written', async () => {
  const pair = await clonedPair(scratch, SMALL);
  const { disk, target, ectype } = pair;
  for (const { number, extent, content } of disk.partitions) {
    if (content.kind === 'swap') continue;
    const bytes =
      content.kind === 'unrecognised' ? readAt(disk.path, extent.offset, extent.length) : random.bytes(3 * MiB);
    if (content.kind !== 'unrecognised') {
      await addFile(pair, number, 'large', bytes);
      ectype.clone(disk.path, target);
    }
    const at = findBytes(disk.path, bytes.subarray(0, 4096), extent);
    const wanted = [1, 2, 5, 17, 18].map((index) => Math.floor((at - extent.offset) / BLOCK_SIZE) + index);
    const before = join(scratch, 'before');
    copyFileSync(target, before);
    for (const block of wanted) {
      const place = extent.offset + block * BLOCK_SIZE + random.below(BLOCK_SIZE);
      writeAt(disk.path, place, Buffer.from([(readAt(disk.path, place, 1)[0] ?? 0) ^ 0x40]));
    }
    const { amounts, changed, plan } = ectype.clone(disk.path, target, '--detect', 'hash');
    assert.ok(changed);
    assert.is(
      amounts.written,
      (wanted.length + ARMED_BLOCKS) * BLOCK_SIZE + WITNESSES * WITNESS_LENGTH,
      `${content.kind}: ${JSON.stringify(plan.volumes)}`,
    );
    assert.is(amounts.discarded, 0);
    const differing = differingBlocks(before, target, extent);
    assert.equal(
      differing.filter((block) => !holdsWitness(target, extent.offset + block * BLOCK_SIZE)),
      wanted,
    );
    assert.equal(
      differingBlocks(disk.path, target, extent).filter((block) => wanted.includes(block)),
      [],
    );
    rmSync(before);
  }
  await demandSame(pair);
  pair.remove();
});

test('deleted files leave the target, and what lay around them stays', async () => {
  const pair = await clonedPair(scratch, SMALL);
  const { disk, target, ectype } = pair;
  const secret = Buffer.alloc(2 * MiB, 'a secret that was deleted ');
  const numbers = disk.partitions.filter(({ content }) => !['swap', 'unrecognised'].includes(content.kind));
  for (const { number } of numbers) await addFile(pair, number, 'secret', secret);
  ectype.clone(disk.path, target);
  for (const { extent } of numbers)
    assert.ok(findBytes(target, secret.subarray(0, 500), extent) >= 0, 'it is a file now');
  for (const { number } of numbers) await removeFile(pair, number, 'secret');
  // A rapid run leaves blocks alone in which only something else went.
  const { amounts } = ectype.clone(disk.path, target, '--detect', 'hash');
  assert.ok(amounts.discarded >= numbers.length * (secret.length - 4 * BLOCK_SIZE), `${amounts.discarded} discarded`);
  for (const { extent } of numbers) {
    assert.ok(findBytes(disk.path, secret.subarray(0, 500), extent) >= 0, 'the source still has it in free space');
    assert.is(findBytes(target, secret.subarray(0, 500), extent), -1, 'the target has not');
  }
  await demandSame(pair);
  assert.not.ok(ectype.clone(disk.path, target).changed);
  pair.remove();
});

test('days of work: files come and go in all partitions', async () => {
  const pair = await clonedPair(scratch, SMALL);
  const { disk, target, ectype } = pair;
  for (let generation = 1; generation <= rounds({ short: 3, long: 25 }); generation += 1) {
    await changeDisk(disk, { random, generation });
    const digest = sha256(disk.path);
    const { amounts, plan } = ectype.clone(disk.path, target, '--detect', 'hash');
    const isCheck = generation % 10 === 0;
    assert.equal(
      plan.volumes.map(({ detect }) => detect),
      isCheck ? Array(5).fill('compare') : ['hash', 'hash', 'hash', 'hash', 'compare'],
    );
    assert.ok(amounts.written < 9 * MiB, `${amounts.written} written for about 1.5 MiB of changes`);
    assert.is(sha256(disk.path), digest);
    await demandSame(pair);
    assert.not.ok(holdsNoise(target, generation));
    assert.ok(ectype.verify(disk.path, target).equal);
  }
  pair.remove();
});

test('a source that is rolled back takes the target with it', async () => {
  const pair = await clonedPair(scratch, SMALL);
  const { disk, target, ectype } = pair;
  const old = join(scratch, 'old');
  copyFileSync(disk.path, old);
  await changeDisk(disk, { random, generation: 1 });
  ectype.clone(disk.path, target);
  copyFileSync(old, disk.path);
  ectype.clone(disk.path, target);
  await demandSame(pair);
  assert.ok(ectype.verify(disk.path, target).equal);
  assert.not.ok(ectype.clone(disk.path, target).changed);
  rmSync(old);
  pair.remove();
});

test('a table that was edited: a partition renamed, one deleted, one added, one replaced by another file system', async () => {
  const pair = await clonedPair(scratch, SMALL);
  const { disk, target, ectype } = pair;
  const sgdisk = (...options: string[]): void => void run('sgdisk', [...options, disk.path]);
  sgdisk('-c', '2:renamed', '-t', '2:8302');
  ectype.clone(disk.path, target);
  assert.match(run('sgdisk', ['-i', '2', target]), /'renamed'/);
  assert.ok(ectype.verify(disk.path, target).equal);

  sgdisk('-d', '4');
  ectype.clone(disk.path, target);
  assert.ok(ectype.verify(disk.path, target).equal);

  sgdisk('-n', '4:0:+3M');
  const added = { number: 4, ...placeOf(disk.path, 4), content: { kind: 'fat', bits: 12 } as const };
  const file = join(scratch, 'added');
  await makeContent(file, added.content, { size: added.extent.length, sectorSize: 512, random });
  writeAt(disk.path, added.extent.offset, readAt(file, 0, added.extent.length));
  ectype.clone(disk.path, target);

  const [first, second, third] = disk.partitions;
  assert.ok(first && second && third);
  await makeContent(file, first.content, { size: second.extent.length, sectorSize: 512, random });
  writeAt(disk.path, second.extent.offset, readAt(file, 0, second.extent.length));
  ectype.clone(disk.path, target);
  rmSync(file);
  assert.ok(ectype.verify(disk.path, target).equal);
  assert.not.ok(ectype.clone(disk.path, target).changed);
  const partitions = [first, { ...second, content: first.content }, third, added];
  await demandSame({ ...pair, disk: { ...disk, partitions } });
  pair.remove();
});

function placeOf(path: string, number: number): { extent: { offset: number; length: number } } {
  const text = run('sgdisk', ['-i', `${number}`, path]);
  const field = (name: string): number => Number(new RegExp(`${name}: (\\d+)`).exec(text)?.[1]);
  return { extent: { offset: field('First sector') * 512, length: field('Partition size') * 512 } };
}

test.run();
