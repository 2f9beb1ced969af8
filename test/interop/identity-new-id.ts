// Every file system with a new ID: blkid shows it, its checker finds nothing, all files are there, it can be used beside
// its source, and a second view is the same to the byte. The source is untouched.

import { mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { drawId, formOf } from '../../src/reshape/identity/id-forms.js';
import { newIdStep } from '../../src/reshape/identity/new-id.js';
import { HAS_LOOP } from '../support/loop.js';
import type { Content } from '../support/partition-content.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { judgeView, makeScene, OFFSET, type Scene } from '../support/reshape.js';
import { run } from '../support/run.js';
import { LONG } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

interface Kind {
  readonly filesystem: string;
  readonly content: Content;
  /** In MiB. */
  readonly size: number;
  /** Missing: nothing changes its size, or the kernel does, with times of its own. */
  readonly resized?: number;
  /** Of a kind that is there already: in long tests only. */
  readonly isVariant?: boolean;
}

const ext = (...options: string[]): Content => ({ kind: 'ext', options });

const KINDS: readonly Kind[] = [
  { filesystem: 'ext4', content: ext('-t', 'ext4', '-O', 'metadata_csum,^metadata_csum_seed'), size: 40, resized: 32 },
  { filesystem: 'ext4', content: ext('-t', 'ext4', '-O', 'metadata_csum,metadata_csum_seed'), size: 24 },
  { filesystem: 'ext3', content: ext('-t', 'ext3', '-b', '1024'), size: 24, resized: 28 },
  { filesystem: 'ext2', content: ext('-t', 'ext2'), size: 16 },
  { filesystem: 'xfs', content: { kind: 'xfs', options: [] }, size: 64, resized: 80 },
  { filesystem: 'btrfs', content: { kind: 'btrfs', options: [] }, size: 120, resized: 150 },
  { filesystem: 'btrfs', content: { kind: 'btrfs', options: ['--csum', 'xxhash'] }, size: 120, isVariant: true },
  { filesystem: 'f2fs', content: { kind: 'f2fs', options: [] }, size: 80 },
  { filesystem: 'f2fs', content: { kind: 'f2fs', options: ['-O', 'sb_checksum'] }, size: 80 },
  { filesystem: 'fat12', content: { kind: 'fat', bits: 12 }, size: 8 },
  { filesystem: 'fat16', content: { kind: 'fat', bits: 16 }, size: 24 },
  { filesystem: 'fat32', content: { kind: 'fat', bits: 32, sectorsPerCluster: 1 }, size: 40, resized: 50 },
  { filesystem: 'exfat', content: { kind: 'exfat', clusterSize: 4096 }, size: 24 },
  { filesystem: 'ntfs', content: { kind: 'ntfs', clusterSize: 4096 }, size: 24, resized: 40 },
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
  const showsIt = (dump: string): void => assert.is(blkid(dump), newId);

  test('a new ID, the same bytes each time, mounted beside its source', async () => {
    const after = [newIdStep(filesystem, newId)];
    const first = await judgeView(await scene, size * MiB, { after }, showsIt);
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
    const first = await judgeView(await scene, resized * MiB, { after }, showsIt);
    if (UNREPEATABLE.includes(filesystem)) return;
    assert.is((await judgeView(await scene, resized * MiB, { after })).digest, first.digest);
  });

  test.run();
}

if (HAS_LOOP) {
  for (const [index, kind] of KINDS.entries()) if (LONG || !kind.isVariant) testsOf(kind, index);
}
