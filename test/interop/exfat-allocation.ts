// exFAT allocation maps, judged by fsck.exfat, dump.exfat, blkid and a mount: what they leave out nobody needs.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { exfat } from '../../src/filesystem/exfat/plugin.js';
import { extentEnd } from '../../src/map/extent.js';
import { memoryTarget } from '../../src/source/memory.js';
import {
  type ExfatGeometry,
  exfatLayout,
  fillExfat,
  makeExfat,
  sealExfat,
  withExfatMounted,
} from '../support/exfat-volume.js';
import { fileSource } from '../support/file-source.js';
import { hashTree } from '../support/ntfs-mount.js';
import { randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { copyUsedOntoGarbage } from '../support/sparse-copy.js';

const KiB = 1 << 10;
const MiB = 1 << 20;
const scratch = scratchFolder();

function blkid(path: string, tag: string): string {
  return run('blkid', ['-p', '-o', 'value', '-s', tag, path]).trim();
}

function assertSound(path: string): void {
  const { status, stdout, stderr } = tryRun('fsck.exfat', ['-n', path]);
  assert.is(status, 0, stdout + stderr);
  assert.match(stdout, /clean\. directories/);
}

/** As dump.exfat counts it: what lies before the clusters, and the clusters that are not free. */
function expectedUse(path: string): number {
  const said = run('dump.exfat', [path]);
  const number = (name: string): number => Number(new RegExp(`${name}[^:]*:\\s+(\\d+)`).exec(said)?.[1]);
  const used = number('Total Clusters') - number('Free Clusters');
  return number('Cluster Heap Offset') * 2 ** number('Sector Size Bits') + used * number('Cluster size');
}

/** Copies what is used onto garbage and lets the judges look at the copy. */
async function judge(image: string, sectorSize: number): Promise<void> {
  const source = fileSource(image);
  const copy = `${image}.copy`;
  const info = await exfat.probe(source);
  assert.ok(info, 'probed');
  assert.is(info.kind, blkid(image, 'TYPE'));
  assert.is(info.label, 'Prüfstück');
  assert.is(info.uuid, blkid(image, 'UUID'));
  assert.equal(await exfat.readState(source, info), { kind: 'clean', reason: '', advice: '' });
  assertSound(image);
  const map = await exfat.openAllocationMap(source, info);
  assert.is(await copyUsedOntoGarbage(source, map, copy), expectedUse(image));
  assertSound(copy);
  const mount = { readOnly: true, sectorSize };
  const expected = withExfatMounted(image, hashTree, mount);
  assert.ok(expected.size > 10);
  assert.equal(withExfatMounted(copy, hashTree, mount), expected);
  const target = fileSource(copy);
  assert.equal(await exfat.token(target, info), await exfat.token(source, info), 'token of the copy');
  await target.close();
  await source.close();
  rmSync(copy);
}

const GEOMETRIES: readonly (ExfatGeometry & { budget: number })[] = [
  { size: 48 * MiB, clusterSize: 512, budget: 6 * MiB },
  { size: 64 * MiB, clusterSize: 4 * KiB, budget: 12 * MiB },
  { size: 96 * MiB + 512, clusterSize: 32 * KiB, budget: 24 * MiB },
  { size: 300 * MiB, clusterSize: MiB, budget: 24 * MiB },
  { size: 128 * MiB, clusterSize: 16 * KiB, sectorSize: 4096, budget: 12 * MiB },
];

for (const [index, geometry] of GEOMETRIES.entries()) {
  const { clusterSize, sectorSize = 512, budget } = geometry;
  test(`clusters of ${clusterSize}, sectors of ${sectorSize}`, async () => {
    for (let round = 0; round < rounds({ short: 1, long: 8 }); round += 1) {
      const image = join(scratch, `image-${index}-${round}`);
      makeExfat(image, geometry);
      const random = randomFrom(SEED + index * 100 + round);
      withExfatMounted(image, (folder) => fillExfat(folder, random, { budget }), { sectorSize });
      await judge(image, sectorSize);
      rmSync(image);
    }
  });
}

/** A volume of 160 MiB with a bitmap of two clusters, in memory. */
function twoClusterBitmap(): Buffer {
  const image = join(scratch, 'two-clusters');
  makeExfat(image, { size: 160 * MiB, clusterSize: 4 * KiB });
  withExfatMounted(image, (folder) => fillExfat(folder, randomFrom(SEED), { budget: 4 * MiB }));
  const bytes = readFileSync(image);
  rmSync(image);
  return bytes;
}

async function usedFlags(bytes: Buffer, unit: number): Promise<Buffer> {
  const volume = memoryTarget(bytes);
  const info = await exfat.probe(volume);
  assert.ok(info);
  const map = await exfat.openAllocationMap(volume, info);
  const flags = Buffer.alloc(bytes.length / unit);
  for await (const { offset, length } of map.usedExtents({ offset: 0, length: bytes.length })) {
    flags.fill(1, offset / unit, (offset + length) / unit);
  }
  return flags;
}

test('a fragmented bitmap is followed through the FAT', async () => {
  const bytes = twoClusterBitmap();
  const { table, heap, clusterSize, clusterCount } = exfatLayout(bytes);
  const before = await usedFlags(bytes, clusterSize);
  // Cluster 3 holds the second half of the bitmap; it moves to the last cluster.
  const last = clusterCount + 1;
  assert.is(bytes.readUInt32LE(table + 2 * 4), 3);
  bytes.copy(bytes, heap + (last - 2) * clusterSize, heap + clusterSize, heap + 2 * clusterSize);
  bytes.writeUInt32LE(last, table + 2 * 4);
  bytes.writeUInt32LE(0xffffffff, table + last * 4);
  bytes.fill(0xa5, heap + clusterSize, heap + 2 * clusterSize);
  bytes.writeUInt8(bytes.readUInt8(heap) & ~2, heap);
  const lastBit = heap + (last - 2) * clusterSize + Math.floor((last - 2) / 8) - clusterSize;
  bytes.writeUInt8(bytes.readUInt8(lastBit) | (1 << ((last - 2) % 8)), lastBit);
  const after = await usedFlags(bytes, clusterSize);
  const expected = Buffer.from(before);
  expected[heap / clusterSize + 1] = 0;
  expected[heap / clusterSize + last - 2] = 1;
  assert.ok(after.equals(expected));
});

test('with the second FAT active, what either bitmap calls used is used', async () => {
  const bytes = twoClusterBitmap();
  const { table, tableSize, heap, root, clusterSize } = exfatLayout(bytes);
  const before = await usedFlags(bytes, clusterSize);
  const free = before.indexOf(0, heap / clusterSize + 5000) - heap / clusterSize;
  const cluster = (index: number): number => heap + index * clusterSize;
  // Bitmap 1 in two free clusters, equal to bitmap 0 but for itself and one more cluster.
  for (const bit of [free, free + 1]) {
    const at = heap + (bit >> 3);
    bytes.writeUInt8(bytes.readUInt8(at) | (1 << (bit & 7)), at);
  }
  bytes.copy(bytes, cluster(free), heap, heap + 2 * clusterSize);
  const extra = free + 100;
  bytes.writeUInt8(bytes.readUInt8(cluster(free) + (extra >> 3)) | (1 << (extra & 7)), cluster(free) + (extra >> 3));
  assert.ok(table + 2 * tableSize <= heap, 'room for a second FAT');
  bytes.writeUInt32LE(free + 3, table + (free + 2) * 4);
  bytes.writeUInt32LE(0xffffffff, table + (free + 3) * 4);
  bytes.copy(bytes, table + tableSize, table, table + tableSize);
  let entry = root;
  while (bytes.readUInt8(entry) !== 0x81) entry += 32;
  const second = Buffer.from(bytes.subarray(entry, entry + 32));
  second.writeUInt8(1, 1);
  second.writeUInt32LE(free + 2, 20);
  let end = root;
  while (bytes.readUInt8(end) !== 0) end += 32;
  second.copy(bytes, end);
  bytes.writeUInt8(2, 110);
  bytes.writeUInt16LE(1, 106);
  sealExfat(bytes);
  const expected = Buffer.from(before);
  for (const index of [free, free + 1, extra]) expected[heap / clusterSize + index] = 1;
  assert.ok((await usedFlags(bytes, clusterSize)).equals(expected));
});

test('any stretch of the map is the same part of the whole', async () => {
  const bytes = twoClusterBitmap();
  const random = randomFrom(SEED);
  const flags = await usedFlags(bytes, 1);
  const volume = memoryTarget(bytes);
  const info = await exfat.probe(volume);
  assert.ok(info);
  const map = await exfat.openAllocationMap(volume, info);
  for (let round = 0; round < 100; round += 1) {
    const offset = random.below(volume.size);
    const length = Math.min(random.pick([1, 511, 5000, 300_000, 9_000_000]), volume.size - offset);
    const seen = Buffer.alloc(length);
    let position = -1;
    for await (const extent of map.usedExtents({ offset, length })) {
      assert.ok(extent.offset > position && extent.offset >= offset && extentEnd(extent) <= offset + length);
      position = extentEnd(extent);
      seen.fill(1, extent.offset - offset, position - offset);
    }
    assert.ok(seen.equals(flags.subarray(offset, offset + length)));
  }
});

for (const clusterSize of [32 * KiB, 128 * KiB]) {
  test(`2 TiB with clusters of ${clusterSize} cost seconds and little memory`, async () => {
    const image = join(scratch, 'large');
    writeFileSync(image, '');
    makeExfat(image, { size: 2 ** 41, clusterSize });
    const source = fileSource(image);
    const before = process.memoryUsage().rss;
    const started = performance.now();
    const info = await exfat.probe(source);
    assert.ok(info);
    assert.is((await exfat.readState(source, info)).kind, 'clean');
    const map = await exfat.openAllocationMap(source, info);
    let used = 0;
    for await (const { length } of map.usedExtents({ offset: 0, length: source.size })) used += length;
    const mapped = (performance.now() - started) / 1000;
    await exfat.token(source, info);
    const seconds = (performance.now() - started) / 1000;
    const growth = (process.memoryUsage().rss - before) / MiB;
    console.log(
      `map ${mapped.toFixed(2)} s, with token ${seconds.toFixed(2)} s, ${growth.toFixed(0)} MiB, ${used} used`,
    );
    assert.is(used, expectedUse(image));
    assert.ok(seconds < 20 && growth < 100);
    await source.close();
    rmSync(image);
  });
}

test.run();
