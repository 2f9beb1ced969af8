// NTFS states and tokens, made by ntfs-3g and by the byte.

import { closeSync, copyFileSync, openSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { ntfs } from '../../src/filesystem/ntfs/plugin.js';
import type { FilesystemState } from '../../src/filesystem/plugin.js';
import { fileSource } from '../support/file-source.js';
import { withNtfsMounted } from '../support/ntfs-mount.js';
import { attributeOffset, recordOffset, restartPage } from '../support/ntfs-structures.js';
import { fillFolder, makeNtfs } from '../support/ntfs-volume.js';
import { randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const CLUSTER = 4096;
const scratch = scratchFolder();
const pristine = join(scratch, 'pristine');
const image = join(scratch, 'image');

makeNtfs(pristine, { size: 32 * MiB, clusterSize: CLUSTER });
await withNtfsMounted(pristine, (folder) => fillFolder(folder, randomFrom(SEED), { budget: 4 * MiB }));

test.before.each(() => copyFileSync(pristine, image));

async function state(): Promise<FilesystemState> {
  const source = fileSource(image);
  try {
    const info = await ntfs.probe(source);
    assert.ok(info);
    return await ntfs.readState(source, info);
  } finally {
    await source.close();
  }
}

async function token(): Promise<string> {
  const source = fileSource(image);
  try {
    const info = await ntfs.probe(source);
    assert.ok(info);
    return (await ntfs.token(source, info)).toString('hex');
  } finally {
    await source.close();
  }
}

function poke(offset: number, bytes: Buffer | number[]): void {
  const fd = openSync(image, 'r+');
  writeSync(fd, Buffer.from(bytes), 0, bytes.length, offset);
  closeSync(fd);
}

function setVolumeFlags(flags: number): void {
  poke(attributeOffset(image, 3, 0x70) + 10, [flags & 255, flags >> 8]);
}

test('clean after a proper unmount', async () => {
  assert.equal(await state(), { kind: 'clean', reason: '', advice: '' });
});

test('the dirty flag; other flags are work for the next mount, not damage', async () => {
  setVolumeFlags(0x0001);
  const { kind, reason, advice } = await state();
  assert.is(kind, 'dirty');
  assert.match(reason, /marked dirty/);
  assert.match(advice, /chkdsk/);
  setVolumeFlags(0x4000);
  assert.is((await state()).kind, 'dirty');
  setVolumeFlags(0x8000 | 0x0002 | 0x0010);
  assert.is((await state()).kind, 'clean');
});

test('ntfsfix marks a volume dirty for chkdsk, and is believed', async () => {
  run('ntfsfix', [image]);
  assert.is((await state()).kind, 'dirty');
});

test('$LogFile: closed, open, empty, version 2.0, torn', async () => {
  const log = attributeOffset(image, 2, 0x80);
  const judge = async (first: Buffer, second: Buffer): Promise<string> => {
    poke(log, Buffer.alloc(64 * 1024));
    poke(log, first);
    poke(log + 4096, second);
    return (await state()).kind;
  };
  const closed = restartPage({});
  assert.is(await judge(closed, restartPage({ lsn: 99 })), 'clean');
  assert.is(await judge(restartPage({ client: 0, flags: 2 }), closed), 'clean');
  assert.is(await judge(restartPage({ client: 0, lsn: 101 }), closed), 'dirty');
  assert.is(await judge(closed, restartPage({ client: 0, lsn: 101 })), 'dirty');
  assert.is(await judge(restartPage({ client: 0, lsn: 99 }), closed), 'clean');
  assert.is(await judge(restartPage({ major: 2, minor: 0 }), restartPage({ lsn: 99 })), 'hibernated');
  assert.is(await judge(Buffer.alloc(4096), Buffer.alloc(4096)), 'dirty');
  const torn = Buffer.from(closed);
  torn.writeUInt16LE(8, 1022);
  assert.is(await judge(torn, closed), 'dirty');
  poke(log, Buffer.alloc(64 * 1024, 0xff));
  assert.is((await state()).kind, 'clean');
});

test('ntfs-3g judges the same logs the same way', async () => {
  const PROBED = { clean: 0, hibernated: 14, dirty: 15 } as const;
  const log = attributeOffset(image, 2, 0x80);
  const cases = [
    { page: {}, kind: 'clean' },
    { page: { client: 0 }, kind: 'dirty' },
    { page: { client: 0, flags: 2 }, kind: 'clean' },
    { page: { major: 2, minor: 0 }, kind: 'hibernated' },
  ] as const;
  for (const { page, kind } of cases) {
    poke(log, restartPage(page));
    poke(log + 4096, restartPage({ ...page, lsn: 99 }));
    assert.is((await state()).kind, kind);
    assert.is(tryRun('ntfs-3g.probe', ['--readwrite', image]).status, PROBED[kind], JSON.stringify(page));
  }
});

const HIBERNATED: readonly (readonly [string, Buffer, FilesystemState['kind']])[] = [
  ['hiberfil.sys', Buffer.concat([Buffer.from('hibr'), Buffer.alloc(9000)]), 'hibernated'],
  ['HIBERFIL.SYS', Buffer.concat([Buffer.from('HIBR'), Buffer.alloc(9000)]), 'hibernated'],
  ['hiberfil.sys', Buffer.from('short'), 'hibernated'],
  // Restoring began and may be tried again: the session still counts.
  ['hiberfil.sys', Buffer.concat([Buffer.from('wake'), Buffer.alloc(9000)]), 'hibernated'],
  ['hiberfil.sys', Buffer.concat([Buffer.from('WAKE'), Buffer.alloc(9000)]), 'hibernated'],
  ['hiberfil.sys', Buffer.concat([Buffer.from('RSTR'), Buffer.alloc(9000)]), 'hibernated'],
  ['hiberfil.sys', Buffer.concat([Buffer.from('link'), Buffer.alloc(9000)]), 'hibernated'],
  ['hiberfil.sys', Buffer.alloc(9000), 'clean'],
  ['hiberfil.sys.old', Buffer.concat([Buffer.from('hibr'), Buffer.alloc(9000)]), 'clean'],
];

for (const [name, content, kind] of HIBERNATED) {
  test(`${name} with ${JSON.stringify(content.toString('latin1', 0, 4))}, ${content.length} bytes: ${kind}`, async () => {
    await withNtfsMounted(image, (folder) => writeFileSync(join(folder, name), content));
    const seen = await state();
    assert.is(seen.kind, kind);
    if (kind === 'hibernated') assert.match(seen.advice, /Shift/);
  });
}

test('hiberfil.sys is found in a root directory of many blocks, and a deleted one is not', async () => {
  await withNtfsMounted(image, (folder) => {
    for (let index = 0; index < 600; index += 1) writeFileSync(join(folder, `${index} some long name ${index}`), '');
    writeFileSync(join(folder, 'hiberfil.sys'), Buffer.concat([Buffer.from('hibr'), Buffer.alloc(9000)]));
  });
  assert.is((await state()).kind, 'hibernated');
  await withNtfsMounted(image, () => {}, { options: 'remove_hiberfile' });
  assert.is((await state()).kind, 'clean');
});

test('a volume that was cut off is incomplete, and its map is refused', async () => {
  truncateSync(image, 20 * MiB);
  const seen = await state();
  assert.is(seen.kind, 'incomplete');
  assert.match(seen.reason, /MiB/);
  const source = fileSource(image);
  const info = await ntfs.probe(source);
  assert.ok(info);
  assert.is(info.size, 20 * MiB);
  await rejects(ntfs.openAllocationMap(source, info));
});

test('a $Bitmap that calls $MFT free is refused', async () => {
  const source = fileSource(image);
  const info = await ntfs.probe(source);
  assert.ok(info);
  const mft = recordOffset(image, 0) / CLUSTER;
  const bitmap = attributeOffset(image, 6, 0x80);
  poke(bitmap + (mft >> 3), [0]);
  await rejects(ntfs.openAllocationMap(source, info));
});

test('a torn MFT record is damage, not a crash', async () => {
  poke(recordOffset(image, 5) + 510, [0xab, 0xcd]);
  assert.is((await state()).kind, 'dirty');
});

test('the token stays when nobody writes', async () => {
  const before = await token();
  assert.is(before.length, 32);
  assert.is(await token(), before);
  await withNtfsMounted(image, () => {}, { options: 'ro' });
  assert.is(await token(), before);
});

const WRITES: readonly (readonly [string, (folder: string) => void])[] = [
  ['a new file', (folder) => writeFileSync(join(folder, 'new'), '')],
  ['one byte overwritten', (folder) => overwrite(join(folder, 'sparse'), 'x', 20_000_100)],
  ['one byte of a resident file', (folder) => overwrite(join(folder, 'tiny'), 'x', 1)],
  ['identical bytes written again', (folder) => overwrite(join(folder, 'big'), 'a', 70_000)],
  ['a file deleted', (folder) => run('rm', [join(folder, 'sparse')])],
  ['a file renamed', (folder) => run('mv', [join(folder, 'sparse'), join(folder, 'renamed')])],
];

function overwrite(path: string, text: string, offset: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, text, offset);
  closeSync(fd);
}

for (const [what, write] of WRITES) {
  test(`the token changes: ${what}`, async () => {
    await withNtfsMounted(image, (folder) => {
      writeFileSync(join(folder, 'tiny'), 'tiny');
      writeFileSync(join(folder, 'big'), 'a'.repeat(100_000));
    });
    const before = await token();
    await withNtfsMounted(image, (folder) => write(folder));
    assert.is.not(await token(), before);
  });
}

test('the token changes when ntfs-3g is killed while it writes', async () => {
  const before = await token();
  await withNtfsMounted(image, (folder) => writeFileSync(join(folder, 'killed'), 'x'.repeat(50_000)), { killed: true });
  assert.is.not(await token(), before);
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
