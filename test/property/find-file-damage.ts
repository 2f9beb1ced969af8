// Thousands of damaged ext2/3/4, XFS and NTFS volumes are asked for their swap, page and hibernation files: each answers or
// refuses, none crashes, hangs or points outside itself.

import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32c } from '../../src/base/checksum.js';
import { FormatError } from '../../src/base/u64.js';
import { KiB, MiB } from '../../src/base/units.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import { ntfs } from '../../src/filesystem/ntfs/plugin.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import { type Extent, extentEnd } from '../../src/map/extent.js';
import { memoryTarget } from '../../src/source/memory.js';
import type { Source } from '../../src/source/types.js';
import { damage } from '../support/damage.js';
import { makeImage, mounted } from '../support/ext4-image.js';
import { asWindowsOwn, withNtfsMounted } from '../support/ntfs-mount.js';
import { makeNtfs } from '../support/ntfs-volume.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { growByTurns, makeXfs, mountedXfs, xfsDb } from '../support/xfs-image.js';

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

/** Everywhere that the bytes of one of `magics` lie. */
function placesOf(bytes: Buffer, magics: readonly Buffer[]): number[] {
  return magics.flatMap((magic) => {
    const found: number[] = [];
    for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 1)) found.push(at);
    return found.map((at) => Math.min(at, bytes.length - 512));
  });
}

/** The damage is near `places`, where structures lie; then `finish` may make it look right. */
async function attack(bytes: Buffer, places: readonly number[], ask: Ask, finish = () => {}): Promise<void> {
  assert.ok(places.length > 0);
  const pieces = await ask(memoryTarget(bytes));
  assert.ok(pieces.length > 1, `undamaged it is found, in ${pieces.length} pieces`);
  let answered = 0;
  let slowest = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const repair = damage(bytes, random.pick(places), 256, random);
    finish();
    const start = performance.now();
    try {
      const extents = await ask(memoryTarget(bytes));
      answered += extents.length > 0 ? 1 : 0;
      for (const extent of extents) assert.ok(extent.length > 0 && extentEnd(extent) <= bytes.length);
    } catch (error) {
      if (!(error instanceof FormatError)) throw new Error(`round ${round} of seed ${SEED}`, { cause: error });
    } finally {
      repair();
      finish();
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
    await attack(bytes, placesOf(bytes, [...magics, bytes.subarray(block, block + 64)]), askExt4);
  });
}

async function askXfs(volume: Source): Promise<readonly Extent[]> {
  const info = await xfs.probe(volume);
  return (info && (await xfs.findFile?.(volume, info, '/a/swap'))?.extents) ?? [];
}

/** Makes all checksums right again in what was damaged, so that the checks behind them are met too. */
function resealing(bytes: Buffer, places: ReadonlyMap<number, { length: number; at: number }>): () => void {
  return () => {
    for (const [offset, { length, at }] of places) {
      const piece = bytes.subarray(offset, offset + length);
      piece.writeUInt32LE(0, at);
      piece.writeUInt32LE(crc32c(piece), at);
    }
  };
}

test(`${ROUNDS} damaged volumes: mkfs.xfs, checksums right`, async () => {
  makeXfs(image, 32 * MiB, ['-b', 'size=1024']);
  mountedXfs(image, (folder) => {
    mkdirSync(join(folder, 'a'));
    for (let index = 0; index < 40; index += 1) writeFileSync(join(folder, 'a', `name ${index}`), '');
    growByTurns(join(folder, 'a/swap'), { count: 1500, blockSize: KiB });
  });
  const bytes = readFileSync(image);
  const sealed = new Map<number, { length: number; at: number }>();
  for (const path of ['/', '/a', '/a/swap']) {
    const number = /v3.inumber = (\d+)/.exec(xfsDb(image, `path ${path}`, 'p v3.inumber'))?.[1];
    const place = /\((\d+)\)/.exec(xfsDb(image, `convert ino ${number} fsbyte`))?.[1];
    sealed.set(Number(place), { length: 512, at: 100 });
  }
  for (const [magic, at] of [
    ['BMA3', 64],
    ['XDD3', 4],
  ] as const) {
    const length = magic === 'XDD3' ? 4096 : 1024;
    for (let found = bytes.indexOf(magic); found >= 0; found = bytes.indexOf(magic, found + 1)) {
      if (found % 1024 === 0) sealed.set(found, { length, at });
    }
  }
  await attack(bytes, [...sealed.keys()], askXfs, resealing(bytes, sealed));
});

test(`${ROUNDS} damaged volumes: mkntfs`, async () => {
  makeNtfs(image, { size: SIZE, clusterSize: 512 });
  await withNtfsMounted(image, (folder) => {
    writeInPieces(folder, 'pagefile.sys');
    asWindowsOwn(join(folder, 'pagefile.sys'));
  });
  const bytes = readFileSync(image);
  const root = Number(bytes.readBigUInt64LE(0x30)) * 512 + 5 * KiB;
  // In the directory's entry, and in the file's record before its run list.
  const magics = [Buffer.from('pagefile.sys', 'utf16le'), bytes.subarray(root, root + KiB)];
  await attack(bytes, placesOf(bytes, magics), async (volume) => {
    const info = await ntfs.probe(volume);
    const files = (info && (await ntfs.excludable?.(volume, info))) ?? [];
    return files.flatMap(({ extents }) => extents);
  });
});

test.run();
