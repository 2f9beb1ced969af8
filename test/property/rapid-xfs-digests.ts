// Which bytes of an XFS inode its digest covers: each one is changed in turn. And whose files have records at all.

import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32c } from '../../src/base/checksum.js';
import { KiB, MiB } from '../../src/base/units.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import { memoryTarget } from '../../src/source/memory.js';
import { randomFrom, SEED } from '../support/random.js';
import { type Scan, scanRecords, unreadExtents } from '../support/record-scan.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { growByTurns, makeXfs, mountedXfs, xfsDb, xfsField } from '../support/xfs-image.js';

const scratch = scratchFolder();
const random = randomFrom(SEED);
const SIZE = 32 * MiB;

function scanOf(bytes: Buffer): Promise<Scan> {
  return scanRecords(xfs, memoryTarget(bytes));
}

function scanOfFile(path: string): Promise<Scan> {
  return scanOf(readFileSync(path));
}

/** Where an inode lies. */
function inodePlace(image: string, number: number): number {
  const [, place] = /\((\d+)\)/.exec(xfsDb(image, `convert ino ${number} fsbyte`)) ?? [];
  return Number(place);
}

function reseal(bytes: Buffer, { offset, length, at }: { offset: number; length: number; at: number }): void {
  const piece = bytes.subarray(offset, offset + length);
  piece.writeUInt32LE(0, at);
  piece.writeUInt32LE(crc32c(piece), at);
}

/** A file system of version 4, which newer kernels do not mount: mkfs.xfs fills it. */
function makeOld(image: string): number {
  const content = join(scratch, 'content');
  writeFileSync(content, random.bytes(50 * KiB));
  const prototype = join(scratch, 'prototype');
  writeFileSync(prototype, `/\n0 0\nd--755 0 0\nfile ---644 0 0 ${content}\n$\n`);
  makeXfs(image, SIZE, ['-m', 'crc=0', '-p', prototype]);
  return Number(/current inode number is (\d+)/.exec(xfsDb(image, 'path /file', 'inode'))?.[1]);
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);

for (const { name, version, masked } of [
  // Access time; change counter, log position. The checksum is made right each time.
  { name: 'version 5', version: 5, masked: [...range(32, 40), ...range(100, 120)] },
  { name: 'version 4', version: 4, masked: [...range(28, 40)] },
]) {
  test(`each byte of an inode shows, but those that reading changes: ${name}`, async () => {
    const image = join(scratch, `bytes-${version}`);
    let number = 0;
    if (version === 4) {
      number = makeOld(image);
    } else {
      makeXfs(image, SIZE);
      mountedXfs(image, (folder) => {
        writeFileSync(join(folder, 'file'), random.bytes(50 * KiB));
        number = statSync(join(folder, 'file')).ino;
      });
    }
    const bytes = readFileSync(image);
    const offset = inodePlace(image, number);
    const length = xfsField(image, 'inodesize');
    const before = await scanOf(bytes);
    const old = before.records.get(number);
    assert.ok(old, `a record of inode ${number}`);
    for (const at of range(0, length)) {
      const bit = 1 << random.below(8);
      bytes.writeUInt8(bytes.readUInt8(offset + at) ^ bit, offset + at);
      if (version === 5) reseal(bytes, { offset, length, at: 100 });
      const now = await scanOf(bytes);
      const groups = [before, now].map((scan) =>
        JSON.stringify([...scan.groups].map(([id, { digest }]) => [id, digest])),
      );
      const same = now.records.get(number)?.digest.equals(old.digest) ?? false;
      assert.is(same, masked.includes(at), `byte ${at} of the inode`);
      assert.is(groups[0] === groups[1], masked.includes(at), `byte ${at} and the group`);
      bytes.writeUInt8(bytes.readUInt8(offset + at) ^ bit, offset + at);
      if (version === 5) reseal(bytes, { offset, length, at: 100 });
    }
  });
}

test('each byte of a block that lists extents shows', async () => {
  const image = join(scratch, 'tree');
  makeXfs(image, SIZE, ['-b', 'size=1024']);
  let number = 0;
  mountedXfs(image, (folder) => {
    growByTurns(join(folder, 'tree'), { count: 3000, blockSize: KiB });
    number = statSync(join(folder, 'tree')).ino;
  });
  const bytes = readFileSync(image);
  const old = (await scanOf(bytes)).records.get(number);
  assert.ok(old && old.extents.length >= 2500);
  const group = Math.min(...(await scanOf(bytes)).groups.keys());
  assert.not(group <= number && number < group + 64, 'its group is not complete');
  let blocks = 0;
  for (let offset = bytes.indexOf('BMA3'); offset >= 0; offset = bytes.indexOf('BMA3', offset + 1)) {
    if (offset % KiB !== 0 || bytes.readUInt32BE(offset + 60) !== number) continue;
    blocks += 1;
    const at = random.below(KiB);
    bytes.writeUInt8(bytes.readUInt8(offset + at) ^ 1, offset + at);
    reseal(bytes, { offset, length: KiB, at: 64 });
    const now = (await scanOf(bytes)).records.get(number);
    const isChecksum = at >= 64 && at < 68;
    assert.is(now?.digest.equals(old.digest) ?? false, isChecksum, `byte ${at} of the block at ${offset}`);
    if (!isChecksum) bytes.writeUInt8(bytes.readUInt8(offset + at) ^ 1, offset + at);
    reseal(bytes, { offset, length: KiB, at: 64 });
  }
  assert.ok(blocks > 40, `${blocks} blocks, on several levels`);
});

test('small files below boot folders are read each time, and whoever shares their blocks', async () => {
  const image = join(scratch, 'boot');
  makeXfs(image, SIZE * 2, ['-m', 'reflink=1']);
  const numbers = new Map<string, number>();
  const names = ['later/grub/grubenv', 'later/a/b/c', 'later/shared', 'later/kernel', 'twin', 'syslinux/x', 'plain'];
  mountedXfs(image, (folder) => {
    for (const name of ['later/grub', 'later/a/b', 'syslinux']) mkdirSync(join(folder, name), { recursive: true });
    for (const name of names) {
      if (name === 'twin') run('cp', ['--reflink=always', join(folder, 'later/shared'), join(folder, name)]);
      else writeFileSync(join(folder, name), random.bytes(name === 'later/kernel' ? 2 * MiB : 5000));
      numbers.set(name, statSync(join(folder, name)).ino);
    }
    // Enough names for blocks of directories and their indexes.
    for (const index of range(0, 400)) writeFileSync(join(folder, 'later', `a long enough name ${index}`), '');
  });
  run('sleep', ['2.2']);
  const before = await scanOfFile(image);
  mountedXfs(image, (folder) => renameSync(join(folder, 'later'), join(folder, 'boot')));
  const now = await scanOfFile(image);
  const stampIn = (scan: Scan, name: string): number | undefined => scan.records.get(numbers.get(name) ?? 0)?.changedAt;
  for (const name of names) {
    assert.is(stampIn(before, name) === undefined, name === 'syslinux/x', `${name} before`);
    const gone = ['later/grub/grubenv', 'later/a/b/c', 'syslinux/x'].includes(name);
    assert.is(stampIn(now, name) === undefined, gone, `${name} now`);
  }
  assert.is(stampIn(now, 'later/shared'), Number.POSITIVE_INFINITY);
  const unread = unreadExtents(before, now);
  const isUnread = (name: string): boolean =>
    (before.records.get(numbers.get(name) ?? 0)?.extents ?? []).every(({ offset }) =>
      unread.some((extent) => extent.offset <= offset && offset < extent.offset + extent.length),
    );
  assert.equal(
    names.filter((name) => name !== 'syslinux/x' && isUnread(name)),
    ['later/kernel', 'plain'],
  );
});

/** Where inodes are missing: the first bytes of each four of them, by the leaves of the inode btrees. */
function holesIn(bytes: Buffer, groupLength: number): number[] {
  const holes: number[] = [];
  for (let leaf = bytes.indexOf('IAB3'); leaf >= 0; leaf = bytes.indexOf('IAB3', leaf + 1)) {
    if (leaf % (4 * KiB) !== 0 || bytes.readUInt16BE(leaf + 4) !== 0) continue;
    for (const index of range(0, bytes.readUInt16BE(leaf + 6))) {
      const record = leaf + 56 + index * 16;
      const start = Math.floor(leaf / groupLength) * groupLength + bytes.readUInt32BE(record) * 512;
      const mask = bytes.readUInt16BE(record + 4);
      holes.push(...range(0, 16).flatMap((bit) => (mask & (1 << bit) ? [start + bit * 4 * 512] : [])));
    }
  }
  return holes;
}

test('chunks of inodes with holes', async () => {
  const image = join(scratch, 'sparse');
  makeXfs(image, SIZE, ['-i', 'sparse=1,size=512', '-b', 'size=4096', '-d', 'agcount=2']);
  const contents = new Map<number, Buffer>();
  mountedXfs(image, (folder) => {
    const fill = (name: string): number => {
      let count = 0;
      for (; count < 20_000; count += 1) {
        try {
          writeFileSync(join(folder, `${name}${count}`), random.bytes(4 * KiB));
        } catch {
          rmSync(join(folder, `${name}${count}`), { force: true });
          break;
        }
      }
      run('sync', ['-f', folder]);
      return count;
    };
    // Three of four blocks stay taken, where there is anything.
    const first = fill('a');
    for (let index = 0; index < first; index += 1) if (index % 16 < 5) rmSync(join(folder, `a${index}`));
    run('sync', ['-f', folder]);
    const second = fill('b');
    for (const [name, count] of [
      ['a', first],
      ['b', second],
    ] as const) {
      for (let index = 0; index < count; index += 1) {
        const path = join(folder, `${name}${index}`);
        if (name === 'a' && index % 16 < 5) continue;
        contents.set(statSync(path).ino, readFileSync(path));
      }
    }
  });
  const bytes = readFileSync(image);
  const holes = holesIn(bytes, xfsField(image, 'agblocks') * 4 * KiB);
  assert.ok(holes.length > 0, 'there are chunks with holes');
  const scan = await scanOf(bytes);
  assert.is(scan.records.size, contents.size);
  for (const [number, content] of contents) {
    const found = scan.records
      .get(number)
      ?.extents.map(({ offset, length }) => bytes.subarray(offset, offset + length));
    assert.ok(found && content.equals(Buffer.concat(found).subarray(0, content.length)), `inode ${number}`);
  }
  // Other things lie in the holes, and change.
  for (const hole of holes) bytes.writeUInt8(bytes.readUInt8(hole) ^ 1, hole);
  assert.equal((await scanOf(bytes)).groups, scan.groups);
});

test.run();
