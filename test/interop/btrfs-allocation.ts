// Copies only what the map calls used onto garbage; btrfs check, scrub, dump-tree and the kernel judge the copy.

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { btrfs } from '../../src/filesystem/btrfs/plugin.js';
import type { AllocationMap } from '../../src/map/allocation-map.js';
import { extentEnd } from '../../src/map/extent.js';
import { moveBlockGroups } from '../support/btrfs-block-group-tree.js';
import {
  addCompressible,
  addFragmented,
  addReflinks,
  addSmallFiles,
  addSnapshots,
  fillWithHistory,
} from '../support/btrfs-corpus.js';
import { demandPerfect, demandScrubbed, makeBtrfs, mounted, withVolume } from '../support/btrfs-image.js';
import { askProgs } from '../support/btrfs-oracle.js';
import { digestFolder, fillFolder } from '../support/ext4-corpus.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { copyUsedOntoGarbage } from '../support/sparse-copy.js';

const scratch = scratchFolder();
const SECTOR = 4 * KiB;
let number = 0;

interface Layout {
  readonly name: string;
  readonly size?: number;
  readonly options?: readonly string[];
  readonly mount?: string;
  readonly nodeSize?: number;
  readonly make?: (image: string, random: Random) => void;
  readonly more?: (folder: string, random: Random) => void;
  readonly finish?: (image: string) => void;
}

const LAYOUTS: readonly Layout[] = [
  { name: 'by default (DUP metadata)' },
  { name: 'single metadata', options: ['-m', 'single'] },
  { name: 'DUP data too', options: ['-d', 'dup'], size: 320 * MiB },
  { name: 'single metadata, DUP data', options: ['-m', 'single', '-d', 'dup'], size: 320 * MiB },
  { name: 'mixed groups', options: ['--mixed'], nodeSize: 4 * KiB, size: 128 * MiB },
  { name: 'mixed DUP groups', options: ['--mixed', '-m', 'dup', '-d', 'dup'], nodeSize: 4 * KiB, size: 200 * MiB },
  { name: 'tree blocks of 4 KiB', options: ['-n', '4096'], nodeSize: 4 * KiB, more: smallFiles(3000) },
  { name: 'tree blocks of 64 KiB', options: ['-n', '65536'], nodeSize: 64 * KiB },
  { name: 'no skinny metadata', options: ['-O', '^skinny-metadata,^no-holes', '-R', '^free-space-tree'] },
  { name: 'the old space cache', options: ['-R', '^free-space-tree'], mount: 'space_cache=v1' },
  { name: 'xxhash', options: ['--csum', 'xxhash'] },
  { name: 'sha256', options: ['--csum', 'sha256'] },
  { name: 'blake2', options: ['--csum', 'blake2'], more: smallFiles(2000) },
  { name: 'compressed with zstd', mount: 'compress-force=zstd', more: addCompressible },
  { name: 'compressed with lzo', mount: 'compress=lzo', more: addCompressible },
  { name: 'many small files', options: ['-n', '4096', '-m', 'single'], nodeSize: 4 * KiB, more: smallFiles(9000) },
  { name: 'not copy-on-write', mount: 'nodatacow', more: addFragmented },
  { name: 'reflinks', more: addReflinks },
  { name: 'snapshots and subvolumes', more: addSnapshots },
  { name: 'a big fragmented file', more: addFragmented },
  { name: 'quota groups', options: ['-R', 'quota'], more: addSnapshots },
  { name: 'partly balanced', options: ['-m', 'single'], more: balancePartly },
  { name: 'a balance that waits to go on', more: pauseBalance },
  { name: 'grown', size: 200 * MiB, more: (folder) => resize(folder, '+0') },
  { name: 'shrunk', size: 500 * MiB, more: (folder) => resize(folder, '-150M') },
  { name: 'another UUID', finish: (image) => void run('btrfstune', ['-f', '-u', image]) },
  { name: 'another UUID but for the metadata', finish: (image) => void run('btrfstune', ['-m', image]) },
  { name: 'a seed', finish: (image) => void run('btrfstune', ['-S', '1', image]) },
  { name: 'a swap file and preallocated space', more: swapFile },
  { name: 'converted from ext4', size: 300 * MiB, make: convert },
];

function smallFiles(count: number): (folder: string, random: Random) => void {
  return (folder, random) => addSmallFiles(folder, random, count);
}

function balancePartly(folder: string, random: Random): void {
  run('btrfs', ['balance', 'start', '-dlimit=1', '-mconvert=dup,limit=1', '-f', folder]);
  const later = join(folder, 'later');
  mkdirSync(later);
  fillFolder(later, random, { files: 50, largest: MiB, total: 4 * MiB });
}

function pauseBalance(folder: string, random: Random): void {
  addSnapshots(folder, random);
  const pause = `while kill -0 $! && ! btrfs balance pause '${folder}'; do sleep 0.01; done; wait`;
  tryRun('sh', ['-c', `btrfs balance start --full-balance '${folder}' & ${pause}`]);
  assert.match(tryRun('btrfs', ['balance', 'status', folder]).stdout, /is paused/);
}

function resize(folder: string, by: string): void {
  if (by !== '+0') run('btrfs', ['filesystem', 'resize', by, folder]);
}

function swapFile(folder: string): void {
  const path = join(folder, 'swap');
  run('truncate', ['-s', '0', path]);
  run('chattr', ['+C', path]);
  run('fallocate', ['-l', '8M', path]);
  run('mkswap', [path]);
  run('fallocate', ['-l', '5M', join(folder, 'reserved')]);
}

function convert(image: string, random: Random): void {
  run('truncate', ['-s', String(300 * MiB), image]);
  run('mke2fs', ['-q', '-F', '-t', 'ext4', '-b', '4096', image]);
  const folder = `${image}.ext4`;
  run('mkdir', [folder]);
  run('mount', ['-o', 'loop', image, folder]);
  fillFolder(folder, random, { files: 300, largest: MiB, total: 24 * MiB });
  run('umount', [folder]);
  run('rmdir', [folder]);
  run('btrfs-convert', [image]);
}

async function roundTrip(layout: Layout): Promise<void> {
  number += 1;
  const image = join(scratch, `${number}.img`);
  const copy = join(scratch, `${number}.copy`);
  const random = randomFrom(SEED + number);
  if (layout.make) layout.make(image, random);
  else makeBtrfs([image], layout.size ?? 176 * MiB, layout.options ?? []);
  const fill = (folder: string): Map<string, string> => {
    fillWithHistory(folder, random, 24 * MiB);
    layout.more?.(folder, random);
    return digestFolder(folder);
  };
  const wanted = mounted([image], fill, layout.mount ?? 'rw');
  layout.finish?.(image);

  await withVolume(image, async (volume, info) => {
    const state = await btrfs.readState(volume, info);
    assert.equal(state.kind, 'clean', state.reason);
    assert.is(info.kind, 'btrfs');
    assert.is(info.blockSize, SECTOR);
    const map = await btrfs.openAllocationMap(volume, info);
    const used = await copyUsedOntoGarbage(volume, map, copy);
    assert.ok(used < info.size * 0.8, `${used} bytes are used`);
    await compareWithProgs(image, { map, size: volume.size, nodeSize: layout.nodeSize ?? 16 * KiB, used: info.used });
  });
  demandPerfect([copy]);
  const scrubbed = (folder: string): Map<string, string> => {
    demandScrubbed(folder);
    return digestFolder(folder);
  };
  const found = mounted([copy], scrubbed, 'ro,skip_balance');
  assert.equal([...found], [...wanted]);
  rmSync(image);
  rmSync(copy);
}

async function compareWithProgs(
  image: string,
  { map, size, nodeSize, used }: { map: AllocationMap; size: number; nodeSize: number; used: number | undefined },
): Promise<void> {
  const oracle = askProgs([image], nodeSize);
  assert.is(used, oracle.extentBytes, 'used by the superblock');
  assert.is(used, oracle.blockGroupBytes, 'used by the block groups');
  const sectors = new Uint8Array(size / SECTOR);
  for await (const extent of map.usedExtents({ offset: 0, length: size })) {
    sectors.fill(1, extent.offset / SECTOR, extentEnd(extent) / SECTOR);
  }
  assert.ok(Buffer.from(oracle.sectorsOf(1, size)).equals(Buffer.from(sectors)), 'used sectors by dump-tree');
}

for (const layout of LAYOUTS) {
  test(layout.name, () => roundTrip(layout));
}

test('block groups in a tree of their own', async () => {
  const image = join(scratch, 'groups.img');
  const copy = join(scratch, 'groups.copy');
  makeBtrfs([image], 256 * MiB, ['-m', 'single', '-d', 'single']);
  mounted([image], (folder) => addSmallFiles(folder, randomFrom(SEED), 20));
  moveBlockGroups(image, 16 * KiB);
  await withVolume(image, async (volume, info) => {
    assert.is((await btrfs.readState(volume, info)).kind, 'clean');
    const map = await btrfs.openAllocationMap(volume, info);
    await copyUsedOntoGarbage(volume, map, copy);
  });
  const read = (folder: string): [string, string][] => [...digestFolder(folder)];
  assert.equal(mounted([copy], read, 'ro'), mounted([image], read, 'ro'));
});

test.run();
