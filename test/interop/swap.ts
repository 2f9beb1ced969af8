// Swap areas, judged by blkid and swaplabel: their first page is all that a copy needs, unless a computer sleeps there.

import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { recognise } from '../../src/filesystem/registry.js';
import { swap } from '../../src/filesystem/swap/plugin.js';
import { memoryTarget } from '../../src/source/memory.js';
import { askEverything, damage } from '../support/damage.js';
import { fileSource } from '../support/file-source.js';
import { manyRounds } from '../support/many-rounds.js';
import { thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { copyUsedOntoGarbage } from '../support/sparse-copy.js';

const MiB = 1 << 20;
const ROUNDS = rounds({ short: 400, long: 4000 });
const PAGE_SIZES = [4096, 8192, 16384, 32768, 65536];
const UUID = '01234567-89ab-4cde-8f01-23456789abcd';
const scratch = scratchFolder();
const image = join(scratch, 'image');
const noise = randomFrom(SEED).bytes(8 * MiB + 512);

/** A swap area full of noise behind its header. */
function made(pageSize: number, options: readonly string[] = [], size = 8 * MiB): Buffer {
  writeFileSync(image, noise.subarray(0, size));
  run('mkswap', ['-q', '-p', `${pageSize}`, '-U', UUID, ...options, image]);
  return readFileSync(image);
}

function blkid(bytes: Buffer, tag: string): string {
  writeFileSync(image, bytes);
  return tryRun('blkid', ['-p', '-o', 'value', '-s', tag, image]).stdout.trim();
}

async function usedBytes(bytes: Buffer): Promise<number> {
  const volume = memoryTarget(bytes);
  const info = await swap.probe(volume);
  assert.ok(info);
  let used = 0;
  const map = await swap.openAllocationMap(volume, info);
  for await (const { length } of map.usedExtents({ offset: 0, length: volume.size })) used += length;
  return used;
}

async function tokenOf(bytes: Buffer): Promise<string> {
  const volume = memoryTarget(bytes);
  const info = await swap.probe(volume);
  assert.ok(info);
  return (await swap.token(volume, info)).toString('hex');
}

for (const pageSize of PAGE_SIZES) {
  for (const label of ['', 'paging', 'sixteen chars ok']) {
    test(`pages of ${pageSize}, label "${label}"`, async () => {
      const bytes = made(pageSize, label ? ['-L', label] : [], 8 * MiB + 512);
      const source = fileSource(image);
      const found = await recognise(source);
      assert.equal(
        found.map(({ plugin }) => plugin.name),
        ['swap'],
      );
      const info = await swap.probe(source);
      assert.ok(info);
      assert.is(info.kind, blkid(bytes, 'TYPE'));
      assert.is(info.label, blkid(bytes, 'LABEL'));
      assert.is(info.uuid, blkid(bytes, 'UUID'));
      assert.is(info.size, 8 * MiB);
      assert.is((await swap.readState(source, info)).kind, 'clean');
      const copy = `${image}.copy`;
      assert.is(await copyUsedOntoGarbage(source, await swap.openAllocationMap(source, info), copy), pageSize);
      assert.is(run('swaplabel', [copy]), run('swaplabel', [image]));
      const [original, copied] = [image, copy].map((path) => run('blkid', ['-p', '-o', 'export', path]));
      assert.is(copied?.replace(copy, ''), original?.replace(image, ''));
      await source.close();
      rmSync(copy);
    });
  }
}

test('a swap area of the other byte order', async () => {
  const bytes = made(4096, ['-L', 'swapped']);
  for (const at of [1024, 1028]) bytes.writeUInt32BE(bytes.readUInt32LE(at), at);
  const info = await swap.probe(memoryTarget(bytes));
  assert.is(info?.kind, blkid(bytes, 'TYPE'));
  assert.is(info?.label, 'swapped');
  assert.is(info?.size, 8 * MiB);
  assert.is(await usedBytes(bytes), 4096);
});

test('hibernated: refused with advice, all of it used, no token', async () => {
  for (const pageSize of PAGE_SIZES) {
    for (const signature of ['S1SUSPEND', 'S2SUSPEND', 'ULSUSPEND', 'LINHIB0001']) {
      const bytes = made(pageSize, ['-L', 'asleep']);
      bytes.fill(0, pageSize - 10, pageSize).write(signature, pageSize - 10, 'latin1');
      const volume = memoryTarget(bytes);
      const info = await swap.probe(volume);
      assert.ok(info, signature);
      assert.is(info.kind, 'swsuspend');
      assert.is(blkid(bytes, 'TYPE'), 'swsuspend');
      assert.is(info.label, 'asleep');
      const state = await swap.readState(volume, info);
      assert.is(state.kind, 'hibernated');
      assert.match(state.advice, /shut it down/);
      assert.is(await usedBytes(bytes), bytes.length);
      assert.instance(await thrownBy(() => swap.token(volume, info)), FormatError);
    }
  }
  const bytes = made(4096);
  bytes.write('edc302e99856e50c', 0, 'hex');
  const volume = memoryTarget(bytes);
  const info = await swap.probe(volume);
  assert.is(info?.kind, blkid(bytes, 'TYPE'));
  assert.ok(info);
  assert.is((await swap.readState(volume, info)).kind, 'hibernated');
});

test('whatever is unusual is used to its last byte', async () => {
  const changes: Record<string, (bytes: Buffer) => void> = {
    'the old format': (bytes) => bytes.write('SWAP-SPACE', 4086),
    'an unknown version': (bytes) => bytes.writeUInt32LE(2, 1024),
    'bad pages': (bytes) => bytes.writeUInt32LE(1, 1032),
    'larger than the volume': (bytes) => bytes.writeUInt32LE(5000, 1028),
  };
  for (const [name, change] of Object.entries(changes)) {
    const bytes = made(4096);
    change(bytes);
    assert.is(await usedBytes(bytes), bytes.length, name);
    assert.is(await swap.probe(memoryTarget(bytes)).then((info) => info?.size), bytes.length, name);
    assert.instance(await thrownBy(() => tokenOf(bytes)), FormatError, name);
  }
});

test('the token shows a new label and what was paged to places that block maps know', async () => {
  const bytes = made(4096);
  const before = await tokenOf(bytes);
  assert.is(await tokenOf(bytes), before);
  for (const at of [4096, MiB - 1, 7 * MiB, 8 * MiB - 1]) {
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    assert.is.not(await tokenOf(bytes), before, `${at}`);
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  }
  bytes.fill(0, 3 * MiB, 5 * MiB);
  assert.is(await tokenOf(bytes), before, 'no map knows the middle');
  writeFileSync(image, bytes);
  run('swaplabel', ['-L', 'new', image]);
  assert.is.not(await tokenOf(readFileSync(image)), before);
});

test('what is no swap', async () => {
  const good = made(4096);
  const probed = async (change: (bytes: Buffer) => Buffer): Promise<boolean> =>
    (await swap.probe(memoryTarget(change(Buffer.from(good))))) !== undefined;
  assert.ok(await probed((bytes) => bytes));
  assert.not(await probed((bytes) => bytes.fill(0, 4086, 4096)));
  assert.not(await probed((bytes) => bytes.subarray(0, 40959)));
  assert.not(await probed((bytes) => bytes.fill(0, 1028, 1032)), 'no pages');
  assert.not(await probed((bytes) => bytes.subarray(0, 0)));
  writeFileSync(image, '');
  truncateSync(image, MiB);
  assert.is(await swap.probe(memoryTarget(readFileSync(image))), undefined);
});

test('thousands of damaged headers', async () => {
  const random = randomFrom(SEED);
  let unusual = 0;
  for (const pageSize of PAGE_SIZES) {
    const bytes = made(pageSize, ['-L', 'damaged'], MiB);
    await manyRounds(`pages of ${pageSize}`, ROUNDS, async () => {
      const repair = random.chance(0.7) ? damage(bytes, 1024, 60, random) : damage(bytes, pageSize - 20, 20, random);
      const { mapped, tokened } = await askEverything(swap, bytes);
      if (!mapped || !tokened) unusual += 1;
      repair();
    });
  }
  console.log(`${unusual} refused or without a token`);
  assert.ok(unusual > ROUNDS / 2);
});

test.run();
