// NTFS allocation maps, judged by ntfs-3g: what they leave out is nothing that anybody needs.

import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ntfs } from '../../src/filesystem/ntfs/plugin.js';
import { extentEnd } from '../../src/map/extent.js';
import { fileSource } from '../support/file-source.js';
import { hashTree, withNtfsMounted } from '../support/ntfs-mount.js';
import { fillFolder, fragment, makeNtfs } from '../support/ntfs-volume.js';
import { randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { copyUsedOntoGarbage } from '../support/sparse-copy.js';

const MiB = 1 << 20;
const scratch = scratchFolder();

interface Made {
  readonly image: string;
  readonly clusterSize: number;
  readonly sectorSize: number;
  readonly state?: 'dirty';
}

/** Copies what is used, then lets ntfs-3g's tools and a mount judge the copy. Returns the used bytes. */
async function judge({ image, clusterSize, sectorSize, state }: Made): Promise<number> {
  const source = fileSource(image);
  const copy = `${image}.copy`;
  try {
    const info = await ntfs.probe(source);
    assert.ok(info, 'probed');
    assert.is(info.blockSize, clusterSize);
    assert.is(info.label, 'Prüfstück');
    assert.is(info.uuid, run('blkid', ['-p', '-o', 'value', '-s', 'UUID', image]).trim());
    assert.is((await ntfs.readState(source, info)).kind, state ?? 'clean');
    const map = await ntfs.openAllocationMap(source, info);
    assert.is(map.blockSize, clusterSize);
    const used = await copyUsedOntoGarbage(source, map, copy);
    assertUsedCount({ image, clusterSize, sectorSize }, used);

    const checked = tryRun('ntfsfix', ['-n', copy]);
    assert.is(checked.status, 0, checked.stdout + checked.stderr);
    run('ntfsinfo', ['-f', '-m', copy]);
    const expected = await withNtfsMounted(image, hashTree, { options: 'ro' });
    const copied = await withNtfsMounted(copy, hashTree, { options: 'ro' });
    assert.ok(expected.size > 0);
    assert.equal(copied, expected);
    assertBackupBootSector(copy, sectorSize);
    assert.equal(await ntfs.token(fileSource(copy), info), await ntfs.token(source, info), 'token of the copy');
    return used;
  } finally {
    await source.close();
    rmSync(copy, { force: true });
  }
}

/** Counts the bits that ntfscat shows in $Bitmap. */
function assertUsedCount({ image, clusterSize, sectorSize }: Made, used: number): void {
  const boot = readBytes(image, 0, 512);
  const totalSectors = Number(boot.readBigUInt64LE(0x28));
  const clusters = Math.floor((totalSectors * sectorSize) / clusterSize);
  const bitmap = spawnSync('ntfscat', ['-f', image, '$Bitmap'], { maxBuffer: 1 << 28 }).stdout;
  let count = 0;
  for (let bit = 0; bit < clusters; bit += 1) count += ((bitmap[bit >> 3] ?? 0) >> (bit & 7)) & 1;
  assert.ok(count > 0);
  const tail = Math.min((totalSectors + 1) * sectorSize, statSync(image).size) - clusters * clusterSize;
  assert.is(used, count * clusterSize + tail);
  assert.ok(used < statSync(image).size);
}

function assertBackupBootSector(copy: string, sectorSize: number): void {
  const last = readBytes(copy, Number(readBytes(copy, 0, 512).readBigUInt64LE(0x28)) * sectorSize, 512);
  assert.is(last.toString('latin1', 3, 11), 'NTFS    ');
}

function readBytes(path: string, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const fd = openSync(path, 'r');
  readSync(fd, bytes, 0, length, offset);
  closeSync(fd);
  return bytes;
}

const GEOMETRIES = [
  { clusterSize: 512, sectorSize: 512, size: 40 * MiB },
  { clusterSize: 4096, sectorSize: 512, size: 64 * MiB + 512 * 5 },
  { clusterSize: 65536, sectorSize: 512, size: 96 * MiB + 4096 },
  { clusterSize: 2 * MiB, sectorSize: 512, size: 700 * MiB + 512 },
  { clusterSize: 4096, sectorSize: 4096, size: 64 * MiB },
  { clusterSize: 8192, sectorSize: 1024, size: 64 * MiB },
];

for (const { clusterSize, sectorSize, size } of GEOMETRIES) {
  test(`clusters of ${clusterSize}, sectors of ${sectorSize}: the used bytes are the whole file system`, async () => {
    const image = join(scratch, `ntfs-${clusterSize}-${sectorSize}`);
    const random = randomFrom(SEED + clusterSize + sectorSize);
    makeNtfs(image, { size, clusterSize, sectorSize });
    const budget = clusterSize > 65536 ? 4 * MiB : 20 * MiB;
    await withNtfsMounted(image, (folder) => fillFolder(folder, random, { budget }));
    await judge({ image, clusterSize, sectorSize });
    rmSync(image);
  });
}

test('compressed files', async () => {
  const image = join(scratch, 'ntfs-compressed');
  makeNtfs(image, { size: 48 * MiB, clusterSize: 4096 });
  await withNtfsMounted(
    image,
    (folder) => {
      run('python3', [
        '-c',
        'import os,sys; os.setxattr(sys.argv[1], "system.ntfs_attrib_be", bytes([0,0,8,0]))',
        folder,
      ]);
      const text = Buffer.from('all work and no play makes a dull file\n'.repeat(40_000));
      for (let index = 0; index < 8; index += 1) writeFileSync(join(folder, `text ${index}`), text);
      fillFolder(folder, randomFrom(SEED), { budget: 4 * MiB });
    },
    { options: 'compression' },
  );
  assert.match(run('ntfsinfo', ['-F', 'text 0', image]), /COMPRESSED/);
  const used = await judge({ image, clusterSize: 4096, sectorSize: 512 });
  assert.ok(used < 16 * MiB);
  rmSync(image);
});

test('attribute lists: a file in thousands of pieces, a fragmented $MFT and a large root directory', async () => {
  const image = join(scratch, 'ntfs-fragmented');
  const random = randomFrom(SEED);
  makeNtfs(image, { size: 32 * MiB, clusterSize: 512 });
  await withNtfsMounted(image, (folder) => {
    fragment(folder, random, { clusterSize: 512 * 4, holes: 3000, names: 4200 });
    for (let index = 0; index < 300; index += 1)
      writeFileSync(join(folder, `a long name in the root directory ${index}`), '');
    rmSync(join(folder, 'rest'));
  });
  assert.match(run('ntfsinfo', ['-F', 'fragmented', image]), /ATTRIBUTE_LIST/);
  assert.match(run('ntfsinfo', ['-i', '0', image]), /ATTRIBUTE_LIST/, 'of $MFT itself');
  await judge({ image, clusterSize: 512, sectorSize: 512 });

  // Growing moves $Bitmap, and leaves the volume marked dirty for Windows.
  truncateSync(image, 48 * MiB);
  run('ntfsresize', ['-ff', image], { input: 'y\n' });
  await judge({ image, clusterSize: 512, sectorSize: 512, state: 'dirty' });
  rmSync(image);
});

test('any stretch of the map is the same part of the whole', async () => {
  const image = join(scratch, 'ntfs-stretches');
  const random = randomFrom(SEED);
  makeNtfs(image, { size: 40 * MiB + 1536, clusterSize: 4096 });
  await withNtfsMounted(image, (folder) => fillFolder(folder, random, { budget: 10 * MiB }));
  const source = fileSource(image);
  const info = await ntfs.probe(source);
  assert.ok(info);
  assert.is(info.size, statSync(image).size);
  const map = await ntfs.openAllocationMap(source, info);
  const flags = Buffer.alloc(source.size);
  for await (const { offset, length } of map.usedExtents({ offset: 0, length: source.size })) {
    flags.fill(1, offset, offset + length);
  }
  for (let round = 0; round < 300; round += 1) {
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
});

test.run();
