// Where every file lies, by the kernel or by the tools of others: each byte of it must be inside the allocation map.
// btrfs is compared sector by sector in btrfs-allocation; exFAT and F2FS are read back from copies on garbage.

import { lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Bytes, MiB } from '../../src/base/units.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import { fat } from '../../src/filesystem/fat/plugin.js';
import { ntfs } from '../../src/filesystem/ntfs/plugin.js';
import type { FilesystemPlugin } from '../../src/filesystem/plugin.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import type { Extent } from '../../src/map/extent.js';
import { fillFolder, thinFolder } from '../support/ext4-corpus.js';
import { makeImage, mounted } from '../support/ext4-image.js';
import { fillFat, makeFat } from '../support/fat-volume.js';
import { fileSource } from '../support/file-source.js';
import { withNtfsMounted } from '../support/ntfs-mount.js';
import { fillFolder as fillNtfs, makeNtfs } from '../support/ntfs-volume.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { makeXfs, mountedXfs } from '../support/xfs-image.js';

const scratch = scratchFolder();
const SECTOR: Bytes = 512;

/** Every extent lies inside the map, whole; there must be many of them. */
async function demandInside(image: string, plugin: FilesystemPlugin, extents: readonly Extent[]): Promise<void> {
  const volume = fileSource(image);
  const info = await plugin.probe(volume);
  assert.ok(info);
  const map = await plugin.openAllocationMap(volume, info);
  // One walk from end to end, as a clone does it.
  const used = Buffer.alloc(volume.size / SECTOR);
  for await (const { offset, length } of map.usedExtents({ offset: 0, length: volume.size })) {
    used.fill(1, Math.floor(offset / SECTOR), Math.ceil((offset + length) / SECTOR));
  }
  for (const { offset, length } of extents) {
    const free = used.subarray(offset / SECTOR, (offset + length) / SECTOR).indexOf(0);
    assert.is(free, -1, `${length} bytes at ${offset}`);
  }
  const all = extents.reduce((sum, { length }) => sum + length, 0);
  assert.ok(extents.length > 60 && all > MiB, `${extents.length} extents, ${all} bytes`);
  await volume.close();
}

/** Files, and folders if their place can be told. */
function filesBelow(folder: string, { folders = true }: { folders?: boolean } = {}): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() || (folders && entry.isDirectory()))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.includes('lost+found') && lstatSync(path).size > 0);
}

/** What a mounted file system holds, as the kernel tells it (FIEMAP). Inline data has no extent. */
function kernelExtents(folder: string, options: { folders: boolean }): Extent[] {
  run('sync', ['-f', folder]);
  const said = run('filefrag', ['-e', '-v', `-b${SECTOR}`, ...filesBelow(folder, options)]);
  const line = /^\s*\d+:\s+\d+\.\.\s*\d+:\s+(\d+)\.\.\s*(\d+):\s+\d+:(?!.*(?:inline|unknown_loc))/gm;
  return [...said.matchAll(line)].map(([, first, last]) => ({
    offset: Number(first) * SECTOR,
    length: (Number(last) - Number(first) + 1) * SECTOR,
  }));
}

function fill(folder: string, options = { folders: true }): Extent[] {
  const random = randomFrom(SEED);
  fillFolder(folder, random, { files: 300, largest: 2 * MiB, total: 16 * MiB });
  run('sync', ['-f', folder]);
  thinFolder(folder, random);
  mkdirSync(join(folder, 'later'));
  fillFolder(join(folder, 'later'), random, { files: 60, largest: MiB, total: 8 * MiB });
  return kernelExtents(folder, options);
}

const EXT: Record<string, readonly string[]> = {
  'ext2 with indirect blocks': ['-t', 'ext2', '-b', '1024'],
  'ext4 by default': ['-t', 'ext4', '-b', '4096'],
  'ext4 with clusters': ['-t', 'ext4', '-b', '1024', '-O', 'bigalloc', '-C', '16384'],
};

for (const [name, options] of Object.entries(EXT)) {
  test(name, async () => {
    const image = join(scratch, `${name}.img`);
    makeImage(image, 96 * MiB, options);
    await demandInside(
      image,
      ext4,
      mounted(image, (folder) => fill(folder)),
    );
  });
}

for (const options of [[], ['-b', 'size=1024', '-d', 'agcount=3']]) {
  test(`XFS ${options.join(' ')}`, async () => {
    const image = join(scratch, `xfs-${options.length}.img`);
    makeXfs(image, 96 * MiB, options);
    await demandInside(
      image,
      xfs,
      mountedXfs(image, (folder) => fill(folder, { folders: false })),
    );
  });
}

for (const clusterSize of [512, 4096, 65536]) {
  test(`NTFS with clusters of ${clusterSize}`, async () => {
    const image = join(scratch, `ntfs-${clusterSize}.img`);
    makeNtfs(image, { size: 64 * MiB, clusterSize });
    const paths = await withNtfsMounted(image, (folder) => {
      fillNtfs(folder, randomFrom(SEED), { budget: 12 * MiB });
      return filesBelow(folder).map((path) => relative(folder, path));
    });
    const extents = paths.flatMap((path) => {
      const said = run('ntfscluster', ['-q', '-f', '-F', `/${path}`, image], { env: { LC_ALL: 'C.UTF-8' } });
      return [...said.matchAll(/^\s+\d+\s+(\d+)\s+(\d+)$/gm)].map(([, cluster, count]) => ({
        offset: Number(cluster) * clusterSize,
        length: Number(count) * clusterSize,
      }));
    });
    await demandInside(image, ntfs, extents);
  });
}

for (const bits of [12, 16, 32] as const) {
  test(`FAT${bits}`, async () => {
    const image = join(scratch, `fat-${bits}.img`);
    makeFat(image, {
      bits,
      size: { 12: 15, 16: 30, 32: 60 }[bits] * MiB,
      ...(bits === 32 ? { sectorsPerCluster: 1 } : {}),
    });
    const work = join(scratch, `work-${bits}`);
    mkdirSync(work);
    fillFat(image, work, randomFrom(SEED), { budget: 6 * MiB });
    const said = run('fsck.vfat', ['-n', '-v', image]);
    const cluster = Number(/(\d+) bytes per cluster/.exec(said)?.[1]);
    const data = Number(/Data area starts at byte (\d+)/.exec(said)?.[1]);
    const names = run('mdir', ['-i', image, '-/', '-b', '::/']).trim().split('\n');
    const shown = run('mshowfat', ['-i', image, ...names]);
    const extents = [...shown.matchAll(/[<,](\d+)(?:-(\d+))?(?=[>,])/g)].map(([, first, last = first]) => ({
      offset: data + (Number(first) - 2) * cluster,
      length: (Number(last) - Number(first) + 1) * cluster,
    }));
    await demandInside(image, fat, extents);
  });
}

test.run();
