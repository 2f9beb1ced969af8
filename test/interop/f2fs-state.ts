// F2FS states, tokens, labels and what is no F2FS.

import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { f2fs } from '../../src/filesystem/f2fs/plugin.js';
import type { FilesystemState } from '../../src/filesystem/plugin.js';
import { recognise } from '../../src/filesystem/registry.js';
import { memoryTarget } from '../../src/source/memory.js';
import { f2fsCrc, f2fsLayout, fillF2fs, makeF2fs, sealF2fs } from '../support/f2fs-volume.js';
import { thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const BLOCK = 4096;
const SB = 1024;
const scratch = scratchFolder();
const pristine = join(scratch, 'pristine');
const image = join(scratch, 'image');
makeF2fs(pristine, { size: 112 * MiB, options: ['-O', 'extra_attr,sb_checksum'] });
mkdirSync(join(scratch, 'tree'));
fillF2fs(pristine, join(scratch, 'tree'), randomFrom(SEED), { budget: 2 * MiB });

function fresh(): Buffer {
  return readFileSync(pristine);
}

async function stateOf(bytes: Buffer): Promise<FilesystemState> {
  const volume = memoryTarget(bytes);
  const info = await f2fs.probe(volume);
  assert.ok(info);
  return f2fs.readState(volume, info);
}

async function tokenOf(bytes: Buffer): Promise<string> {
  const volume = memoryTarget(bytes);
  const info = await f2fs.probe(volume);
  assert.ok(info);
  return (await f2fs.token(volume, info)).toString('hex');
}

async function mapError(bytes: Buffer): Promise<unknown> {
  const volume = memoryTarget(bytes);
  const info = await f2fs.probe(volume);
  assert.ok(info);
  return thrownBy(() => f2fs.openAllocationMap(volume, info));
}

/** With other flags in the newest checkpoint. */
function flagged(change: (flags: number) => number): Buffer {
  const bytes = fresh();
  const { head, flags } = f2fsLayout(bytes);
  bytes.writeUInt32LE(change(flags) >>> 0, head + 132);
  sealF2fs(bytes);
  return bytes;
}

test('clean, not unmounted, errors, to be checked', async () => {
  assert.equal(await stateOf(fresh()), { kind: 'clean', reason: '', advice: '' });
  const mounted = flagged((flags) => flags & ~1);
  const state = await stateOf(mounted);
  assert.is(state.kind, 'needs-replay');
  assert.match(state.advice, /Mount it once/);
  assert.instance(await mapError(mounted), FormatError);
  for (const flag of [0x8, 0x10, 0x4000]) {
    const dirty = await stateOf(flagged((flags) => flags | flag));
    assert.is(dirty.kind, 'dirty');
    assert.match(dirty.advice, /fsck\.f2fs/);
  }
  assert.is((await stateOf(flagged((flags) => flags | 0x1000))).kind, 'needs-replay');
  assert.is((await stateOf(flagged((flags) => flags | 0x2))).kind, 'clean', 'orphans are cleaned at the next mount');
});

test('no whole checkpoint', async () => {
  const bytes = fresh();
  const { checkpoint } = f2fsLayout(bytes);
  for (const pack of [0, 512])
    bytes.writeUInt8(bytes.readUInt8(checkpoint + pack * BLOCK + 300) ^ 1, checkpoint + pack * BLOCK + 300);
  assert.is((await stateOf(bytes)).kind, 'dirty');
  assert.instance(await mapError(bytes), FormatError);
  assert.instance(await thrownBy(() => tokenOf(bytes)), FormatError);
});

test('a wrong checksum of the superblock', async () => {
  const bytes = fresh();
  bytes.writeUInt8(7, SB + 1700);
  assert.match((await stateOf(bytes)).reason, /checksum/);
  assert.instance(await mapError(bytes), FormatError);
  bytes.writeUInt32LE(f2fsCrc(bytes.subarray(SB, SB + 3068)), SB + 3068);
  assert.is((await stateOf(bytes)).kind, 'clean');
});

/** Changes the superblock and makes its checksum right again. */
function resealed(change: (superblock: Buffer) => void): Buffer {
  const bytes = fresh();
  change(bytes.subarray(SB, SB + 3072));
  bytes.writeUInt32LE(f2fsCrc(bytes.subarray(SB, SB + 3068)), SB + 3068);
  return bytes;
}

test('cut off, more devices, unknown features', async () => {
  const cut = fresh().subarray(0, 100 * MiB);
  assert.is((await stateOf(cut)).kind, 'incomplete');
  assert.instance(await mapError(cut), FormatError);
  const several = resealed((superblock) => superblock.write('/dev/sdb', 2201 + 68));
  assert.is((await stateOf(several)).kind, 'incomplete');
  assert.instance(await mapError(several), FormatError);
  for (const feature of [0x2, 0x20000]) {
    const unknown = resealed((superblock) => superblock.writeUInt32LE(superblock.readUInt32LE(2180) | feature, 2180));
    const state = await stateOf(unknown);
    assert.is(state.kind, 'unsupported');
    assert.match(state.reason, new RegExp(`0x${feature.toString(16)}`));
  }
});

test('devices as mkfs.f2fs writes them down', async () => {
  const [one, two] = [join(scratch, 'device-1'), join(scratch, 'device-2')];
  for (const path of [one, two]) writeFileSync(path, Buffer.alloc(80 * MiB));
  const { status } = tryRun('mkfs.f2fs', ['-q', '-f', '-c', two, one]);
  assert.is(status, 0);
  assert.is((await stateOf(readFileSync(one))).kind, 'incomplete');
});

test('the token changes with every checkpoint and every label', async () => {
  copyFileSync(pristine, image);
  const before = await tokenOf(readFileSync(image));
  assert.is(await tokenOf(readFileSync(image)), before);
  run('fsck.f2fs', ['-f', '--dry-run', image]);
  assert.is(await tokenOf(readFileSync(image)), before, 'a check that writes nothing');
  const more = join(scratch, 'more');
  mkdirSync(more);
  writeFileSync(join(more, 'another'), 'file');
  run('sload.f2fs', ['-f', more, image]);
  const filled = await tokenOf(readFileSync(image));
  assert.is.not(filled, before);
  if (tryRun('sh', ['-c', 'command -v f2fslabel']).status === 0) {
    run('f2fslabel', [image, 'other']);
    assert.is.not(await tokenOf(readFileSync(image)), filled);
  }
});

test('damage that the map refuses', async () => {
  const { sit, summary, head } = f2fsLayout(fresh());
  const counted = Array.from({ length: 20 }, (_, segment) => sit + segment * 74).find(
    (at) => (fresh().readUInt16LE(at) & 0x3ff) > 0,
  );
  assert.ok(counted);
  const damages: Record<string, (bytes: Buffer) => void> = {
    'a count that is not that of the bits': (bytes) => bytes.writeUInt16LE(bytes.readUInt16LE(counted) ^ 1, counted),
    'a bit more': (bytes) => bytes.writeUInt8(bytes.readUInt8(counted + 60) ^ 1, counted + 60),
    'a segment less': (bytes) => bytes.fill(0, counted, counted + 66),
    'a journal of a hundred': (bytes) => bytes.writeUInt16LE(100, summary + 2 * BLOCK + 3584),
    'a summary nowhere': (bytes) => {
      bytes.writeUInt32LE(77, head + 140);
      sealF2fs(bytes);
    },
    'a version bitmap of another size': (bytes) => {
      bytes.writeUInt32LE(bytes.readUInt32LE(head + 156) + 8, head + 156);
      sealF2fs(bytes);
    },
  };
  for (const [name, damage] of Object.entries(damages)) {
    const bytes = fresh();
    damage(bytes);
    assert.instance(await mapError(bytes), FormatError, name);
  }
});

test('what is no F2FS', async () => {
  const probed = async (bytes: Buffer): Promise<boolean> => (await f2fs.probe(memoryTarget(bytes))) !== undefined;
  assert.ok(await probed(fresh()));
  assert.not(await probed(Buffer.alloc(0)));
  assert.not(await probed(fresh().subarray(0, 4095)));
  assert.not(await probed(Buffer.alloc(8 * MiB)));
  const changes: Record<string, (superblock: Buffer) => void> = {
    'another magic': (superblock) => superblock.writeUInt32LE(0xf2f52011, 0),
    'blocks of 16 KiB': (superblock) => superblock.writeUInt32LE(14, 16),
    'larger segments': (superblock) => superblock.writeUInt32LE(10, 20),
    'areas that overlap': (superblock) => superblock.writeUInt32LE(superblock.readUInt32LE(92) - 1, 92),
    'a main area beyond the end': (superblock) => superblock.writeUInt32LE(0x7fffffff, 68),
    'no main area': (superblock) => superblock.writeUInt32LE(0, 68),
    'three checkpoints': (superblock) => superblock.writeUInt32LE(3, 52),
    'a payload as long as a pack': (superblock) => superblock.writeUInt32LE(510, 1664),
  };
  for (const [name, change] of Object.entries(changes)) assert.not(await probed(resealed(change)), name);
  assert.equal(
    (await recognise(memoryTarget(fresh()))).map(({ plugin }) => plugin.name),
    ['f2fs'],
  );
});

test.run();
