// Files of XFS are found by their paths in directories of all forms, and only if everything on the way is what it says.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32c } from '../../src/base/checksum.js';
import { KiB, MiB } from '../../src/base/units.js';
import type { FoundFile } from '../../src/filesystem/plugin.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import { memoryTarget } from '../../src/source/memory.js';
import { scratchFolder } from '../support/scratch.js';
import { growByTurns, makeXfs, mountedXfs, withXfs, xfsDb, xfsField } from '../support/xfs-image.js';

const SIZE = 32 * MiB;
const scratch = scratchFolder();
const image = join(scratch, 'image');

async function found(bytes: Buffer, path: string): Promise<FoundFile | undefined> {
  const volume = memoryTarget(bytes);
  const info = await xfs.probe(volume);
  return info && xfs.findFile?.(volume, info, path);
}

async function outcome(bytes: Buffer, path = '/a/swap'): Promise<string> {
  return found(bytes, path).then(
    (file) => (file ? 'found' : 'missing'),
    (error: Error) => error.name,
  );
}

/** Where the inode at the end of a path lies. */
function inodeAt(path: string): number {
  const number = /(\d+)/.exec(xfsDb(image, `path ${path}`, 'inode').replace(/^.*?is /, ''))?.[1];
  return Number(/\((\d+)\)/.exec(xfsDb(image, `convert ino ${number} fsbyte`))?.[1]);
}

/** Where the first block with this magic lies. */
function blockAt(bytes: Buffer, magic: string): number {
  let at = bytes.indexOf(magic);
  while (at >= 0 && at % KiB !== 0) at = bytes.indexOf(magic, at + 1);
  assert.ok(at >= 0);
  return at;
}

test('files are found with every byte, in directories of every form', async () => {
  makeXfs(image, SIZE);
  const forms = { short: 3, block: 30, leaf: 120, node: 1500 };
  mountedXfs(image, (folder) => {
    for (const [form, count] of Object.entries(forms)) {
      mkdirSync(join(folder, form));
      for (let index = 0; index < count; index += 1)
        writeFileSync(join(folder, form, `the file number ${index}`), form);
    }
  });
  await withXfs(image, async (volume, info) => {
    for (const [form, count] of Object.entries(forms)) {
      for (const index of [0, count >> 1, count - 1]) {
        const file = await xfs.findFile?.(volume, info, `/${form}/the file number ${index}`);
        assert.is(file?.size, form.length, form);
        const [extent] = file?.extents ?? [];
        const bytes = Buffer.alloc(form.length);
        await volume.read(bytes, extent?.offset ?? 0);
        assert.is(bytes.toString(), form);
      }
      for (const missing of [`the file number ${count}`, 'the file number', '.x', '']) {
        assert.is(await xfs.findFile?.(volume, info, `/${form}/${missing}`), undefined);
      }
    }
  });
});

test('what does not say that it is itself is not believed, though its checksum is right', async () => {
  makeXfs(image, SIZE, ['-b', 'size=1024']);
  mountedXfs(image, (folder) => {
    mkdirSync(join(folder, 'a'));
    for (let index = 0; index < 120; index += 1) writeFileSync(join(folder, 'a', `the file number ${index}`), '');
    growByTurns(join(folder, 'a/swap'), { count: 200, blockSize: KiB });
  });
  const bytes = readFileSync(image);
  assert.is((await found(bytes, '/a/swap'))?.extents.length, 200);
  const tree = { offset: blockAt(bytes, 'BMA3'), length: KiB, checksum: 64 };
  const names = { offset: blockAt(bytes, 'XDD3'), length: 4 * KiB, checksum: 4 };
  const inode = { offset: inodeAt('/a/swap'), length: 512, checksum: 100 };
  const lies = [
    // Number, file system, magic, version.
    ...[159, 160, 0, 4].map((at) => ({ ...inode, at })),
    // Place, file system, file, magic, level.
    ...[31, 40, 63, 0, 5].map((at) => ({ ...tree, at })),
    // Place, file system, directory, magic.
    ...[15, 24, 47, 0].map((at) => ({ ...names, at })),
  ];
  for (const { offset, length, checksum, at } of lies) {
    const piece = bytes.subarray(offset, offset + length);
    const saved = Buffer.from(piece);
    piece.writeUInt8(piece.readUInt8(at) ^ 1, at);
    assert.is(await outcome(bytes), 'FormatError', `byte ${at} of ${offset}`);
    piece.writeUInt32LE(0, checksum);
    piece.writeUInt32LE(crc32c(piece), checksum);
    assert.is(await outcome(bytes), 'FormatError', `byte ${at} of ${offset}, sealed`);
    saved.copy(piece);
    piece.writeUInt8(piece.readUInt8(length - 1) ^ 1, length - 1);
    assert.is(await outcome(bytes), 'FormatError', `the last byte of ${offset}`);
    saved.copy(piece);
  }
  assert.is(await outcome(bytes), 'found');
  const raw = bytes.subarray(inode.offset, inode.offset + inode.length);
  raw.writeUInt16BE(raw.readUInt16BE(90) | 1, 90);
  raw.writeUInt32LE(0, inode.checksum);
  raw.writeUInt32LE(crc32c(raw), inode.checksum);
  assert.is(await outcome(bytes), 'missing', 'on a realtime device');
});

/** No tool makes one today: the two halves of a file's only extent, in a block of their own. */
test('a btree of version 4', async () => {
  const content = join(scratch, 'content');
  writeFileSync(content, Buffer.alloc(40 * KiB, 'c'));
  writeFileSync(join(scratch, 'prototype'), `/boot\n0 0\nd--755 0 0\nfile ---600 0 0 ${content}\n$\n`);
  makeXfs(image, SIZE, ['-m', 'crc=0', '-p', join(scratch, 'prototype')]);
  const bytes = readFileSync(image);
  const inode = bytes.subarray(inodeAt('/file'));
  const whole = (await found(bytes, '/file'))?.extents;
  const block = xfsField(image, 'agblocks') - 1;
  const record = inode.subarray(100, 116);
  const tree = bytes.subarray(block * 4 * KiB, (block + 1) * 4 * KiB);
  tree.write('BMAP');
  tree.writeUInt16BE(2, 6);
  tree.fill(0xff, 8, 24);
  for (const half of [0, 1]) {
    const copy = tree.subarray(24 + half * 16, 40 + half * 16);
    record.copy(copy);
    copy.writeUInt32BE((half * 5) << 9, 4);
    const tail = copy.readUInt32BE(12);
    copy.writeUInt32BE((tail & ~0x1fffff) + half * 5 * 2 ** 21 + 5, 12);
  }
  inode.writeUInt8(3, 5);
  inode.writeUInt32BE(2, 76);
  inode.fill(0, 100, 256);
  inode.writeUInt16BE(1, 100);
  inode.writeUInt16BE(1, 102);
  inode.writeUInt32BE(block, 104 + Math.floor((256 - 104) / 16) * 8 + 4);
  const halves = (await found(bytes, '/file'))?.extents;
  assert.is(halves?.length, 2);
  const [first, second] = halves ?? [];
  assert.equal({ ...first, length: (first?.length ?? 0) + (second?.length ?? 0) }, whole?.[0]);
  assert.is(second?.offset, (first?.offset ?? 0) + 20 * KiB);
  assert.is(second?.position, 20 * KiB);
  tree.writeUInt16BE(1, 4);
  assert.is(await outcome(bytes, '/file'), 'FormatError', 'another level');
});

test.run();
