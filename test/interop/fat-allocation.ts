// FAT allocation maps, judged by fsck.vfat and mtools: what they leave out is nothing that anybody needs.

import { closeSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fat } from '../../src/filesystem/fat/plugin.js';
import { extentEnd } from '../../src/map/extent.js';
import { type FatGeometry, fillFat, hashFat, makeFat } from '../support/fat-volume.js';
import { fileSource } from '../support/file-source.js';
import { randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { copyUsedOntoGarbage } from '../support/sparse-copy.js';

const MiB = 1 << 20;
const KiB = 1 << 10;
const scratch = scratchFolder();
let works = 0;

function workFolder(): string {
  works += 1;
  return join(scratch, `work-${works}`);
}

/** Copies what is used, then lets fsck.vfat and mtools judge the copy. Returns the used bytes. */
async function judge(image: string, bits: number): Promise<number> {
  const source = fileSource(image);
  const copy = `${image}.copy`;
  try {
    const info = await fat.probe(source);
    assert.ok(info, 'probed');
    assert.is(info.kind, `fat${bits}`);
    assert.is(info.label, 'SAMPLE');
    assert.is(info.uuid, run('blkid', ['-p', '-o', 'value', '-s', 'UUID', image]).trim());
    assert.is((await fat.readState(source, info)).kind, 'clean');
    const map = await fat.openAllocationMap(source, info);
    const used = await copyUsedOntoGarbage(source, map, copy);
    assert.is(used, expectedUse(image));
    const checked = tryRun('fsck.vfat', ['-n', copy]);
    assert.is(checked.status, 0, checked.stdout + checked.stderr);
    const expected = hashFat(image, workFolder());
    assert.ok(expected.size > 3);
    assert.equal(hashFat(copy, workFolder()), expected);
    const target = fileSource(copy);
    assert.equal(await fat.token(target, info), await fat.token(source, info), 'token of the copy');
    await target.close();
    return used;
  } finally {
    await source.close();
    rmSync(copy, { force: true });
  }
}

/** Bytes before the data area, and the clusters that fsck.vfat counts ("N files, used/total clusters"). */
function expectedUse(image: string): number {
  const said = run('fsck.vfat', ['-n', '-v', image]);
  const count = Number(/(\d+)\/\d+ clusters/.exec(said)?.[1]);
  const cluster = Number(/(\d+) bytes per cluster/.exec(said)?.[1]);
  const data = Number(/Data area starts at byte (\d+)/.exec(said)?.[1]);
  assert.ok(count > 0 && cluster > 0 && data > 0, said);
  return data + count * cluster;
}

function poke(image: string, offset: number, bytes: Buffer | number[]): void {
  const fd = openSync(image, 'r+');
  writeSync(fd, Buffer.from(bytes), 0, bytes.length, offset);
  closeSync(fd);
}

const GEOMETRIES: readonly FatGeometry[] = [
  { bits: 12, size: 1440 * KiB },
  { bits: 12, size: 7 * MiB + 512, sectorsPerCluster: 8 },
  { bits: 12, size: 15 * MiB, sectorsPerCluster: 16, tables: 1 },
  { bits: 16, size: 20 * MiB },
  { bits: 16, size: 9 * MiB + 512 * 3, sectorsPerCluster: 1 },
  { bits: 16, size: 300 * MiB, sectorsPerCluster: 128 },
  { bits: 16, size: 64 * MiB, sectorSize: 4096, sectorsPerCluster: 1 },
  { bits: 32, size: 40 * MiB + 512, sectorsPerCluster: 1 },
  { bits: 32, size: 300 * MiB, sectorsPerCluster: 2, tables: 1 },
  { bits: 32, size: 300 * MiB, sectorSize: 4096, sectorsPerCluster: 1 },
];

for (const geometry of GEOMETRIES) {
  test(`FAT of ${JSON.stringify(geometry)}: the used bytes are the whole file system`, async () => {
    const image = join(scratch, 'fat');
    makeFat(image, geometry);
    const budget = Math.min(4 * MiB, Math.floor(geometry.size / 3));
    fillFat(image, workFolder(), randomFrom(SEED), { budget });
    const used = await judge(image, geometry.bits);
    assert.ok(used < geometry.size);
    rmSync(image);
  });
}

test('FAT32 with fewer clusters than the specification allows: an EFI system partition on a 4Kn disk', async () => {
  const image = join(scratch, 'esp');
  makeFat(image, { bits: 32, size: 64 * MiB, sectorSize: 4096, sectorsPerCluster: 1 });
  const source = fileSource(image);
  const info = await fat.probe(source);
  assert.is(info?.kind, 'fat32');
  assert.ok(info);
  const copy = `${image}.copy`;
  const used = await copyUsedOntoGarbage(source, await fat.openAllocationMap(source, info), copy);
  assert.is(used, expectedUse(image));
  assert.is(run('blkid', ['-p', '-o', 'value', '-s', 'VERSION', image]).trim(), 'FAT32');
  run('fsck.vfat', ['-n', copy]);
  await source.close();
});

function makeFat32(): { image: string; table: number; tableSize: number } {
  const image = join(scratch, 'fat32');
  makeFat(image, { bits: 32, size: 40 * MiB, sectorsPerCluster: 1 });
  fillFat(image, workFolder(), randomFrom(SEED), { budget: 3 * MiB });
  const boot = readFileSync(image).subarray(0, 512);
  return { image, table: boot.readUInt16LE(14) * 512, tableSize: boot.readUInt32LE(36) * 512 };
}

test('the top four bits of FAT32 entries say nothing', async () => {
  const { image, table, tableSize } = makeFat32();
  const before = await judge(image, 32);
  const bytes = readFileSync(image);
  for (const start of [table, table + tableSize]) {
    for (let at = start + 8; at < start + tableSize; at += 4) bytes.writeUInt8(bytes.readUInt8(at + 3) | 0xa0, at + 3);
  }
  poke(image, 0, bytes);
  assert.is(await judge(image, 32), before);
});

test('bad clusters are not read', async () => {
  const { image, table, tableSize } = makeFat32();
  const before = await judge(image, 32);
  const bytes = readFileSync(image);
  let free = table + tableSize - 4096;
  while (bytes.readUInt32LE(free) !== 0) free -= 4;
  for (const at of [free, free + tableSize]) poke(image, at, [0xf7, 0xff, 0xff, 0x0f]);
  const source = fileSource(image);
  const info = await fat.probe(source);
  assert.ok(info);
  assert.is(await copyUsedOntoGarbage(source, await fat.openAllocationMap(source, info), `${image}.copy`), before);
});

test('without mirroring the active table counts, and the first one too', async () => {
  const { image, table, tableSize } = makeFat32();
  const mirrored = await judge(image, 32);
  const bytes = readFileSync(image);
  // Table 1 is active. The last cluster of a chain is used in table 0 only, as Linux would leave it.
  poke(image, 40, [0x81, 0]);
  let free = table + 4096;
  while (bytes.readUInt32LE(free) !== 0) free += 4;
  poke(image, free, [0xff, 0xff, 0xff, 0x0f]);
  const source = fileSource(image);
  const info = await fat.probe(source);
  assert.ok(info);
  const copy = `${image}.copy`;
  const used = await copyUsedOntoGarbage(source, await fat.openAllocationMap(source, info), copy);
  assert.is(used, mirrored + 512);

  // Now table 0 is lost: everything must come from table 1, as mtools reads it.
  const expected = hashFat(image, workFolder());
  poke(image, table + 8, Buffer.alloc(tableSize - 8));
  assert.is(await copyUsedOntoGarbage(source, await fat.openAllocationMap(source, info), copy), mirrored);
  assert.equal(hashFat(copy, workFolder()), expected);
  await source.close();
});

test('any stretch of the map is the same part of the whole', async () => {
  const random = randomFrom(SEED);
  for (const bits of [12, 16, 32] as const) {
    const image = join(scratch, `stretches-${bits}`);
    makeFat(image, { bits, size: (bits === 12 ? 2 : 40) * MiB + 512, sectorsPerCluster: bits === 16 ? 2 : 1 });
    fillFat(image, workFolder(), random, { budget: MiB / 2 });
    const source = fileSource(image);
    const info = await fat.probe(source);
    assert.ok(info);
    const { size } = statSync(image);
    assert.ok(info.size <= size && info.size > size - 32 * KiB, 'mkfs.vfat rounds to whole tracks');
    const map = await fat.openAllocationMap(source, info);
    const flags = Buffer.alloc(source.size);
    for await (const { offset, length } of map.usedExtents({ offset: 0, length: source.size })) {
      flags.fill(1, offset, offset + length);
    }
    for (let round = 0; round < 200; round += 1) {
      const offset = random.below(source.size);
      const length = Math.min(random.pick([1, 511, 5000, 300_000, 9_000_000]), source.size - offset);
      const seen = Buffer.alloc(length);
      let position = -1;
      for await (const extent of map.usedExtents({ offset, length })) {
        assert.ok(extent.offset > position && extent.offset >= offset && extentEnd(extent) <= offset + length);
        position = extentEnd(extent);
        seen.fill(1, extent.offset - offset, position - offset);
      }
      assert.ok(seen.equals(flags.subarray(offset, offset + length)));
    }
    await source.close();
  }
});

test('a FAT32 of 1 TiB costs seconds and little memory', async () => {
  const image = join(scratch, 'large');
  makeFat(image, { bits: 32, size: 2 ** 40, sectorsPerCluster: rounds({ short: 64, long: 8 }) });
  const source = fileSource(image);
  const before = process.memoryUsage().rss;
  const started = performance.now();
  const info = await fat.probe(source);
  assert.ok(info);
  const map = await fat.openAllocationMap(source, info);
  let used = 0;
  for await (const { length } of map.usedExtents({ offset: 0, length: source.size })) used += length;
  const mapped = (performance.now() - started) / 1000;
  await fat.token(source, info);
  const seconds = (performance.now() - started) / 1000;
  const growth = (process.memoryUsage().rss - before) / MiB;
  console.log(
    `1 TiB: map ${mapped.toFixed(2)} s, with token ${seconds.toFixed(2)} s, ${growth.toFixed(0)} MiB, ${used} used`,
  );
  assert.ok(seconds < 20 && growth < 100);
  await source.close();
  rmSync(image);
});

test.run();
