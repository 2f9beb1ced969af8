// Every file system with a new ID: blkid shows it, its checker finds nothing, all files are there, it can be used beside
// its source, and a second view is the same to the byte. The source is untouched.

import { mkdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { drawId, formOf, idBytes } from '../../src/reshape/identity/id-forms.js';
import { newIdStep, whyNoNewId } from '../../src/reshape/identity/new-id.js';
import { openDiskSource } from '../../src/source/disk.js';
import { makeBtrfs } from '../support/btrfs-image.js';
import { makeImage } from '../support/ext4-image.js';
import { makeF2fs } from '../support/f2fs-volume.js';
import { HAS_LOOP } from '../support/loop.js';
import type { Content } from '../support/partition-content.js';
import { thrownBy } from '../support/partition-disk.js';
import { type Random, randomFrom, SEED, sampleOf } from '../support/random.js';
import { judgeView, makeScene, OFFSET, type Scene } from '../support/reshape.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

interface Kind {
  readonly filesystem: string;
  readonly content: Content;
  /** In MiB. */
  readonly size: number;
  /** Missing: nothing changes its size, or the kernel does, with times of its own. */
  readonly resized?: number;
}

const ext = (...options: string[]): Content => ({ kind: 'ext', options });

const KINDS: readonly Kind[] = [
  { filesystem: 'ext4', content: ext('-t', 'ext4', '-O', 'metadata_csum,^metadata_csum_seed'), size: 40, resized: 32 },
  { filesystem: 'ext4', content: ext('-t', 'ext4', '-O', 'metadata_csum,metadata_csum_seed'), size: 24 },
  { filesystem: 'ext3', content: ext('-t', 'ext3', '-b', '1024'), size: 24, resized: 28 },
  { filesystem: 'ext2', content: ext('-t', 'ext2'), size: 16 },
  { filesystem: 'xfs', content: { kind: 'xfs', options: [] }, size: 64, resized: 80 },
  { filesystem: 'btrfs', content: { kind: 'btrfs', options: [] }, size: 120, resized: 260 },
  { filesystem: 'btrfs', content: { kind: 'btrfs', options: ['--csum', 'xxhash'] }, size: 120 },
  { filesystem: 'f2fs', content: { kind: 'f2fs', options: [] }, size: 80 },
  { filesystem: 'f2fs', content: { kind: 'f2fs', options: ['-O', 'sb_checksum'] }, size: 80 },
  { filesystem: 'fat12', content: { kind: 'fat', bits: 12 }, size: 8 },
  { filesystem: 'fat16', content: { kind: 'fat', bits: 16 }, size: 24 },
  { filesystem: 'fat32', content: { kind: 'fat', bits: 32, sectorsPerCluster: 1 }, size: 40, resized: 50 },
  { filesystem: 'exfat', content: { kind: 'exfat', clusterSize: 4096 }, size: 24 },
  { filesystem: 'ntfs', content: { kind: 'ntfs', clusterSize: 4096 }, size: 24, resized: 15.5 + 1 / 2048 },
  { filesystem: 'swap', content: { kind: 'swap' }, size: 8, resized: 12 },
];
/** The kernel takes part in changing their size. */
const UNREPEATABLE = ['xfs', 'btrfs'];
/** The kernel here mounts them, and refuses two of the same ID or takes one for the other. */
const MOUNTED = ['ext4', 'xfs', 'btrfs'];

const folder = scratchFolder();

function blkid(path: string): string {
  return run('blkid', ['-p', '-o', 'value', '-s', 'UUID', path]).trim();
}

/** Headers that lie more than once bear the new ID in all places. */
function assertCopies(
  dump: string,
  { filesystem, oldId, newId }: { filesystem: string; oldId: string; newId: string },
): void {
  const bytes = readFileSync(dump);
  const at = (offset: number): Buffer => bytes.subarray(offset, offset + idBytes(newId).length);
  if (filesystem === 'exfat') {
    // The state and the share in use change in the main region only.
    for (const unlike of [106, 107, 112]) bytes[unlike] = bytes[12 * 512 + unlike] ?? 0;
    assert.ok(bytes.subarray(0, 12 * 512).equals(bytes.subarray(12 * 512, 24 * 512)));
  }
  if (filesystem === 'fat32') assert.ok(at(6 * 512 + 0x43).equals(idBytes(newId)));
  if (filesystem === 'f2fs') assert.ok(at(4096 + 1024 + 108).equals(idBytes(newId)));
  if (filesystem === 'ntfs') assert.not(bytes.includes(idBytes(oldId)));
}

/** The volume as it lies on the source. */
function cutOut({ disk, size, scratch }: Scene): string {
  const path = join(scratch, 'source volume');
  run('dd', [`if=${disk}`, `of=${path}`, 'bs=1M', `skip=${OFFSET / MiB}`, `count=${size / MiB}`, 'status=none']);
  return path;
}

/** Both at the same time, each with its own files. */
function mountBoth(kind: string, paths: readonly string[]): void {
  const places = paths.map((path) => `${path}.both`);
  const devices: string[] = [];
  const mounted: string[] = [];
  try {
    for (const [index, place] of places.entries()) {
      mkdirSync(place);
      devices.push(run('losetup', ['-f', '--show', paths[index] ?? '']).trim());
      run('mount', ['-t', kind, devices[index] ?? '', place]);
      mounted.push(place);
    }
    const sources = places.map((place) => run('findmnt', ['-n', '-o', 'SOURCE', place]).trim());
    assert.equal(sources, devices);
  } finally {
    for (const place of mounted) run('umount', [place]);
    for (const device of devices) {
      if (kind === 'btrfs') run('btrfs', ['device', 'scan', '--forget', device]);
      run('losetup', ['-d', device]);
    }
    for (const place of places) rmdirSync(place);
  }
}

function draw(filesystem: string, random: Random): string {
  const form = formOf(filesystem);
  assert.ok(form);
  return drawId(form ?? 'uuid', (length) => random.bytes(length));
}

function testsOf({ filesystem, content, size, resized }: Kind, index: number): void {
  const test = suite(`${filesystem} ${index}`);
  const scratch = join(folder, `${index}`);
  mkdirSync(scratch);
  const random = randomFrom(SEED + index);
  const scene = makeScene(scratch, { content, filesystem, size: size * MiB, random });
  const newId = draw(filesystem, random);
  const showsIt = async (): Promise<(dump: string) => void> => {
    const source = cutOut(await scene);
    const oldId = blkid(source);
    rmSync(source);
    return (dump) => {
      assert.is(blkid(dump), newId);
      assertCopies(dump, { filesystem, oldId, newId });
    };
  };

  test('a new ID, the same bytes each time, mounted beside its source', async () => {
    const after = [newIdStep(filesystem, newId)];
    const first = await judgeView(await scene, size * MiB, { after }, await showsIt());
    const source = cutOut(await scene);
    const beside = (dump: string): void => {
      if (MOUNTED.includes(filesystem)) mountBoth(filesystem, [source, dump]);
    };
    const second = await judgeView(await scene, size * MiB, { after }, beside);
    rmSync(source);
    assert.is(second.digest, first.digest);
  });

  test('with another size in the same view', async () => {
    if (resized === undefined) return;
    const after = [newIdStep(filesystem, newId)];
    const first = await judgeView(await scene, resized * MiB, { after }, await showsIt());
    if (UNREPEATABLE.includes(filesystem)) return;
    assert.is((await judgeView(await scene, resized * MiB, { after })).digest, first.digest);
  });

  test.run();
}

/** What is found in the way of a new ID, and what the step says when it is tried all the same. */
async function refused(filesystem: string, make: (path: string) => void): Promise<string | undefined> {
  const path = join(folder, 'refused');
  make(path);
  const source = openDiskSource(path, { direct: false });
  const why = await whyNoNewId(source, filesystem);
  await source.close();
  const step = newIdStep(filesystem, draw(filesystem, randomFrom(SEED)));
  const before = readFileSync(path);
  const bench = {
    path,
    volume: 'partition 1',
    signal: undefined,
    run: unexpected,
    mounted: unexpected,
    note: unexpected,
  };
  const error = await thrownBy(() => step(bench));
  assert.is((error as { code?: string }).code, 'filesystem.new-id-unsupported', String(error));
  assert.ok(readFileSync(path).equals(before));
  rmSync(path);
  return why;
}

function unexpected(): never {
  throw new Error('nothing should be run');
}

const refusals = suite('volumes that keep their IDs');

refusals('what depends on the ID, or lies on other devices', async () => {
  const other = join(folder, 'other device');
  const made: [string, (path: string) => void, RegExp][] = [
    ['btrfs', (path) => makeBtrfs([path, other], 120 * MiB, ['-d', 'single', '-m', 'raid1']), /lies on 2 devices/],
    [
      'f2fs',
      (path) => makeF2fs(path, { size: 60 * MiB, options: ['-O', 'extra_attr,inode_checksum'] }),
      /depend on its UUID/,
    ],
    ['ext4', (path) => makeImage(path, 8 * MiB, ['-t', 'ext4', '-O', 'stable_inodes,encrypt']), /depends on its UUID/],
  ];
  for (const [filesystem, make, why] of made) assert.match((await refused(filesystem, make)) ?? '', why);
});

if (HAS_LOOP) refusals.run();
if (HAS_LOOP) {
  for (const kind of sampleOf(KINDS, 4)) testsOf(kind, KINDS.indexOf(kind));
}
