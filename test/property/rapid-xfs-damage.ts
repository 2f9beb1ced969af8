// Thousands of damaged XFS volumes are asked for their records, most with checksums made right again so that the parsers are
// reached: they end in FormatError or in records that keep their promises, and what checksums protect is noticed.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32c } from '../../src/base/checksum.js';
import { FormatError } from '../../src/base/u64.js';
import { KiB, MiB } from '../../src/base/units.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import { memoryTarget } from '../../src/source/memory.js';
import type { Source } from '../../src/source/types.js';
import { damage } from '../support/damage.js';
import { manyRounds } from '../support/many-rounds.js';
import { randomFrom, SEED } from '../support/random.js';
import { type Scan, scanRecords } from '../support/record-scan.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { growByTurns, makeXfs, mountedXfs } from '../support/xfs-image.js';

const scratch = scratchFolder();
const random = randomFrom(SEED);
const ROUNDS = rounds({ short: 250, long: 20_000 });
const LARGEST_READ = 2 * MiB;
const MOST_READ = 128 * MiB;
const SIZE = 32 * MiB;

/** Reads from memory; a large read or too many of them fail the test. */
function bounded(bytes: Buffer): Source {
  const memory = memoryTarget(bytes);
  let total = 0;
  return {
    ...memory,
    async read(into, offset) {
      total += into.length;
      assert.ok(into.length <= LARGEST_READ, `a read of ${into.length} bytes`);
      assert.ok(total <= MOST_READ, `${total} bytes were read`);
      await memory.read(into, offset);
    },
  };
}

/** Undefined where the volume is refused. */
async function scanOf(bytes: Buffer): Promise<Scan | undefined> {
  const volume = bounded(bytes);
  if (!(await xfs.probe(volume))) return undefined;
  try {
    return await scanRecords(xfs, volume);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

function textOf(scan: Scan | undefined): string {
  return JSON.stringify([...(scan?.records.values() ?? [])]);
}

interface Place {
  readonly offset: number;
  readonly length: number;
  /** Of the checksum; undefined: none. */
  readonly at: number | undefined;
  /** Most hits go to the first so many bytes. */
  readonly head: number;
}

/** Structures by their first bytes: how long they are, where their checksums are, where they are interesting. */
function placesOf(bytes: Buffer, blockSize: number, inodeSize: number): Place[][] {
  const kinds: readonly (readonly [
    magic: string,
    unit: number,
    length: number,
    at: number | undefined,
    head: number,
  ])[] = [
    ['XFSB', SIZE, 512, 224, 264],
    ['XAGI', 512, 512, 312, 40],
    ['IAB3', blockSize, blockSize, 52, 120],
    ['IABT', blockSize, blockSize, undefined, 80],
    ['IN', inodeSize, inodeSize, inodeSize === 256 ? undefined : 100, 256],
    ['BMA3', blockSize, blockSize, 64, 150],
    ['XDB3', blockSize, 4 * KiB, 4, 200],
    ['XDD3', blockSize, 4 * KiB, 4, 200],
  ];
  return kinds
    .map(([magic, unit, length, at, head]) => {
      const found: Place[] = [];
      for (let offset = bytes.indexOf(magic); offset >= 0; offset = bytes.indexOf(magic, offset + 1)) {
        if (offset % unit === 0) found.push({ offset, length, at, head });
      }
      return found;
    })
    .filter((places) => places.length > 0);
}

async function attack(name: string, bytes: Buffer, sizes: { blockSize: number; inodeSize: number }): Promise<void> {
  const kinds = placesOf(bytes, sizes.blockSize, sizes.inodeSize);
  const whole = textOf(await scanOf(bytes));
  assert.ok(whole.length > 100, 'the undamaged volume has records');
  let [refused, changed] = [0, 0];
  await manyRounds(name, ROUNDS, async () => {
    const { offset, length, at, head } = random.pick(random.pick(kinds));
    const old = Buffer.from(bytes.subarray(offset, offset + length));
    damage(bytes, offset, random.chance(0.7) ? head : length, random);
    const sealed = at === undefined || random.chance(0.85);
    if (at !== undefined && sealed) {
      const piece = bytes.subarray(offset, offset + length);
      piece.writeUInt32LE(0, at);
      piece.writeUInt32LE(crc32c(piece), at);
    }
    const scan = await scanOf(bytes);
    old.copy(bytes, offset);
    if (!scan) refused += 1;
    else if (textOf(scan) !== whole) changed += 1;
    // An inode with a wrong checksum has no record, and that is all.
    for (const record of sealed ? [] : (scan?.records.values() ?? [])) {
      assert.ok(whole.includes(JSON.stringify(record)), 'damage went unseen');
    }
  });
  assert.is(textOf(await scanOf(bytes)), whole);
  console.log(`${name}: ${refused} refused, ${changed} read with other records`);
  assert.ok(refused > ROUNDS / 20 && changed > 0);
}

test(`${ROUNDS} damaged volumes of version 5`, async () => {
  const image = join(scratch, 'new');
  makeXfs(image, SIZE, ['-b', 'size=1024', '-d', 'agcount=2']);
  mountedXfs(image, (folder) => {
    mkdirSync(join(folder, 'boot/grub'), { recursive: true });
    for (let index = 0; index < 300; index += 1) {
      writeFileSync(join(folder, 'boot', index % 2 ? 'grub' : '', `some name ${index}`), random.bytes(2000));
      writeFileSync(join(folder, `${index}`), random.bytes(2000));
    }
    growByTurns(join(folder, 'tree'), { count: 500, blockSize: KiB });
  });
  await attack('version 5', readFileSync(image), { blockSize: KiB, inodeSize: 512 });
});

test(`${ROUNDS} damaged volumes of version 4`, async () => {
  const image = join(scratch, 'old');
  const content = join(scratch, 'content');
  writeFileSync(content, random.bytes(50 * KiB));
  const files = Array.from({ length: 100 }, (_, index) => `file${index} ---644 0 0 ${content}\n`);
  const prototype = join(scratch, 'prototype');
  writeFileSync(prototype, `/\n0 0\nd--755 0 0\nboot d--755 0 0\n${files.slice(0, 9).join('')}$\n${files.join('')}$\n`);
  makeXfs(image, SIZE, ['-m', 'crc=0', '-i', 'size=256', '-p', prototype]);
  await attack('version 4', readFileSync(image), { blockSize: 4 * KiB, inodeSize: 256 });
});

test.run();
