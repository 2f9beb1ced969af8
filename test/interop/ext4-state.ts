// What the plugin says of volumes in every state that real tools and a real kernel leave them in; and the token.

import { closeSync, copyFileSync, fsyncSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { MiB } from '../../src/base/units.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import type { FilesystemState } from '../../src/filesystem/plugin.js';
import { demandPerfect, makeImage, mounted, patch, patchSuperblock, withVolume } from '../support/ext4-image.js';
import { fileSource } from '../support/file-source.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { copyUsedOntoGarbage } from '../support/sparse-copy.js';

const scratch = scratchFolder();
const SIZE = 48 * MiB;
let number = 0;

function newImage(...options: string[]): string {
  number += 1;
  const image = join(scratch, `${number}.img`);
  makeImage(image, SIZE, ['-t', 'ext4', '-b', '4096', ...options]);
  return image;
}

const stateOf = (image: string): Promise<FilesystemState> =>
  withVolume(image, (volume, info) => ext4.readState(volume, info));

const tokenOf = (image: string): Promise<Buffer> => withVolume(image, (volume, info) => ext4.token(volume, info));

/** What the volume looks like if the power fails right after an fsync. */
function crashImage(image: string): string {
  const crashed = `${image}.crashed`;
  mounted(image, (folder) => {
    const fd = openSync(join(folder, 'a'), 'w');
    writeFileSync(fd, Buffer.alloc(300_000, 7));
    fsyncSync(fd);
    closeSync(fd);
    copyFileSync(image, crashed);
  });
  return crashed;
}

async function expectState(image: string, kind: FilesystemState['kind'], reason: RegExp): Promise<void> {
  const state = await stateOf(image);
  assert.is(state.kind, kind, state.reason);
  assert.match(state.reason, reason);
  assert.is(state.advice === '', kind === 'clean');
}

async function expectNoMap(image: string, reason: RegExp): Promise<void> {
  await withVolume(image, async (volume, info) => {
    try {
      await ext4.openAllocationMap(volume, info);
    } catch (error) {
      assert.instance(error, FormatError);
      assert.match(String(error), reason);
      return;
    }
    assert.unreachable('a map of damaged metadata was handed out');
  });
}

test('fresh and unmounted volumes are clean', async () => {
  const image = newImage();
  await expectState(image, 'clean', /^$/);
  mounted(image, (folder) => writeFileSync(join(folder, 'a'), 'x'));
  await expectState(image, 'clean', /^$/);
});

test('a crash leaves a journal to replay; after the advice it is clean', async () => {
  const crashed = crashImage(newImage());
  await expectState(crashed, 'needs-replay', /needs_recovery/);
  tryRun('e2fsck', ['-p', crashed]);
  await expectState(crashed, 'clean', /^$/);
});

test('a crash without a journal is dirty', async () => {
  const crashed = crashImage(newImage('-O', '^has_journal'));
  await expectState(crashed, 'dirty', /not unmounted/);
});

test('a frozen volume with a journal is clean and its map complete', async () => {
  const image = newImage();
  const frozen = `${image}.frozen`;
  mounted(image, (folder) => {
    writeFileSync(join(folder, 'a'), Buffer.alloc(3 * MiB, 9));
    run('fsfreeze', ['-f', folder]);
    try {
      copyFileSync(image, frozen);
    } finally {
      run('fsfreeze', ['-u', folder]);
    }
  });
  await expectState(frozen, 'clean', /^$/);
  await withVolume(frozen, async (volume, info) => {
    const map = await ext4.openAllocationMap(volume, info);
    await copyUsedOntoGarbage(volume, map, `${frozen}.copy`);
  });
  demandPerfect(`${frozen}.copy`);
});

test('an error that the kernel recorded is dirty', async () => {
  const image = newImage();
  run('debugfs', ['-w', '-R', 'set_super_value state 2', image]);
  await expectState(image, 'dirty', /found errors/);
  const valid = newImage();
  run('debugfs', ['-w', '-R', 'set_super_value state 3', valid]);
  await expectState(valid, 'dirty', /found errors/);
});

test('orphans that wait for the next mount are no damage', async () => {
  const image = newImage('-O', '^orphan_file');
  patchSuperblock(image, (superblock) => superblock.writeUInt32LE(12, 0xe8));
  await expectState(image, 'clean', /^$/);
  const newer = newImage('-O', 'orphan_file');
  patchSuperblock(newer, (superblock) => superblock.writeUInt32LE(superblock.readUInt32LE(0x64) | 0x10000, 0x64));
  await expectState(newer, 'clean', /^$/);
});

test('an external journal: the device is not mine, the volume is incomplete while it waits', async () => {
  const journal = join(scratch, 'journal.img');
  makeImage(journal, 16 * MiB, ['-O', 'journal_dev', '-b', '4096']);
  const source = fileSource(journal);
  assert.is(await ext4.probe(source), undefined);
  await source.close();

  const image = newImage();
  patchSuperblock(image, (superblock) => {
    superblock.writeUInt32LE(0, 0xe0);
    superblock.fill(0x11, 0xd0, 0xe0);
  });
  await expectState(image, 'clean', /^$/);
  patchSuperblock(image, (superblock) => superblock.writeUInt32LE(superblock.readUInt32LE(0x60) | 4, 0x60));
  await expectState(image, 'incomplete', /another device/);
  assert.is((await tokenOf(image)).length, 16);
});

test('recovery asked for without a journal is dirty', async () => {
  const image = newImage('-O', '^has_journal');
  patchSuperblock(image, (superblock) => superblock.writeUInt32LE(superblock.readUInt32LE(0x60) | 4, 0x60));
  await expectState(image, 'dirty', /no journal/);
});

test('multiple mount protection: unmounted is clean, mounted elsewhere is dirty', async () => {
  const image = newImage('-O', 'mmp', '-E', 'mmp_update_interval=1');
  await expectState(image, 'clean', /^$/);
  const block = Number(/MMP block number:\s+(\d+)/.exec(run('dumpe2fs', ['-h', image]))?.[1]);
  patch(image, block * 4096, 1024, (mmp) => {
    mmp.writeUInt32LE(77, 4);
    mmp.fill(0, 16, 80);
    mmp.write('node-b', 16);
  });
  await expectState(image, 'dirty', /another node \(node-b\)/);
  patch(image, block * 4096, 1024, (mmp) => mmp.writeUInt32LE(0xe24d4d50, 4));
  await expectState(image, 'dirty', /e2fsck/);
  patch(image, block * 4096, 1024, (mmp) => mmp.writeUInt32LE(0, 0));
  await expectState(image, 'dirty', /damaged/);
});

test('unknown features are unsupported and get no map', async () => {
  for (const [offset, flag] of [
    [0x60, 0x1],
    [0x60, 0x800000],
    [0x64, 0x80],
    [0x64, 0x40000000],
  ] as const) {
    const image = newImage();
    patchSuperblock(image, (superblock) => {
      superblock.writeUInt32LE((superblock.readUInt32LE(offset) | flag) >>> 0, offset);
    });
    await expectState(image, 'unsupported', new RegExp(`0x${flag.toString(16)}`));
    await expectNoMap(image, /unknown features/);
  }
});

test('a superblock with a wrong checksum is recognised, dirty and has no map', async () => {
  const image = newImage('-O', 'metadata_csum');
  patch(image, 1024, 1024, (superblock) => superblock.write('other label', 0x78));
  await expectState(image, 'dirty', /checksum of its superblock/);
  await expectNoMap(image, /checksum of the superblock/);
});

test('a truncated volume is incomplete and keeps its token', async () => {
  const image = newImage();
  run('truncate', ['-s', String(SIZE - 4096), image]);
  await expectState(image, 'incomplete', /48 MiB.*48/);
  await expectNoMap(image, /larger than its volume/);
  await withVolume(image, async (volume, info) => assert.is(info.size, volume.size));
  run('truncate', ['-s', '4096', image]);
  await expectState(image, 'incomplete', /ends after 4 KiB/);
  assert.is((await tokenOf(image)).length, 16);
});

test('damaged descriptors, bitmaps and counters get no map', async () => {
  const descriptors = newImage('-O', 'metadata_csum');
  patch(descriptors, 4096, 64, (descriptor) => descriptor.writeUInt32LE(descriptor.readUInt32LE(0) + 1, 0));
  await expectNoMap(descriptors, /checksum of group descriptor 0/);

  const legacy = newImage('-O', '^metadata_csum,uninit_bg');
  patch(legacy, 4096, 32, (descriptor) => descriptor.writeUInt32LE(descriptor.readUInt32LE(0) + 1, 0));
  await expectNoMap(legacy, /checksum of group descriptor 0/);

  for (const [features, reason] of [
    ['metadata_csum', /checksum of group 0's block bitmap/],
    ['^metadata_csum,^uninit_bg', /has \d+ free clusters|calls metadata free/],
  ] as const) {
    const image = newImage('-O', features);
    const at = Number(/Block bitmap at (\d+)/.exec(run('dumpe2fs', [image]))?.[1]) * 4096;
    patch(image, at, 4096, (bitmap) => {
      bitmap[1000] = (bitmap[1000] ?? 0) ^ 0x10;
    });
    await expectNoMap(image, reason);
  }

  const counted = newImage();
  patchSuperblock(counted, (superblock) => superblock.writeUInt32LE(superblock.readUInt32LE(0x0c) - 1, 0x0c));
  await expectNoMap(counted, /free blocks together/);
});

for (const type of ['ext2', 'ext3', 'ext4'] as const) {
  test(`the token of ${type} changes with writing mounts and repairs, with nothing else`, async () => {
    number += 1;
    const image = join(scratch, `${number}.img`);
    makeImage(image, SIZE, ['-t', type, '-b', '1024']);
    const seen = [await tokenOf(image)];
    const same = async (what: string): Promise<void> => {
      assert.ok((await tokenOf(image)).equals(seen.at(-1) ?? Buffer.alloc(0)), `${what} must not change the token`);
    };
    const different = async (what: string): Promise<void> => {
      const token = await tokenOf(image);
      assert.is(token.length, 16);
      assert.not.ok(
        seen.some((other) => other.equals(token)),
        `${what} must change the token`,
      );
      seen.push(token);
    };
    await same('reading');
    run('e2fsck', ['-fn', image]);
    await same('e2fsck -n');
    mounted(image, () => undefined, 'rw');
    await different('a writing mount');
    mounted(image, () => undefined, 'ro');
    await same('a mount for reading');
    mounted(image, (folder) => statSync(folder), 'ro');
    await same('another mount for reading');
    mounted(image, (folder) => writeFileSync(join(folder, 'a'), 'x'));
    await different('a written file');
    mounted(image, (folder) => rmSync(join(folder, 'a')));
    await different('a deleted file');
    run('tune2fs', ['-L', 'other', image]);
    await different('a new label');
    const debug = join(scratch, `${number}.file`);
    writeFileSync(debug, 'y');
    run('sleep', ['1.1']);
    run('debugfs', ['-w', '-R', `write ${debug} b`, image]);
    await different('debugfs');
    run('sleep', ['1.1']);
    tryRun('e2fsck', ['-fy', image]);
    await different('e2fsck -fy');
  });
}

test('the token sees the journal, also deep in an extent tree', async () => {
  const image = newImage();
  const before = await tokenOf(image);
  const at = Number(/\d+/.exec(run('debugfs', ['-R', 'blocks <8>', image]))?.[0]) * 4096;
  patch(image, at, 1024, (journal) => journal.writeUInt32BE(journal.readUInt32BE(0x18) + 1, 0x18));
  assert.not.ok((await tokenOf(image)).equals(before));

  number += 1;
  const mapped = join(scratch, `${number}.img`);
  makeImage(mapped, SIZE, ['-t', 'ext3', '-b', '1024']);
  const old = await tokenOf(mapped);
  const first = Number(/\d+/.exec(run('debugfs', ['-R', 'blocks <8>', mapped]))?.[0]) * 1024;
  patch(mapped, first, 1024, (journal) => journal.writeUInt32BE(journal.readUInt32BE(0x18) + 1, 0x18));
  assert.not.ok((await tokenOf(mapped)).equals(old));
});

test.run();
