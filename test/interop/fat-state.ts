// FAT states, tokens, labels and what is no FAT.

import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { fat } from '../../src/filesystem/fat/plugin.js';
import type { FilesystemInfo, FilesystemState } from '../../src/filesystem/plugin.js';
import { fillFat, makeFat } from '../support/fat-volume.js';
import { fileSource } from '../support/file-source.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const scratch = scratchFolder();
const image = join(scratch, 'image');

const MADE = [
  { bits: 12, size: 3 * MiB, stateByte: 0x25 },
  { bits: 16, size: 20 * MiB, stateByte: 0x25 },
  { bits: 32, size: 40 * MiB, stateByte: 0x41 },
] as const;

for (const { bits, size } of MADE) {
  const path = join(scratch, `pristine-${bits}`);
  makeFat(path, { bits, size, ...(bits === 32 ? { sectorsPerCluster: 1 } : {}) });
  mkdirSync(join(scratch, `work-${bits}`));
  fillFat(path, join(scratch, `work-${bits}`), randomFrom(SEED), { budget: MiB });
}

function fresh(bits: number): void {
  copyFileSync(join(scratch, `pristine-${bits}`), image);
}

function poke(offset: number, bytes: readonly number[] | Buffer): void {
  const fd = openSync(image, 'r+');
  writeSync(fd, Buffer.from(bytes), 0, bytes.length, offset);
  closeSync(fd);
}

async function probe(path = image): Promise<FilesystemInfo | undefined> {
  const source = fileSource(path);
  try {
    return await fat.probe(source);
  } finally {
    await source.close();
  }
}

async function state(): Promise<FilesystemState> {
  const source = fileSource(image);
  try {
    const info = await fat.probe(source);
    assert.ok(info);
    return await fat.readState(source, info);
  } finally {
    await source.close();
  }
}

async function token(): Promise<string> {
  const source = fileSource(image);
  try {
    const info = await fat.probe(source);
    assert.ok(info);
    return (await fat.token(source, info)).toString('hex');
  } finally {
    await source.close();
  }
}

/** Where the first table and the data begin. */
function layout(): { table: number; tableSize: number; rootCluster: number } {
  const boot = readFileSync(image).subarray(0, 512);
  const tableSize = (boot.readUInt16LE(22) || boot.readUInt32LE(36)) * 512;
  return { table: boot.readUInt16LE(14) * 512, tableSize, rootCluster: boot.readUInt32LE(44) };
}

for (const { bits, stateByte } of MADE) {
  test(`FAT${bits}: clean, dirty by the state byte, dirty by the table`, async () => {
    fresh(bits);
    assert.equal(await state(), { kind: 'clean', reason: '', advice: '' });
    poke(stateByte, [1]);
    const dirty = await state();
    assert.is(dirty.kind, 'dirty');
    assert.match(dirty.advice, /fsck\.vfat/);
    poke(stateByte, [2]);
    assert.match((await state()).reason, /errors/);
    poke(stateByte, [0]);
    if (bits === 12) return;
    const at = layout().table + (bits === 16 ? 3 : 7);
    const whole = bits === 16 ? 0xff : 0x0f;
    const clean = bits === 16 ? 0x80 : 0x08;
    poke(at, [whole & ~clean]);
    assert.match((await state()).reason, /not unmounted/);
    poke(at, [whole & ~(clean >> 1)]);
    assert.match((await state()).reason, /errors/);
  });

  test(`FAT${bits}: cut off`, async () => {
    fresh(bits);
    truncateSync(image, 2 * MiB);
    assert.is((await state()).kind, 'incomplete');
    const source = fileSource(image);
    const info = await fat.probe(source);
    assert.is(info?.size, 2 * MiB);
    assert.ok(info);
    await rejects(fat.openAllocationMap(source, info));
    await rejects(fat.token(source, info));
    await source.close();
  });

  test(`FAT${bits}: the token changes with every write and stays otherwise`, async () => {
    fresh(bits);
    const path = join(scratch, `file-${bits}`);
    const before = await token();
    run('mdir', ['-i', image, '-/', '::/']);
    assert.is(await token(), before);
    const seen = new Set([before]);
    const changed = async (what: string): Promise<void> => {
      const now = await token();
      assert.not(seen.has(now), what);
      seen.add(now);
    };
    writeFileSync(path, 'a'.repeat(9000));
    run('mcopy', ['-i', image, path, '::/Folder with a long name 1/deep/f']);
    await changed('a file in a folder');
    run('mattrib', ['-i', image, '+r', '::/Folder with a long name 1/deep/f']);
    await changed('an attribute');
    run('mren', ['-i', image, '::/Folder with a long name 1/deep/f', '::/Folder with a long name 1/deep/g']);
    await changed('a name');
    run('mdeltree', ['-i', image, '::/Folder with a long name 1']);
    await changed('a tree deleted');
    run('mlabel', ['-i', image, '::OTHER']);
    await changed('a label');
  });
}

test('the token of a damaged tree covers the data of all files', async () => {
  fresh(32);
  const { table, rootCluster, tableSize } = layout();
  // The root directory's chain leads back to itself.
  const entry = Buffer.alloc(4);
  entry.writeUInt32LE(rootCluster, 0);
  for (const start of [table, table + tableSize]) poke(start + rootCluster * 4, entry);
  const before = await token();
  assert.is(await token(), before);
  const bytes = readFileSync(image);
  const late = readFileSync(join(scratch, 'work-32', 'late 0')).subarray(0, 300);
  const at = bytes.indexOf(late);
  assert.ok(at > 0);
  poke(at, [(late[0] ?? 0) ^ 1]);
  assert.is.not(await token(), before);
});

test('a file overwritten in place shows by its time stamp', async () => {
  fresh(16);
  const path = join(scratch, 'work-16', 'late 0');
  const before = await token();
  const content = readFileSync(path);
  content[5] = (content[5] ?? 0) ^ 1;
  writeFileSync(path, content);
  utimesSync(path, 1_000_000_000, 1_000_000_000);
  run('mcopy', ['-i', image, '-D', 'o', '-m', path, '::/late 0']);
  assert.is.not(await token(), before);
});

test('labels: the root directory counts, then the boot sector, "NO NAME" is none', async () => {
  for (const { bits } of MADE) {
    fresh(bits);
    run('mlabel', ['-i', image, '::RENAMED']);
    assert.is((await probe())?.label, 'RENAMED');
    assert.is((await probe())?.uuid, '00AB-CD12');
    run('mlabel', ['-i', image, '-c', '::']);
    const label = (await probe())?.label;
    assert.ok(label === '' || label === 'SAMPLE' || label === 'RENAMED', label);
  }
});

test('what is no FAT', async () => {
  fresh(16);
  const good = readFileSync(image).subarray(0, 512);
  const other = join(scratch, 'other');
  const probed = async (change: (bytes: Buffer) => void): Promise<boolean> => {
    const bytes = Buffer.alloc(MiB);
    good.copy(bytes);
    change(bytes);
    writeFileSync(other, bytes);
    return (await probe(other)) !== undefined;
  };
  assert.ok(await probed(() => {}));
  assert.not(await probed((bytes) => bytes.writeUInt16LE(0, 510)));
  assert.not(await probed((bytes) => bytes.write('NTFS    ', 3)));
  assert.not(await probed((bytes) => bytes.write('EXFAT   ', 3)));
  assert.not(await probed((bytes) => bytes.write('-FVE-FS-', 3)));
  assert.not(await probed((bytes) => bytes.write('3bd66749292ed84a8399f6a339e3d001', 424, 'hex')));
  assert.not(await probed((bytes) => bytes.writeUInt16LE(500, 11)));
  assert.not(await probed((bytes) => bytes.writeUInt8(3, 13)));
  assert.not(await probed((bytes) => bytes.writeUInt8(0, 16)));
  assert.not(await probed((bytes) => bytes.writeUInt16LE(0, 14)));
  assert.not(await probed((bytes) => bytes.writeUInt8(0x12, 21)));
  // A master boot record with one partition that kept a BPB but not its name.
  assert.not(await probed((bytes) => bytes.fill(0, 0x36, 0x3e).fill(0, 446, 510).writeUInt8(7, 450)));
  truncateSync(other, 8 * MiB);
  run('mkntfs', ['-F', '-Q', '-q', '-p', '0', '-H', '0', '-S', '0', '-s', '512', other]);
  assert.is(await probe(other), undefined);
  run('mkfs.exfat', [other]);
  assert.is(await probe(other), undefined);
  writeFileSync(other, '');
  assert.is(await probe(other), undefined);
});

test('a table that is too small for the clusters, or does not begin as one, is refused', async () => {
  fresh(32);
  const { table } = layout();
  const source = fileSource(image);
  const info = await fat.probe(source);
  assert.ok(info);
  poke(table, [0, 0, 0, 0]);
  await rejects(fat.openAllocationMap(source, info));
  fresh(32);
  poke(36, [16, 0, 0, 0]);
  await rejects(fat.openAllocationMap(source, info));
  assert.is((await state()).kind, 'dirty');
  await source.close();
});

async function rejects(promise: Promise<unknown>): Promise<void> {
  try {
    await promise;
  } catch (error) {
    assert.instance(error, FormatError);
    return;
  }
  assert.unreachable('a FormatError was expected');
}

test.run();
