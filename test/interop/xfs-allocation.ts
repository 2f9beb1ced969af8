// Copies only what the map calls used onto garbage; xfs_repair, xfs_db and the kernel judge the copy. One test a layout.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import { type CorpusOptions, digestFolder, fillFolder, thinFolder } from '../support/ext4-corpus.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { copyUsedOntoGarbage } from '../support/sparse-copy.js';
import {
  demandPerfectXfs,
  makeXfs,
  mountedXfs,
  patchFile,
  usedByXfsDb,
  withXfs,
  xfsDb,
  xfsField,
} from '../support/xfs-image.js';

const scratch = scratchFolder();
const corpus: CorpusOptions = { files: 500, largest: 2 * MiB, total: 36 * MiB };
let number = 0;

interface Layout {
  readonly name: string;
  readonly size: number;
  readonly options: readonly string[];
  /** Blocks of a file of which every second one goes: half as many pieces of free space. */
  readonly crumbs?: number;
  /** Levels that the free space btree of some group must have. */
  readonly levels?: number;
  /** Between filling and copying. */
  readonly finish?: (image: string) => void;
}

const LAYOUTS: readonly Layout[] = [
  { name: 'version 5 by default', size: 320 * MiB, options: [] },
  {
    name: '1 KiB blocks and a free space btree of three levels',
    size: 160 * MiB,
    options: ['-b', 'size=1024', '-d', 'agcount=2'],
    crumbs: rounds({ short: 22_000, long: 40_000 }),
    levels: 3,
  },
  {
    name: '4 KiB blocks and a free space btree of two levels',
    size: 320 * MiB,
    options: ['-m', 'rmapbt=0', '-d', 'agcount=2'],
    crumbs: 6000,
    levels: 2,
  },
  {
    name: 'reverse map, reflinks, big times, 4096-byte sectors',
    size: 320 * MiB,
    options: ['-m', 'rmapbt=1,reflink=1,bigtime=1,inobtcount=1', '-s', 'size=4096'],
    crumbs: 2000,
  },
  { name: '512-byte sectors', size: 320 * MiB, options: ['-s', 'size=512', '-m', 'finobt=0,reflink=0,bigtime=0'] },
  {
    name: '2 KiB blocks, large inodes, sparse inodes',
    size: 96 * MiB,
    options: ['-b', 'size=2048', '-i', 'size=1024,sparse=1'],
  },
  {
    name: '17 allocation groups and a short last one',
    size: 280 * MiB + 700 * KiB,
    options: ['-d', 'agsize=16m'],
    crumbs: 2000,
  },
  { name: 'a log in stripes, in the last group', size: 320 * MiB, options: ['-l', 'su=256k,agnum=3'], crumbs: 1000 },
  { name: 'a stripe, a small log', size: 320 * MiB, options: ['-d', 'su=64k,sw=4', '-l', 'size=8m'] },
  { name: 'another UUID than its metadata bears', size: 320 * MiB, options: [], finish: (image) => newUuid(image) },
  { name: 'grown while mounted', size: 64 * MiB, options: ['-d', 'agsize=16m'], finish: grow },
];

function newUuid(image: string): void {
  run('xfs_admin', ['-U', 'generate', image]);
  assert.ok((xfsField(image, 'features_incompat') & 4) !== 0, 'the metadata keeps its old UUID');
}

function grow(image: string): void {
  run('truncate', ['-s', String(200 * MiB + 300 * KiB), image]);
  mountedXfs(image, (folder) => {
    run('xfs_growfs', ['-d', folder]);
    fillFolder(join(folder), randomFrom(1), { files: 100, largest: 1 * MiB, total: 30 * MiB });
  });
}

/** Punching out every second block of a file tears free space to pieces. */
function crumble(folder: string, random: Random, { count, size }: { count: number; size: number }): void {
  const path = join(folder, 'crumbs');
  writeFileSync(path, random.bytes(count * size));
  run('sync', ['-f', folder]);
  const holes = Array.from({ length: count / 2 }, (_, index) => `fpunch ${index * 2 * size} ${size}`);
  run('xfs_io', [path], { input: `${holes.join('\n')}\n` });
}

function fill(image: string, { size, options, crumbs = 0 }: Layout, random: Random): void {
  makeXfs(image, size, options);
  const blockSize = xfsField(image, 'blocksize');
  mountedXfs(image, (folder) => {
    fillFolder(folder, random, { ...corpus, total: Math.min(corpus.total, size / 4) });
    run('sync', ['-f', folder]);
    thinFolder(folder, random);
    if (crumbs > 0) crumble(folder, random, { count: crumbs, size: blockSize });
  });
}

function deepest(image: string): number {
  const groups = Array.from({ length: xfsField(image, 'agcount') }, (_, index) => index);
  return Math.max(...groups.map((group) => xfsField(image, 'bnolevel', `agf ${group}`)));
}

function sumOver(image: string, field: string): number {
  let sum = 0;
  for (let group = 0; group < xfsField(image, 'agcount'); group += 1) sum += xfsField(image, field, `agf ${group}`);
  return sum;
}

async function roundTrip(layout: Layout): Promise<void> {
  number += 1;
  const image = join(scratch, `${number}.img`);
  const copy = join(scratch, `${number}.copy`);
  fill(image, layout, randomFrom(SEED + number));
  layout.finish?.(image);
  if (layout.levels !== undefined) assert.ok(deepest(image) >= layout.levels, `${deepest(image)} levels`);

  await withXfs(image, async (volume, info) => {
    const state = await xfs.readState(volume, info);
    assert.is(state.kind, 'clean', state.reason);
    const used = await copyUsedOntoGarbage(volume, await xfs.openAllocationMap(volume, info), copy);
    assert.is(used, usedByXfsDb(image), 'used by xfs_db');
    const btrees = sumOver(image, 'btreeblks') * info.blockSize;
    assert.is(used - btrees, info.used, 'used by the superblock, which counts btrees as free');
    assert.ok(used < 0.8 * info.size);
  });
  demandPerfectXfs(copy);
  const wanted = mountedXfs(image, digestFolder, 'ro');
  const found = mountedXfs(copy, digestFolder, 'rw');
  assert.equal([...found], [...wanted]);
  assert.ok(wanted.size > 100);
  rmSync(image);
  rmSync(copy);
}

for (const layout of LAYOUTS) test(layout.name, () => roundTrip(layout));

/** Newer kernels cannot mount version 4: mkfs.xfs fills it, xfs_db tells where its files lie in the copy. */
async function roundTripV4(options: readonly string[]): Promise<void> {
  number += 1;
  const image = join(scratch, `${number}.img`);
  const copy = join(scratch, `${number}.copy`);
  const folder = join(scratch, `${number}.d`);
  const prototype = join(scratch, `${number}.proto`);
  const random = randomFrom(SEED + number);
  mkdirSync(folder);
  const files = Array.from({ length: 80 }, (_, index) => ({
    name: `f${index}`,
    content: random.bytes(random.below(90_000)),
  }));
  for (const { name, content } of files) writeFileSync(join(folder, name), content);
  const lines = files.map(({ name }) => `${name} ---644 0 0 ${join(folder, name)}`);
  writeFileSync(prototype, ['/boot', '0 0', 'd--755 0 0', 'inner d--755 0 0', ...lines, '$', '$', ''].join('\n'));
  makeXfs(image, 100 * MiB, ['-m', 'crc=0', '-p', prototype, ...options]);

  await withXfs(image, async (volume, info) => {
    assert.is((await xfs.readState(volume, info)).kind, 'clean');
    const used = await copyUsedOntoGarbage(volume, await xfs.openAllocationMap(volume, info), copy);
    assert.is(used, usedByXfsDb(image));
    assert.ok(used < 0.5 * info.size);
  });
  demandPerfectXfs(copy);
  const groupBlocks = xfsField(copy, 'agblocks');
  for (const { name, content } of files) {
    const found = contentByXfsDb(copy, { path: `/inner/${name}`, length: content.length, groupBlocks });
    assert.ok(found.equals(content), name);
  }
  for (const path of [image, copy, folder, prototype]) rmSync(path, { recursive: true });
}

function contentByXfsDb(
  image: string,
  { path, length, groupBlocks }: { path: string; length: number; groupBlocks: number },
): Buffer {
  const blockSize = 4096;
  const content = Buffer.alloc(Math.ceil(length / blockSize) * blockSize);
  const extents = /^data offset (\d+) startblock \d+ \((\d+)\/(\d+)\) count (\d+)/gm;
  for (const [, offset, group, block, count] of xfsDb(image, `path ${path}`, 'bmap').matchAll(extents)) {
    const place = {
      offset: (Number(group) * groupBlocks + Number(block)) * blockSize,
      length: Number(count) * blockSize,
    };
    patchFile(image, place, (bytes) => bytes.copy(content, Number(offset) * blockSize));
  }
  return content.subarray(0, length);
}

test('version 4', () => roundTripV4([]));
test('version 4 with a log of the first version and without lazy counters', () =>
  roundTripV4(['-l', 'version=1,lazy-count=0', '-i', 'attr=1,projid32bit=0']));

test('what lies past the end of the file system is not its own', async () => {
  const image = join(scratch, 'short.img');
  makeXfs(image, 64 * MiB);
  run('truncate', ['-s', String(80 * MiB + 512), image]);
  await withXfs(image, async (volume, info) => {
    assert.is(info.size, 64 * MiB);
    const map = await xfs.openAllocationMap(volume, info);
    let end = 0;
    for await (const extent of map.usedExtents({ offset: 0, length: volume.size })) end = extent.offset + extent.length;
    assert.ok(end <= 64 * MiB);
    for await (const extent of map.usedExtents({ offset: 64 * MiB, length: 16 * MiB })) assert.unreachable(`${extent}`);
  });
});

test.run();
