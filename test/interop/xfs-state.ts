// What the plugin says of volumes in every state that real tools and a real kernel leave them in.

import { copyFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { KiB, MiB } from '../../src/base/units.js';
import type { FilesystemState } from '../../src/filesystem/plugin.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { copyUsedOntoGarbage } from '../support/sparse-copy.js';
import {
  demandPerfectXfs,
  logByXfsprogs,
  logOffset,
  makeXfs,
  mountedXfs,
  patchFile,
  sealXfs,
  withXfs,
  writeSynced,
  xfsField,
} from '../support/xfs-image.js';

const scratch = scratchFolder();
const SIZE = 48 * MiB;
let number = 0;

function newImage(...options: string[]): string {
  number += 1;
  const image = join(scratch, `${number}.img`);
  makeXfs(image, SIZE, options);
  return image;
}

const stateOf = (image: string): Promise<FilesystemState> =>
  withXfs(image, (volume, info) => xfs.readState(volume, info));

async function expectState(image: string, kind: FilesystemState['kind'], reason: RegExp): Promise<void> {
  const state = await stateOf(image);
  assert.is(state.kind, kind, state.reason);
  assert.match(state.reason, reason);
  assert.is(state.advice === '', kind === 'clean');
}

async function expectNoMap(image: string, reason: RegExp): Promise<void> {
  await withXfs(image, async (volume, info) => {
    try {
      await xfs.openAllocationMap(volume, info);
    } catch (error) {
      assert.instance(error, FormatError);
      assert.match(String(error), reason);
      return;
    }
    assert.unreachable('a map of damaged metadata was handed out');
  });
}

function patchSuperblock(image: string, change: (superblock: Buffer) => void): void {
  patchFile(image, { offset: 0, length: 512 }, (superblock) => {
    change(superblock);
    sealXfs(superblock, 'superblock');
  });
}

function setBits(image: string, at: number, bits: number): void {
  patchSuperblock(image, (raw) => raw.writeUInt32BE((raw.readUInt32BE(at) | bits) >>> 0, at));
}

test('probe says what blkid says', async () => {
  for (const options of [
    ['-L', 'twelve bytes'],
    ['-b', 'size=1024', '-m', 'uuid=00112233-4455-6677-8899-aabbccddeeff'],
  ]) {
    const image = newImage(...options);
    const said = (field: string): string => run('blkid', ['-p', '-s', field, '-o', 'value', image]).trimEnd();
    await withXfs(image, async (_volume, info) => {
      assert.is(info.kind, said('TYPE'));
      assert.is(info.uuid, said('UUID'));
      assert.is(info.label, options[0] === '-L' ? said('LABEL') : '');
      assert.is(info.blockSize, xfsField(image, 'blocksize'));
      assert.is(info.size, SIZE);
    });
  }
});

test('fresh and unmounted volumes are clean', async () => {
  const image = newImage();
  await expectState(image, 'clean', /^$/);
  assert.is(logByXfsprogs(image)?.clean, (await stateOf(image)).kind === 'clean');
  mountedXfs(image, (folder) => writeFileSync(join(folder, 'a'), 'x'));
  await expectState(image, 'clean', /^$/);
  assert.is(logByXfsprogs(image)?.clean, (await stateOf(image)).kind === 'clean');
});

test('a crash leaves a log to replay; after the advice it is clean', async () => {
  const image = newImage();
  const crashed = `${image}.crashed`;
  mountedXfs(image, (folder) => {
    writeSynced(join(folder, 'a'), Buffer.alloc(300_000, 7));
    copyFileSync(image, crashed);
  });
  await expectState(crashed, 'needs-replay', /log was not replayed/);
  assert.is(logByXfsprogs(crashed)?.clean, (await stateOf(crashed)).kind === 'clean');
  mountedXfs(crashed, (folder) => assert.is(statSync(join(folder, 'a')).size, 300_000));
  await expectState(crashed, 'clean', /^$/);
});

test('a shutdown leaves a log to replay; so does one right after mounting', async () => {
  const image = newImage();
  mountedXfs(image, (folder) => {
    for (let index = 0; index < 50; index += 1) writeFileSync(join(folder, `${index}`), 'x');
    run('xfs_io', ['-x', '-c', 'shutdown -f', folder]);
  });
  await expectState(image, 'needs-replay', /log was not replayed/);
  assert.is(logByXfsprogs(image)?.clean, (await stateOf(image)).kind === 'clean');
  mountedXfs(image, () => undefined);
  await expectState(image, 'clean', /^$/);
});

test('a frozen volume has a log to replay, but its map is complete', async () => {
  const image = newImage('-d', 'agcount=2');
  const frozen = `${image}.frozen`;
  mountedXfs(image, (folder) => {
    for (let index = 0; index < 300; index += 1) writeFileSync(join(folder, `${index}`), Buffer.alloc(7 * KiB, index));
    for (let index = 0; index < 300; index += 2) rmSync(join(folder, `${index}`));
    run('fsfreeze', ['-f', folder]);
    try {
      copyFileSync(image, frozen);
    } finally {
      run('fsfreeze', ['-u', folder]);
    }
  });
  await expectState(frozen, 'needs-replay', /log was not replayed/);
  await withXfs(frozen, async (volume, info) => {
    await copyUsedOntoGarbage(volume, await xfs.openAllocationMap(volume, info), `${frozen}.copy`);
  });
  mountedXfs(`${frozen}.copy`, (folder) => assert.is(statSync(join(folder, '299')).size, 7 * KiB));
  demandPerfectXfs(`${frozen}.copy`);
});

test('a log of another file system, or none, is damage', async () => {
  const image = newImage();
  const offset = logOffset(image);
  patchFile(image, { offset, length: 512 }, (header) => header.fill(0x77, 304, 320));
  await expectState(image, 'dirty', /log is damaged/);
  patchFile(image, { offset, length: xfsField(image, 'logblocks') * 4096 }, (log) => log.fill(0));
  await expectState(image, 'dirty', /log is damaged/);
  run('xfs_repair', ['-L', '-f', image]);
  await expectState(image, 'clean', /^$/);
});

test('a log or a realtime part on another device is incomplete', async () => {
  const other = join(scratch, 'other.img');
  writeFileSync(other, '');
  run('truncate', ['-s', String(32 * MiB), other]);
  await expectState(newImage('-l', `logdev=${other},size=16m`), 'incomplete', /log lies on another device/);
  rmSync(other);
  writeFileSync(other, '');
  run('truncate', ['-s', String(32 * MiB), other]);
  await expectState(newImage('-r', `rtdev=${other}`, '-m', 'reflink=0'), 'incomplete', /realtime device/);
});

test('marks of xfs_repair and mkfs.xfs are dirty', async () => {
  const repairing = newImage();
  setBits(repairing, 216, 0x10);
  await expectState(repairing, 'dirty', /need of repair/);
  const making = newImage();
  patchSuperblock(making, (raw) => raw.writeUInt8(1, 126));
  await expectState(making, 'dirty', /did not finish/);
});

test('unknown features are unsupported and get no map', async () => {
  for (const [at, bits, name] of [
    [216, 0x200, 'incompat 0x200'],
    [216, 0x80000000, 'incompat 0x80000000'],
    [212, 0x10, 'ro_compat 0x10'],
    [200, 0x1000, 'features2 0x1000'],
    [100, 0x02000000, 'version 0x200'],
  ] as const) {
    const image = newImage();
    setBits(image, at, bits);
    await expectState(image, 'unsupported', new RegExp(name));
    await expectNoMap(image, /unknown features/);
  }
  const old = newImage();
  patchSuperblock(old, (raw) => raw.writeUInt16BE((raw.readUInt16BE(100) & 0xfff0) | 6, 100));
  await expectState(old, 'unsupported', /version 6/);
});

test('a superblock with a wrong checksum is recognised, dirty and has no map', async () => {
  const image = newImage();
  patchFile(image, { offset: 108, length: 12 }, (label) => label.write('other'));
  await expectState(image, 'dirty', /checksum of its superblock/);
  await expectNoMap(image, /checksum of the superblock/);
});

test('a truncated volume is incomplete', async () => {
  const image = newImage();
  run('truncate', ['-s', String(SIZE - 4096), image]);
  await expectState(image, 'incomplete', /48 MiB.*50327552 bytes/);
  await expectNoMap(image, /larger than its volume/);
  await withXfs(image, async (volume, info) => assert.is(info.size, volume.size));
  run('truncate', ['-s', '512', image]);
  await expectState(image, 'incomplete', /ends after 512 bytes/);
});

test('damaged headers, btrees and counters get no map', async () => {
  const sectors: readonly (readonly [number, RegExp])[] = [
    [512 + 52, /AGF of allocation group 0 has a wrong checksum/],
    [1024 + 16, /AGI of allocation group 0 has a wrong checksum/],
    [1536 + 40, /AGFL of allocation group 0 has a wrong checksum/],
    [4096 + 60, /btree of allocation group 0 has a block with a wrong checksum/],
  ];
  for (const [offset, reason] of sectors) {
    const image = newImage();
    patchFile(image, { offset, length: 4 }, (bytes) => bytes.writeUInt32BE(bytes.readUInt32BE(0) + 1, 0));
    await expectNoMap(image, reason);
  }
  for (const [at, reason] of [
    [52, /free blocks, its header says/],
    [56, /free blocks in a row, its header says/],
    [60, /free blocks together, the superblock says/],
    [12, /says that the group has/],
    [48, /does not hold/],
  ] as const) {
    const image = newImage();
    patchFile(image, { offset: 512, length: 512 }, (agf) => {
      agf.writeUInt32BE(agf.readUInt32BE(at) + 1, at);
      sealXfs(agf, 'agf');
    });
    await expectNoMap(image, reason);
  }
});

test.run();
