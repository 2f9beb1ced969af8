// What a user names, and what the kernel calls it.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { deviceNumber, identify } from '../../src/device/identity.js';
import { blockDevice, readAttribute, wholeDevices } from '../../src/device/sysfs.js';
import { formatLocation, parseLocation } from '../../src/location/location.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();

test('disks, partitions, and names with # in them', () => {
  const cases: readonly (readonly [text: string, path: string, partition: number | undefined])[] = [
    ['/dev/sdb', '/dev/sdb', undefined],
    ['/dev/sdb#3', '/dev/sdb', 3],
    ['disk.img#12', 'disk.img', 12],
    ['disk.img#', 'disk.img#', undefined],
    ['disk#x', 'disk#x', undefined],
    ['a#1#2', 'a#1', 2],
    ['./#2', './', 2],
    ['disk.img#007', 'disk.img', 7],
    [' spaced name ', ' spaced name ', undefined],
  ];
  for (const [text, path, partition] of cases) assert.equal(parseLocation(text), { path, partition }, text);
  const named = join(scratch, 'disk#2');
  writeFileSync(named, '');
  assert.equal(parseLocation(named), { path: named, partition: undefined });
  assert.equal(parseLocation(`${named}#1`), { path: named, partition: 1 });
});

test('what names nothing', () => {
  for (const text of ['', '#1', 'disk#0', `disk#${'9'.repeat(30)}`]) {
    assert.throws(
      () => parseLocation(text),
      (error: Error) => error instanceof ToolError && error.code === 'usage.bad-location',
      text,
    );
  }
});

test('locations read as they were written', () => {
  for (const text of ['/dev/sdb', '/dev/sdb#3']) assert.is(formatLocation(parseLocation(text)), text);
});

test('device numbers: dev_t as glibc encodes it', () => {
  const encode = (major: number, minor: number): number =>
    ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & 0xfff00) << 12);
  for (const [major, minor] of [
    [8, 1],
    [259, 17],
    [7, 255],
    [253, 256],
    [0xfff, 0x7ffff],
  ] as const) {
    assert.is(deviceNumber(encode(major, minor) >>> 0), `${major}:${minor}`);
  }
});

test('a file is known by path, inode and size; links lead to it', () => {
  const file = join(scratch, 'file.img');
  writeFileSync(file, 'x');
  symlinkSync(file, join(scratch, 'link.img'));
  const identity = identify(file, 1);
  assert.is(identity.kind, 'file');
  assert.is(identity.id, file);
  assert.is(identity.volatileName, false);
  assert.is(identify(join(scratch, 'link.img'), 1).key, identity.key);
  assert.is.not(identify(file, 2).key, identity.key);
  writeFileSync(join(scratch, 'twin.img'), 'x');
  assert.is.not(identify(join(scratch, 'twin.img'), 1).key, identity.key);
  assert.throws(
    () => identify(join(scratch, 'missing'), 1),
    (error: Error) => error instanceof ToolError && error.code === 'device.cannot-open',
  );
});

test('sysfs: what is not there is not known', () => {
  const folder = join(scratch, 'sys');
  mkdirSync(join(folder, 'device'), { recursive: true });
  writeFileSync(join(folder, 'device/model'), '  Some Disk 1TB   \n\0');
  writeFileSync(join(folder, 'empty'), '\n');
  assert.is(readAttribute(folder, 'device/model'), 'Some Disk 1TB');
  assert.is(readAttribute(folder, 'empty'), '');
  assert.is(readAttribute(folder, 'serial'), undefined);
  assert.is(blockDevice('4095:1048575'), undefined);
});

test('the devices of this machine make sense', () => {
  for (const device of wholeDevices()) {
    assert.is(device.partition, 0);
    assert.is(device.disk, device.number);
    assert.ok(device.size > 0);
    assert.match(device.path, /^\/dev\//);
    assert.equal(blockDevice(device.number)?.kernelName, device.kernelName);
  }
});

test.run();
