// What probe says, beside what blkid says; and bitmaps that are said to be uninitialised though they hold metadata.

import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rawCrc32c } from '../../src/base/checksum.js';
import { MiB } from '../../src/base/units.js';
import { crc16 } from '../../src/filesystem/ext4/crc16.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import type { Extent } from '../../src/map/extent.js';
import { makeImage, patch, patchSuperblock, withVolume } from '../support/ext4-image.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const GROUP = 16;

const MADE: readonly (readonly string[])[] = [
  ['-t', 'ext2', '-L', 'two'],
  ['-t', 'ext3', '-L', 'sixteen-bytes-ab'],
  ['-t', 'ext4', '-L', 'vier x  y'],
  ['-t', 'ext4', '-O', '^has_journal'],
  ['-t', 'ext2', '-O', 'meta_bg,^resize_inode'],
  ['-t', 'ext3', '-O', 'extent'],
  ['-t', 'ext2', '-r', '0'],
  ['-t', 'ext4', '-U', 'clear'],
];

for (const [index, options] of MADE.entries()) {
  test(`as blkid: mke2fs ${options.join(' ')}`, async () => {
    const image = join(scratch, `probe-${index}.img`);
    makeImage(image, 32 * MiB, options);
    const said = new Map(
      run('blkid', ['-p', '-o', 'export', image])
        .trim()
        .split('\n')
        .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const),
    );
    await withVolume(image, async (_volume, info) => {
      assert.is(info.kind, said.get('TYPE'));
      assert.is(info.uuid, said.get('UUID') ?? '');
      assert.is(info.label, (said.get('LABEL') ?? '').replace(/\\(.)/g, '$1'));
      assert.is(info.size, Number(said.get('FSSIZE') ?? info.size));
      assert.ok(Math.abs((info.lastWritten?.getTime() ?? 0) - Date.now()) < 60_000);
    });
  });
}

async function usedOf(image: string): Promise<Extent[]> {
  return withVolume(image, async (volume, info) => {
    const map = await ext4.openAllocationMap(volume, info);
    const used: Extent[] = [];
    for await (const extent of map.usedExtents({ offset: 0, length: volume.size })) used.push(extent);
    return used;
  });
}

/** Marks a group that holds other groups' metadata as uninitialised, `more` clusters freer; checksums are made right. */
function pretendUninitialised(image: string, more: number): void {
  let uuid = Buffer.alloc(16);
  let wide = false;
  let checksummed = false;
  patchSuperblock(image, (superblock) => {
    uuid = Buffer.from(superblock.subarray(0x68, 0x78));
    wide = (superblock.readUInt32LE(0x60) & 0x80) !== 0;
    checksummed = (superblock.readUInt32LE(0x64) & 0x400) !== 0;
    superblock.writeUInt32LE(superblock.readUInt32LE(0x0c) + more, 0x0c);
  });
  const size = wide ? 64 : 32;
  patch(image, 2048 + GROUP * size, size, (raw) => {
    raw.writeUInt16LE(raw.readUInt16LE(0x12) | 2, 0x12);
    raw.writeUInt16LE(raw.readUInt16LE(0x0c) + more, 0x0c);
    raw.writeUInt16LE(0, 0x1e);
    const group = Buffer.alloc(4);
    group.writeUInt32LE(GROUP);
    const seed = rawCrc32c(0xffffffff, uuid);
    const plain = Buffer.concat([uuid, group, raw.subarray(0, 0x1e), raw.subarray(0x20)]);
    const checksum = checksummed ? rawCrc32c(seed, Buffer.concat([group, raw])) : crc16(0xffff, plain);
    raw.writeUInt16LE(checksum & 0xffff, 0x1e);
  });
}

for (const [name, features] of [
  ['metadata_csum', '64bit,metadata_csum,^has_journal,^resize_inode'],
  ['uninit_bg', '^64bit,^metadata_csum,uninit_bg,^has_journal,^resize_inode'],
] as const) {
  test(`other groups' metadata is used in a group said to be uninitialised (${name})`, async () => {
    const image = join(scratch, `${name}.img`);
    makeImage(image, 300 * MiB, ['-t', 'ext4', '-b', '1024', '-N', '4736', '-O', features]);
    const before = await usedOf(image);
    pretendUninitialised(image, 0);
    assert.equal(await usedOf(image), before, 'with the count of mke2fs');
    // 15 further groups of this flex group keep two bitmaps and an inode table of 128 × 256 bytes here.
    pretendUninitialised(image, 15 * (1 + 1 + 32));
    assert.equal(await usedOf(image), before, 'with the count of the kernel');
  });
}

test.run();
