// exFAT states, tokens, labels and what is no exFAT.

import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { exfat } from '../../src/filesystem/exfat/plugin.js';
import type { FilesystemState } from '../../src/filesystem/plugin.js';
import { recognise } from '../../src/filesystem/registry.js';
import { memoryTarget } from '../../src/source/memory.js';
import { exfatLayout, fillExfat, makeExfat, runExfat, sealExfat, withExfatMounted } from '../support/exfat-volume.js';
import { thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const scratch = scratchFolder();
const pristine = join(scratch, 'pristine');
const image = join(scratch, 'image');
makeExfat(pristine, { size: 20 * MiB, clusterSize: 4096 });
withExfatMounted(pristine, (folder) => fillExfat(folder, randomFrom(SEED), { budget: 3 * MiB }));

function fresh(): Buffer {
  return readFileSync(pristine);
}

async function stateOf(bytes: Buffer): Promise<FilesystemState> {
  const volume = memoryTarget(bytes);
  const info = await exfat.probe(volume);
  assert.ok(info);
  return exfat.readState(volume, info);
}

async function tokenOf(bytes: Buffer): Promise<string> {
  const volume = memoryTarget(bytes);
  const info = await exfat.probe(volume);
  assert.ok(info);
  return (await exfat.token(volume, info)).toString('hex');
}

async function mapError(bytes: Buffer): Promise<unknown> {
  const volume = memoryTarget(bytes);
  const info = await exfat.probe(volume);
  assert.ok(info);
  return thrownBy(() => exfat.openAllocationMap(volume, info));
}

test('clean, not unmounted, media failure', async () => {
  const bytes = fresh();
  assert.equal(await stateOf(bytes), { kind: 'clean', reason: '', advice: '' });
  bytes.writeUInt16LE(2, 106);
  const dirty = await stateOf(bytes);
  assert.is(dirty.kind, 'dirty');
  assert.match(dirty.reason, /not unmounted/);
  assert.match(dirty.advice, /fsck\.exfat/);
  bytes.writeUInt16LE(4, 106);
  assert.match((await stateOf(bytes)).reason, /errors/);
  bytes.writeUInt16LE(8, 106);
  assert.is((await stateOf(bytes)).kind, 'clean', 'ClearToZero means nothing');
});

test('while a driver writes, the volume is dirty', async () => {
  copyFileSync(pristine, image);
  const during = withExfatMounted(image, (folder) => {
    writeFileSync(join(folder, 'new'), 'new');
    return readFileSync(image);
  });
  assert.is((await stateOf(during)).kind, 'dirty');
  assert.is((await stateOf(readFileSync(image))).kind, 'clean');
});

test('a wrong checksum of the main boot region; a lost backup does not matter', async () => {
  const bytes = fresh();
  bytes.writeUInt8(0x55, 3 * 512 + 7);
  assert.match((await stateOf(bytes)).reason, /checksum/);
  assert.instance(await mapError(bytes), FormatError);
  writeFileSync(image, bytes);
  assert.is.not(tryRun('fsck.exfat', ['-n', image]).status, 0);
  sealExfat(bytes);
  assert.is((await stateOf(bytes)).kind, 'clean');
  bytes.fill(0, 12 * 512, 24 * 512);
  assert.is((await stateOf(bytes)).kind, 'clean');
  assert.is(await mapError(bytes), undefined);
});

test('cut off', async () => {
  const bytes = fresh().subarray(0, 8 * MiB);
  assert.is((await stateOf(bytes)).kind, 'incomplete');
  assert.instance(await mapError(bytes), FormatError);
  const volume = memoryTarget(bytes);
  const info = await exfat.probe(volume);
  assert.is(info?.size, 8 * MiB);
  assert.ok(info);
  assert.instance(await thrownBy(() => exfat.token(volume, info)), FormatError);
});

test('damage that the map refuses', async () => {
  const { root, heap, table } = exfatLayout(fresh());
  let entry = root;
  while (fresh().readUInt8(entry) !== 0x81) entry += 32;
  const damages: Record<string, (bytes: Buffer) => void> = {
    'no bitmap': (bytes) => bytes.writeUInt8(0x01, entry),
    'a bitmap that is too short': (bytes) => bytes.writeUInt32LE(3, entry + 24),
    'a bitmap outside': (bytes) => bytes.writeUInt32LE(0xffff0000, entry + 20),
    'a bitmap that calls itself free': (bytes) => bytes.fill(0, heap, heap + 600),
    'a root that leads to itself': (bytes) => {
      const cluster = (root - heap) / 4096 + 2;
      for (let at = root; at < root + 4096; at += 32) if (bytes.readUInt8(at) === 0) bytes.writeUInt8(5, at);
      bytes.writeUInt8(1, entry);
      bytes.writeUInt32LE(cluster, table + cluster * 4);
    },
  };
  for (const [name, damage] of Object.entries(damages)) {
    const bytes = fresh();
    damage(bytes);
    assert.instance(await mapError(bytes), FormatError, name);
    assert.is((await stateOf(bytes)).kind, 'dirty', name);
  }
});

test('the token changes with every write and stays otherwise', async () => {
  copyFileSync(pristine, image);
  const seen = new Set([await tokenOf(readFileSync(image))]);
  withExfatMounted(image, () => {}, { readOnly: true });
  assert.ok(seen.has(await tokenOf(readFileSync(image))), 'a reading mount');
  const changed = async (what: string, action: (folder: string) => void): Promise<void> => {
    withExfatMounted(image, action);
    const now = await tokenOf(readFileSync(image));
    assert.not(seen.has(now), what);
    seen.add(now);
  };
  await changed('a new file deep down', (folder) => {
    mkdirSync(join(folder, 'folder 1/ü2/deeper/still'), { recursive: true });
    writeFileSync(join(folder, 'folder 1/ü2/deeper/still/f'), 'a'.repeat(9000));
  });
  await changed('a time', (folder) => utimesSync(join(folder, 'folder 1/ü2/deeper/still/f'), 1e9, 1e9));
  await changed('an overwrite in place', (folder) => {
    writeFileSync(join(folder, 'folder 1/ü2/deeper/still/f'), 'b'.repeat(9000), { flag: 'r+' });
  });
  await changed('a name', (folder) => {
    renameSync(join(folder, 'folder 1/ü2/deeper/still/f'), join(folder, 'folder 1/ü2/deeper/still/g'));
  });
  await changed('a tree deleted', (folder) => rmSync(join(folder, 'folder 1'), { recursive: true }));
  runExfat('exfatlabel', [image, 'OTHER']);
  assert.not(seen.has(await tokenOf(readFileSync(image))), 'a label');
});

test('the token of a damaged tree covers the data of all files', async () => {
  const bytes = fresh();
  const { root } = exfatLayout(bytes);
  let file = root;
  while (bytes.readUInt8(file) !== 0x85 || (bytes.readUInt8(file + 4) & 0x10) === 0) file += 32;
  bytes.writeUInt32LE(0xfffff000, file + 32 + 20);
  const before = await tokenOf(bytes);
  assert.is(await tokenOf(bytes), before);
  const late = withExfatMounted(pristine, (folder) => readFileSync(join(folder, 'late 0')).subarray(0, 300), {
    readOnly: true,
  });
  const at = bytes.indexOf(late);
  assert.ok(at > 0);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  assert.is.not(await tokenOf(bytes), before);
});

test('labels and serials as blkid prints them', async () => {
  const labelOf = async (): Promise<string | undefined> =>
    (await exfat.probe(memoryTarget(readFileSync(image))))?.label;
  copyFileSync(pristine, image);
  for (const label of ['', 'ELEVENCHARS', 'ж日本 x']) {
    runExfat('exfatlabel', [image, label]);
    assert.is(await labelOf(), label);
    assert.is(run('blkid', ['-p', '-o', 'value', '-s', 'LABEL', image]).trim(), label);
  }
  runExfat('exfatlabel', ['-i', image, '0x0000ab01']);
  const info = await exfat.probe(memoryTarget(readFileSync(image)));
  assert.is(info?.uuid, '0000-AB01');
});

test('what is no exFAT', async () => {
  const probed = async (change: (bytes: Buffer) => void): Promise<boolean> => {
    const bytes = fresh();
    change(bytes);
    return (await exfat.probe(memoryTarget(bytes))) !== undefined;
  };
  assert.ok(await probed(() => {}));
  assert.not(await probed((bytes) => bytes.writeUInt16LE(0, 510)));
  assert.not(await probed((bytes) => bytes.write('NTFS    ', 3)));
  assert.not(await probed((bytes) => bytes.writeUInt8(1, 40)), 'a FAT has its numbers there');
  assert.not(await probed((bytes) => bytes.writeUInt8(8, 108)));
  assert.not(await probed((bytes) => bytes.writeUInt8(20, 109)));
  assert.not(await probed((bytes) => bytes.writeUInt8(3, 110)));
  assert.not(await probed((bytes) => bytes.writeUInt32LE(0xffffffff, 92)));
  assert.not(await probed((bytes) => bytes.writeUInt32LE(1, 96)));
  assert.not(await probed((bytes) => bytes.writeUInt32LE(4, 80)));
  assert.not(await probed((bytes) => bytes.fill(0xff, 72, 80)));
  assert.equal(
    (await recognise(memoryTarget(fresh()))).map(({ plugin }) => plugin.name),
    ['exfat'],
  );
  copyFileSync(pristine, image);
  truncateSync(image, 512);
  assert.is(await exfat.probe(memoryTarget(readFileSync(image))), undefined);
  assert.is(await exfat.probe(memoryTarget(Buffer.alloc(0))), undefined);
});

test.run();
