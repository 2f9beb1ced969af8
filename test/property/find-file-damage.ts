// Thousands of damaged ext2/3/4 and NTFS volumes are asked for their swap, page and hibernation files: each answers or
// refuses, none crashes, hangs or points outside itself.

import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { KiB, MiB } from '../../src/base/units.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import { ntfs } from '../../src/filesystem/ntfs/plugin.js';
import { type Extent, extentEnd } from '../../src/map/extent.js';
import { memoryTarget } from '../../src/source/memory.js';
import type { Source } from '../../src/source/types.js';
import { damage } from '../support/damage.js';
import { makeImage, mounted } from '../support/ext4-image.js';
import { withNtfsMounted } from '../support/ntfs-mount.js';
import { makeNtfs } from '../support/ntfs-volume.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const ROUNDS = rounds({ short: 500, long: 40_000 });
const MAX_MS = 3000;
const SIZE = 8 * MiB;
const image = join(scratchFolder(), 'image');
const random = randomFrom(SEED);

/** A hundred pieces, among files that were deleted. */
function writeInPieces(folder: string, path: string): void {
  const names = Array.from({ length: 300 }, (_, index) => join(folder, `${index}`));
  for (const name of names) writeFileSync(name, Buffer.alloc(4 * KiB, 1));
  run('sync', ['-f', folder]);
  const rest = openSync(join(folder, 'rest'), 'w');
  try {
    for (;;) writeSync(rest, Buffer.alloc(64 * KiB, 3));
  } catch {
    // The volume is full, as it should be.
  } finally {
    closeSync(rest);
  }
  for (const [index, name] of names.entries()) if (index % 2 === 0) rmSync(name);
  writeFileSync(join(folder, path), Buffer.alloc(400 * KiB, 2));
  run('sync', ['-f', folder]);
}

type Ask = (volume: Source) => Promise<readonly Extent[]>;

/** The damage is near places that begin with one of `magics`, where structures lie. */
async function attack(bytes: Buffer, magics: readonly Buffer[], ask: Ask): Promise<void> {
  const places = magics.flatMap((magic) => {
    const found: number[] = [];
    for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 1)) found.push(at);
    return found.map((at) => Math.min(at, bytes.length - 512));
  });
  assert.ok(places.length > 0);
  const pieces = await ask(memoryTarget(bytes));
  assert.ok(pieces.length > 1, `undamaged it is found, in ${pieces.length} pieces`);
  let answered = 0;
  let slowest = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const repair = damage(bytes, random.pick(places), 256, random);
    const start = performance.now();
    try {
      const extents = await ask(memoryTarget(bytes));
      answered += extents.length > 0 ? 1 : 0;
      for (const extent of extents) assert.ok(extent.length > 0 && extentEnd(extent) <= bytes.length);
    } catch (error) {
      if (!(error instanceof FormatError)) throw new Error(`round ${round} of seed ${SEED}`, { cause: error });
    } finally {
      repair();
    }
    slowest = Math.max(slowest, performance.now() - start);
  }
  console.log(`${pieces.length} pieces; ${answered} of ${ROUNDS} answered, slowest ${slowest.toFixed(0)} ms`);
  assert.ok(slowest < MAX_MS);
}

async function askExt4(volume: Source): Promise<readonly Extent[]> {
  const info = await ext4.probe(volume);
  return (info && (await ext4.findFile?.(volume, info, '/a/swap'))?.extents) ?? [];
}

for (const options of [
  ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum'],
  ['-t', 'ext2', '-b', '1024'],
]) {
  test(`${ROUNDS} damaged volumes: mke2fs ${options.join(' ')}`, async () => {
    makeImage(image, SIZE, options);
    mounted(image, (folder) => {
      mkdirSync(join(folder, 'a'));
      writeInPieces(folder, 'a/swap');
    });
    const imap = /located at block (\d+), offset (0x[0-9a-f]+)/;
    const inodes = ['<2>', '/a', '/a/swap'].map((name) => {
      const [, block, offset] = imap.exec(run('debugfs', ['-R', `imap ${name}`, image])) ?? [];
      return Number(block) * 1024 + Number(offset);
    });
    const bytes = readFileSync(image);
    const magics = inodes.map((at) => bytes.subarray(at, at + 128));
    const tree = bytes.subarray(inodes[2] ?? 0).readUInt32LE(0x28 + 12 + 4) * 1024;
    const indirect = bytes.subarray(inodes[2] ?? 0).readUInt32LE(0x28 + 48) * 1024;
    const block = options[1] === 'ext2' ? indirect : tree;
    await attack(bytes, [...magics, bytes.subarray(block, block + 64)], askExt4);
  });
}

test(`${ROUNDS} damaged volumes: mkntfs`, async () => {
  makeNtfs(image, { size: SIZE, clusterSize: 512 });
  await withNtfsMounted(image, (folder) => writeInPieces(folder, 'pagefile.sys'));
  const bytes = readFileSync(image);
  const root = Number(bytes.readBigUInt64LE(0x30)) * 512 + 5 * KiB;
  // In the directory's entry, and in the file's record before its run list.
  const magics = [Buffer.from('pagefile.sys', 'utf16le'), bytes.subarray(root, root + KiB)];
  await attack(bytes, magics, async (volume) => {
    const info = await ntfs.probe(volume);
    const files = (info && (await ntfs.excludable?.(volume, info))) ?? [];
    return files.flatMap(({ extents }) => extents);
  });
});

test.run();
