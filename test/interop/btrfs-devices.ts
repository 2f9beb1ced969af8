// File systems over several devices: every member is copied by its own map, or whole where its metadata lies elsewhere;
// then all copies together are judged by scrub, btrfs check and the kernel.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { usesOf } from '../../src/device/in-use.js';
import { btrfs } from '../../src/filesystem/btrfs/plugin.js';
import { OutOfReach } from '../../src/filesystem/plugin.js';
import { type AllocationMap, everythingUsed } from '../../src/map/allocation-map.js';
import { extentEnd } from '../../src/map/extent.js';
import { addFragmented, addSnapshots, fillWithHistory } from '../support/btrfs-corpus.js';
import { attached, demandPerfect, demandScrubbed, makeBtrfs, mounted, withVolume } from '../support/btrfs-image.js';
import { askProgs, type Oracle } from '../support/btrfs-oracle.js';
import { digestFolder } from '../support/ext4-corpus.js';
import { type Random, randomFrom, SEED, sampleOf } from '../support/random.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { copyUsedOntoGarbage } from '../support/sparse-copy.js';

const scratch = scratchFolder();
const SECTOR = 4 * KiB;
const NODE_SIZE = 16 * KiB;
let number = 0;

interface Layout {
  readonly name: string;
  readonly devices: number;
  readonly options: readonly string[];
  readonly size?: number;
  /** How many members must have a map of their own, if that is no accident; the others are copied whole. */
  readonly mapped: number | undefined;
}

const LAYOUTS: readonly Layout[] = [
  { name: 'RAID1', devices: 2, options: ['-m', 'raid1', '-d', 'raid1'], mapped: 2 },
  { name: 'RAID1C3', devices: 3, options: ['-m', 'raid1c3', '-d', 'raid1c3'], mapped: 3 },
  { name: 'RAID1C4, data RAID0', devices: 4, options: ['-m', 'raid1c4', '-d', 'raid0'], mapped: 4 },
  { name: 'RAID1C3, data RAID0', devices: 3, options: ['-m', 'raid1c3', '-d', 'raid0'], mapped: 3 },
  { name: 'RAID1C4, data RAID10', devices: 4, options: ['-m', 'raid1c4', '-d', 'raid10'], mapped: 4 },
  { name: 'RAID1C3, data RAID5', devices: 3, options: ['-m', 'raid1c3', '-d', 'raid5'], mapped: 3 },
  { name: 'RAID1C4, data RAID6', devices: 4, options: ['-m', 'raid1c4', '-d', 'raid6'], mapped: 4 },
  { name: 'RAID1, data single', devices: 2, options: ['-m', 'raid1', '-d', 'single'], mapped: 2 },
  { name: 'RAID1, data RAID5 over two', devices: 2, options: ['-m', 'raid1', '-d', 'raid5'], mapped: 2 },
  { name: 'all single', devices: 2, options: ['-m', 'single', '-d', 'single'], mapped: undefined },
  { name: 'all RAID0', devices: 3, options: ['-m', 'raid0', '-d', 'raid0'], mapped: 0 },
  { name: 'all RAID10', devices: 4, options: ['-m', 'raid10', '-d', 'raid10'], mapped: 0 },
  { name: 'all RAID5', devices: 3, options: ['-m', 'raid5', '-d', 'raid5'], mapped: 0 },
  { name: 'all RAID6', devices: 4, options: ['-m', 'raid6', '-d', 'raid6'], mapped: 0 },
];

const namesOf = (devices: number, ending: string): string[] =>
  Array.from({ length: devices }, (_, index) => join(scratch, `${number}-${index}.${ending}`));

function fill(folder: string, random: Random): Map<string, string> {
  fillWithHistory(folder, random, 20 * MiB);
  addFragmented(folder, random);
  addSnapshots(folder, random);
  return digestFolder(folder);
}

async function roundTrip(layout: Layout): Promise<void> {
  number += 1;
  const images = namesOf(layout.devices, 'img');
  const random = randomFrom(SEED + number);
  makeBtrfs(images, layout.size ?? 160 * MiB, layout.options);
  const wanted = mounted(images, (folder) => fill(folder, random));
  const copies = namesOf(layout.devices, 'copy');
  const mapped = await copyMembers(images, copies);
  assert.is(mapped, layout.mapped ?? mapped, 'members with a map');
  for (const image of images) rmSync(image);
  judge(copies, wanted);
}

/** Returns how many were copied by their own map. */
async function copyMembers(images: readonly string[], copies: readonly string[]): Promise<number> {
  const oracle = askProgs(images, NODE_SIZE);
  let mapped = 0;
  for (const [index, image] of images.entries()) {
    await withVolume(image, async (volume, info) => {
      const state = await btrfs.readState(volume, info);
      assert.is(state.kind, 'incomplete');
      assert.match(state.reason, new RegExp(`one of the ${images.length} devices`));
      assert.is(info.used, undefined);
      assert.is((await btrfs.token(volume, info)).length, 16);
      let map: AllocationMap;
      try {
        map = await btrfs.openAllocationMap(volume, info);
        mapped += 1;
        await compareWithProgs(map, { oracle, device: index + 1, size: volume.size });
      } catch (error) {
        assert.instance(error, OutOfReach, String(error));
        map = everythingUsed(volume.size);
      }
      await copyUsedOntoGarbage(volume, map, copies[index] ?? '');
    });
  }
  return mapped;
}

async function compareWithProgs(
  map: AllocationMap,
  { oracle, device, size }: { oracle: Oracle; device: number; size: number },
): Promise<void> {
  const sectors = new Uint8Array(size / SECTOR);
  for await (const extent of map.usedExtents({ offset: 0, length: size })) {
    sectors.fill(1, extent.offset / SECTOR, extentEnd(extent) / SECTOR);
  }
  assert.ok(Buffer.from(oracle.sectorsOf(device, size)).equals(Buffer.from(sectors)), 'used sectors by dump-tree');
}

function judge(copies: readonly string[], wanted: Map<string, string>): void {
  demandPerfect(copies);
  const scrubbed = (folder: string): Map<string, string> => {
    demandScrubbed(folder);
    return digestFolder(folder);
  };
  const found = mounted(copies, scrubbed, 'ro');
  assert.equal([...found], [...wanted]);
  for (const copy of copies) rmSync(copy);
}

for (const layout of sampleOf(LAYOUTS, 8)) {
  test(layout.name, () => roundTrip(layout));
}

test('two devices of different profiles: single metadata on the first, then a second one', async () => {
  number += 1;
  const images = namesOf(2, 'img');
  const random = randomFrom(SEED + number);
  makeBtrfs(images.slice(0, 1), 160 * MiB, []);
  run('truncate', ['-s', String(200 * MiB), images[1] ?? '']);
  const wanted = attached(images.slice(1), ([added]) =>
    mounted(images.slice(0, 1), (folder) => {
      run('btrfs', ['device', 'add', '-f', added ?? '', folder]);
      return fill(folder, random);
    }),
  );
  const copies = namesOf(2, 'copy');
  const mapped = await copyMembers(images, copies);
  // DUP metadata stays on one device until new chunks are needed: the second one knows nothing of itself.
  assert.ok(mapped <= 1, `${mapped} have a map`);
  for (const image of images) rmSync(image);
  judge(copies, wanted);
});

test('a device taken away again leaves one that is whole', async () => {
  number += 1;
  const images = namesOf(2, 'img');
  const random = randomFrom(SEED + number);
  makeBtrfs(images, 200 * MiB, ['-m', 'single', '-d', 'single']);
  const wanted = mounted(images, (folder) => {
    const digests = fill(folder, random);
    run('btrfs', ['device', 'remove', '1', folder]);
    return digests;
  });
  const copies = namesOf(2, 'copy').slice(1);
  await withVolume(images[1] ?? '', async (volume, info) => {
    assert.is((await btrfs.readState(volume, info)).kind, 'clean');
    await copyUsedOntoGarbage(volume, await btrfs.openAllocationMap(volume, info), copies[0] ?? '');
  });
  for (const image of images) rmSync(image);
  judge(copies, wanted);
});

test('sprouted from a seed, which was taken away then', async () => {
  number += 1;
  const [seed = '', sprout = ''] = namesOf(2, 'img');
  const random = randomFrom(SEED + number);
  makeBtrfs([seed], 160 * MiB, []);
  mounted([seed], (folder) => fillWithHistory(folder, random, 8 * MiB));
  run('btrfstune', ['-S', '1', seed]);
  run('truncate', ['-s', String(200 * MiB), sprout]);
  const wanted = attached([sprout], ([added = '']) =>
    mounted([seed], (folder) => {
      const mountedFrom = run('findmnt', ['-n', '-o', 'SOURCE', folder]).trim();
      run('btrfs', ['device', 'add', '-f', added, folder]);
      run('mount', ['-o', 'remount,rw', folder]);
      run('btrfs', ['device', 'remove', mountedFrom, folder]);
      addSnapshots(folder, random);
      return digestFolder(folder);
    }),
  );
  const [copy = ''] = namesOf(1, 'copy');
  await withVolume(sprout, async (volume, info) => {
    assert.is((await btrfs.readState(volume, info)).kind, 'clean');
    await copyUsedOntoGarbage(volume, await btrfs.openAllocationMap(volume, info), copy);
  });
  for (const image of [seed, sprout]) rmSync(image);
  judge([copy], wanted);
});

test('every device of a mounted file system is in use, though mountinfo names one', () => {
  number += 1;
  const images = namesOf(2, 'img');
  makeBtrfs(images, 128 * MiB, ['-m', 'raid1', '-d', 'raid1']);
  mounted(images, () => {
    const all = images.map((image) => usesOf(image).join());
    assert.ok(
      all.every((uses) => /mounted (on|as a part of btrfs)/.test(uses)),
      all.join('; '),
    );
  });
  assert.equal(images.flatMap(usesOf), []);
});

test.run();
