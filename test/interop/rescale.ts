// Clones onto larger and smaller disks through the command line: partitions grow, shrink and move, everything else about a
// clone holds - also its deltas.

import { copyFileSync, mkdirSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Bytes, KiB, MiB, TiB } from '../../src/base/units.js';
import { oldFile, sha256, sha256Outside } from '../support/clone-judge.js';
import { preparedDisk, type Wish } from '../support/clone-round-trip.js';
import { type BuiltDisk, changeDisk, listDisk, partitionOf } from '../support/disk-builder.js';
import { type Ectype, ectypeIn } from '../support/ectype-cli.js';
import { type Content, EXT4, FAT32, NTFS, SWAP } from '../support/partition-content.js';
import { randomFrom, SEED, sampleOf } from '../support/random.js';
import { demandRescaled } from '../support/rescaled.js';
import { scratchFolder } from '../support/scratch.js';

const sectors = (bytes: Bytes): number => bytes / 512;

const LINUX: Wish = {
  table: 'gpt',
  size: 340 * MiB,
  partitions: [
    { content: FAT32, size: sectors(40 * MiB) },
    { content: EXT4, size: sectors(200 * MiB) },
    { content: NTFS, size: sectors(80 * MiB) },
    { content: SWAP, size: sectors(8 * MiB) },
  ],
};

const MBR: Wish = {
  table: 'mbr',
  size: 300 * MiB,
  partitions: [
    { content: { kind: 'fat', bits: 16 }, size: sectors(20 * MiB) },
    { content: EXT4, size: sectors(150 * MiB) },
    { content: NTFS, size: sectors(60 * MiB), logical: true },
    { content: SWAP, size: sectors(4 * MiB), logical: true },
  ],
};

/** Roots of Linux on other file systems; an XFS only grows. */
const rootOn = (content: Content, size: Bytes): Wish => ({
  table: 'gpt',
  size: size + 60 * MiB,
  partitions: [
    { content: FAT32, size: sectors(40 * MiB) },
    { content, size: sectors(size) },
  ],
});
const BTRFS: Content = { kind: 'btrfs', options: [] };
const XFS: Content = { kind: 'xfs', options: [] };

const test = suite('rescale');
const scratch = scratchFolder();
let runs = 0;

interface Scene {
  readonly disk: BuiltDisk;
  readonly target: string;
  readonly ectype: Ectype;
  readonly folder: string;
}

async function sceneOf(wish: Wish, size: Bytes): Promise<Scene> {
  const { disk } = await preparedDisk(scratch, wish);
  const folder = join(scratch, `run-${runs++}`);
  mkdirSync(folder);
  const source = join(folder, 'source.img');
  copyFileSync(disk.path, source);
  return {
    disk: { ...disk, path: source },
    target: oldFile(join(folder, 'target.img'), size),
    ectype: ectypeIn(folder),
    folder,
  };
}

/** The whole life of a standby: cloned, verified, cloned again unchanged, changed, cloned again. */
async function live({ disk, target, ectype, folder }: Scene, ...options: string[]): Promise<void> {
  const digest = sha256(disk.path);
  const files = await listDisk(disk.path, disk.partitions);
  const first = ectype.clone(disk.path, target, `--overwrite-target=${target}`, ...options);
  assert.ok(
    first.plan.volumes.some(({ fate }) => fate === 'grown' || fate === 'shrunk'),
    'something changes its size',
  );
  const rescaled = await demandRescaled(disk, target, files);
  const isComparable = disk.partitions.every(({ content }) => content.kind !== 'btrfs');
  if (isComparable) assert.ok(ectype.verify(disk.path, target, ...options).equal, 'verify agrees');
  else assert.is(ectype.refused(5, 'verify', ...options, disk.path, target).code, 'filesystem.views-differ');

  assert.is(first.amounts.done, first.amounts.total, 'progress ends with the work');

  const before = sha256(target);
  const again = ectype.clone(disk.path, target, ...options);
  const how = again.plan.volumes
    .map(({ name, detect, detectReason }) => `${name}: ${detect} ${detectReason}`)
    .join('; ');
  assert.not.ok(again.changed, `a second run finds nothing to write (${how})`);
  assert.equal(again.prepared, [], `and makes no view to find that (${how})`);
  assert.is(sha256(target), before);
  assert.is(sha256(disk.path), digest, 'the source is what it was');

  const random = randomFrom(SEED + runs);
  await changeDisk(disk, { random }, [2]);
  const changed = sha256(disk.path);
  const delta = ectype.clone(disk.path, target, '--verify', ...options);
  assert.ok(delta.changed);
  assert.ok(delta.prepared.length <= 1, 'only the volume that changed needs a view');
  assert.ok(delta.amounts.written < first.amounts.written / 2, `${delta.amounts.written} bytes are a delta`);
  const now = await demandRescaled(disk, target, await listDisk(disk.path, disk.partitions));
  assert.equal(now.partitions, rescaled.partitions, 'the layout stays');
  assert.ok((delta.verified ?? 0) > 0, 'the target was read again');
  if (isComparable) assert.ok(ectype.verify(disk.path, target, ...options).equal, 'verify agrees with the delta');
  assert.is(sha256(disk.path), changed, 'the source is what it was after the change');
  rmSync(folder, { recursive: true });
}

interface Case {
  readonly name: string;
  readonly wish: Wish;
  readonly size: Bytes;
  readonly options: readonly string[];
}

const CASES: readonly Case[] = [
  { name: 'a larger GPT disk is filled', wish: LINUX, size: 500 * MiB, options: ['--layout', 'fill'] },
  {
    name: 'partitions grow in proportion',
    wish: LINUX,
    size: 520 * MiB + 17 * KiB,
    options: ['--layout', 'proportional'],
  },
  { name: 'a smaller GPT disk gets smaller file systems unasked', wish: LINUX, size: 290 * MiB, options: [] },
  {
    name: 'single partitions get the sizes they are given',
    wish: LINUX,
    size: 400 * MiB,
    options: ['--size', '2=150M', '--size', '3=rest'],
  },
  { name: 'logical partitions of an MBR grow and move', wish: MBR, size: 420 * MiB, options: ['--layout', 'fill'] },
  { name: 'an MBR disk shrinks', wish: MBR, size: 230 * MiB, options: [] },
  { name: 'a root on btrfs grows', wish: rootOn(BTRFS, 256 * MiB), size: 600 * MiB, options: ['--layout', 'fill'] },
  { name: 'a root on btrfs shrinks', wish: rootOn(BTRFS, 512 * MiB), size: 400 * MiB, options: [] },
  { name: 'a root on XFS grows', wish: rootOn(XFS, 320 * MiB), size: 640 * MiB, options: ['--layout', 'fill'] },
];

/** All of them take minutes: `npm test` takes a few by its seed. */
const SAMPLE = 2;

for (const { name, wish, size, options } of sampleOf(CASES, SAMPLE)) {
  test(name, async () => live(await sceneOf(wish, size), ...options));
}

test('a root on XFS does not shrink: refused, with what is missing', async () => {
  const { disk, target, ectype } = await sceneOf(rootOn(XFS, 320 * MiB), 300 * MiB);
  const before = sha256(target);
  const error = ectype.refused(3, 'clone', '--yes', '--overwrite-target', target, disk.path, target);
  assert.is(error.code, 'safety.layout-too-small');
  assert.is(sha256(target), before, 'the target is what it was');
});

test('an MBR becomes a GPT, on a target of 3 TiB that an MBR cannot describe', async () => {
  const { disk, ectype, folder, target } = await sceneOf(MBR, MiB);
  truncateSync(target, 3 * TiB);
  const files = await listDisk(disk.path, disk.partitions);
  assert.is(
    ectype.refused(2, 'clone', '--yes', '--table', 'gpt', '--identity', 'new', disk.path, target).code,
    'usage.contradicting-options',
  );
  const sizes = ['--table', 'gpt', '--size', '2=250M'];
  const { plan } = ectype.clone(disk.path, target, `--overwrite-target=${target}`, ...sizes);
  assert.ok(
    plan.warnings.some((warning) => /gets a GPT/.test(warning)),
    'what it means for starting is told',
  );
  await demandRescaled({ ...disk, table: 'gpt' }, target, files);
  assert.ok(ectype.verify(disk.path, target, ...sizes).equal);
  assert.not.ok(ectype.clone(disk.path, target, ...sizes).changed, 'the same GUIDs again');
  rmSync(folder, { recursive: true });
});

test('one partition into a larger and into a smaller one', async () => {
  const { disk, ectype, folder } = await sceneOf(LINUX, MiB);
  const { disk: other } = await preparedDisk(scratch, MBR);
  const files = await listDisk(disk.path, disk.partitions);
  const target = join(folder, 'other.img');
  copyFileSync(other.path, target);
  const into = partitionOf(other, 2);
  const around = sha256Outside(target, into.extent, other.size);
  // 200 MiB of ext4 into 150 MiB; then 80 MiB of NTFS into the same place.
  for (const [number, options] of [
    [2, []],
    [3, ['--layout', 'fill']],
  ] as const) {
    const from = partitionOf(disk, number);
    const names = [`${disk.path}#${number}`, `${target}#2`] as const;
    ectype.clone(...names, `--overwrite-target=${target}`, ...options);
    assert.ok(ectype.verify(...names, ...options).equal);
    assert.not.ok(ectype.clone(...names, ...options).changed);
    const found = await listDisk(target, [{ ...into, content: from.content }], { check: true });
    assert.equal(found.get(2), files.get(number));
    assert.is(sha256Outside(target, into.extent, other.size), around, 'all else is what it was');
  }
  rmSync(folder, { recursive: true });
});

test.run();
