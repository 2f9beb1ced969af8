// Clones to other sizes and places in situations that are easily overlooked: what was on the target already when the
// source changed, and sources that cannot be read everywhere. No changed block may be missed.

import { copyFileSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Bytes, MiB } from '../../src/base/units.js';
import { readTable } from '../../src/partition/read.js';
import { openDiskSource } from '../../src/source/disk.js';
import { HAS_BAD_SECTORS, withBadSectors } from '../support/bad-sectors.js';
import { oldFile, sha256 } from '../support/clone-judge.js';
import { findBytes } from '../support/clone-pair.js';
import {
  type BuiltDisk,
  buildDisk,
  cutOut,
  type DiskWish,
  listDisk,
  onPartition,
  partitionOf,
  readAt,
  writeAt,
} from '../support/disk-builder.js';
import { type Ectype, ectypeIn } from '../support/ectype-cli.js';
import { mounted } from '../support/ext4-image.js';
import { HAS_LOOP } from '../support/loop.js';
import { attachLoop } from '../support/loop-device.js';
import { EXT4, FAT32, NTFS } from '../support/partition-content.js';
import { randomFrom, SEED } from '../support/random.js';
import { demandRescaled } from '../support/rescaled.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { makeSwapFile } from '../support/swap-file.js';

const sectors = (bytes: Bytes): number => bytes / 512;
const test = suite('rescale-review');
const scratch = scratchFolder();
const random = randomFrom(SEED);
let scenes = 0;

interface Scene {
  readonly disk: BuiltDisk;
  readonly target: string;
  readonly ectype: Ectype;
  readonly folder: string;
}

async function sceneOf(wish: Omit<DiskWish, 'path'>, size: Bytes): Promise<Scene> {
  const folder = join(scratch, `scene-${scenes++}`);
  mkdirSync(folder);
  const disk = await buildDisk({ ...wish, path: join(folder, 'source.img') }, random);
  return { disk, target: oldFile(join(folder, 'target.img'), size), ectype: ectypeIn(folder), folder };
}

/** Where the partition lies on the disk in `path`. */
async function placeOn(path: string, number: number): Promise<{ offset: Bytes; length: Bytes }> {
  const medium = openDiskSource(path);
  try {
    const table = await readTable(medium);
    const found = table?.partitions.find((partition) => partition.number === number);
    assert.ok(found);
    return found.extent;
  } finally {
    await medium.close();
  }
}

/** Mounts the ext4 in a partition of the disk, changes it, and puts it back. */
function changeExt4({ disk, folder }: Scene, number: number, change: (root: string) => void): void {
  const { extent } = partitionOf(disk, number);
  const part = join(folder, `part-${number}`);
  cutOut(disk.path, extent, part);
  mounted(part, change);
  writeAt(disk.path, extent.offset, readFileSync(part));
}

test('a file on a FAT that another one of the same size and time replaced', async () => {
  const { disk, target, ectype, folder } = await sceneOf(
    { table: 'mbr', size: 64 * MiB, partitions: [{ content: { kind: 'fat', bits: 16 }, size: sectors(20 * MiB) }] },
    80 * MiB,
  );
  const { extent } = partitionOf(disk, 1);
  const put = (bytes: Buffer): void => {
    const file = join(folder, 'kernel');
    writeFileSync(file, bytes);
    utimesSync(file, 1_600_000_000, 1_600_000_000);
    run('mcopy', ['-m', '-D', 'o', '-i', `${disk.path}@@${extent.offset}`, file, '::KERNEL.EFI']);
  };
  const options = ['--size', '1=30M'];
  put(Buffer.alloc(100_000, 'old '));
  ectype.clone(disk.path, target, `--overwrite-target=${target}`, ...options);
  const before = readAt(disk.path, extent.offset, extent.length);
  put(Buffer.alloc(100_000, 'new '));
  const after = readAt(disk.path, extent.offset, extent.length);
  assert.not.equal(after, before);
  assert.equal(after.subarray(0, MiB / 8), before.subarray(0, MiB / 8), 'nothing but its content shows the change');
  assert.ok(ectype.clone(disk.path, target, ...options).changed);
  const copy = join(folder, 'copy');
  run('mcopy', ['-i', `${target}@@${(await placeOn(target, 1)).offset}`, '::KERNEL.EFI', copy]);
  assert.equal(readFileSync(copy), Buffer.alloc(100_000, 'new '));
  assert.ok(ectype.verify(disk.path, target, ...options).equal);
});

test('a swap file that the fstab on another volume no longer names', async () => {
  const scene = await sceneOf(
    {
      table: 'gpt',
      size: 200 * MiB,
      partitions: [
        { content: EXT4, size: sectors(48 * MiB) },
        { content: EXT4, size: sectors(64 * MiB) },
      ],
    },
    300 * MiB,
  );
  const { disk, target, ectype, folder } = scene;
  const part = join(folder, 'home');
  cutOut(disk.path, partitionOf(disk, 2).extent, part);
  run('tune2fs', ['-L', 'home', part]);
  writeAt(disk.path, partitionOf(disk, 2).extent.offset, readFileSync(part));
  changeExt4(scene, 2, (root) => makeSwapFile(join(root, 'swapfile'), 2 * MiB));
  const fstab = (text: string): void =>
    changeExt4(scene, 1, (root) => {
      mkdirSync(join(root, 'etc'), { recursive: true });
      writeFileSync(join(root, 'etc/fstab'), text);
    });
  fstab('LABEL=home /home ext4 defaults 0 0\n/home/swapfile none swap sw 0 0\n');
  const options = ['--layout', 'fill'];
  const first = ectype.clone(disk.path, target, `--overwrite-target=${target}`, ...options);
  assert.ok(first.excludedBytes > MiB, 'it was left out');
  fstab('LABEL=home /home ext4 defaults 0 0\n');
  const second = ectype.clone(disk.path, target, ...options);
  assert.is(second.excludedBytes, 0);
  assert.ok(ectype.verify(disk.path, target, ...options).equal, 'what is no longer left out was copied');
});

test('the backup boot sector of an NTFS cannot be read', async () => {
  if (!HAS_BAD_SECTORS) return;
  const { disk, target, ectype } = await sceneOf(
    { table: 'gpt', size: 64 * MiB, partitions: [{ content: NTFS, size: sectors(40 * MiB) }] },
    64 * MiB,
  );
  const { extent } = partitionOf(disk, 1);
  const bad = [{ offset: extent.offset + extent.length - 512, length: 512 }];
  await withBadSectors(disk.path, bad, (device) => {
    const { status, events } = ectype.try('clone', '--yes', '--rescue', `--overwrite-target=${target}`, device, target);
    assert.is(status, 8, JSON.stringify(events.at(-1)));
  });
});

test('what cannot shrink, onto a smaller disk with other sectors', () => {
  if (!HAS_LOOP) return;
  const folder = join(scratch, 'bare');
  mkdirSync(folder);
  const ectype = ectypeIn(folder);
  const source = oldFile(join(folder, 'source.img'), 24 * MiB);
  const target = oldFile(join(folder, 'target.img'), 12 * MiB);
  const before = sha256(target);
  attachLoop(source, 512, (from) =>
    attachLoop(target, 4096, (to) => {
      const { code } = ectype.refused(3, 'clone', '--yes', `--overwrite-target=${to}`, from, to);
      assert.is(code, 'safety.target-too-small');
    }),
  );
  assert.is(sha256(target), before, 'the target is what it was');
});

test('a partition of a raw file, into one of a disk with other sectors', async () => {
  if (!HAS_LOOP) return;
  const { disk, target, ectype } = await sceneOf(
    { table: 'gpt', size: 64 * MiB, partitions: [{ content: FAT32, size: sectors(40 * MiB) }] },
    64 * MiB,
  );
  attachLoop(target, 4096, (to) => {
    run('sfdisk', ['--no-reread', '--no-tell-kernel', '-q', to], { input: 'label: gpt\nstart=256, size=10240\n' });
    const names = [`${disk.path}#1`, `${to}#1`] as const;
    ectype.clone(...names, `--overwrite-target=${to}`);
    assert.is(readAt(target, MiB, 512).readUInt16LE(11), 4096, 'Linux takes no FAT with smaller sectors than the disk');
    assert.ok(ectype.verify(...names).equal);
    assert.not.ok(ectype.clone(...names).changed);
  });
});

test('more files than a place from the last run can hold', async () => {
  const scene = await sceneOf(
    {
      table: 'gpt',
      size: 220 * MiB,
      partitions: [
        { content: EXT4, size: sectors(100 * MiB) },
        { content: EXT4, size: sectors(110 * MiB) },
      ],
    },
    180 * MiB,
  );
  const { disk, target, ectype } = scene;
  const first = ectype.clone(disk.path, target, `--overwrite-target=${target}`);
  assert.is(first.plan.volumes[1]?.fate, 'shrunk');
  changeExt4(scene, 2, (root) => writeFileSync(join(root, 'more'), Buffer.alloc(64 * MiB, 'more')));
  const second = ectype.clone(disk.path, target);
  assert.is(second.plan.volumes[0]?.fate, 'shrunk', 'the other one has room to give');
  assert.ok(ectype.verify(disk.path, target).equal);
  assert.not.ok(ectype.clone(disk.path, target).changed);
  await demandRescaled(disk, target, await listDisk(disk.path, disk.partitions));
});

test('a raw copy of the source that was changed since is another source, whatever its tokens say', async () => {
  const wish = { table: 'gpt', size: 80 * MiB, partitions: [{ content: EXT4, size: sectors(64 * MiB) }] } as const;
  const { disk, target, ectype, folder } = await sceneOf(wish, 160 * MiB);
  const { extent } = partitionOf(disk, 1);
  const mark = random.bytes(4096);
  const write = (file: string): void => mounted(file, (root) => writeFileSync(join(root, 'marked'), mark));
  await onPartition(disk.path, extent, write, { write: true });
  ectype.clone(disk.path, target, `--overwrite-target=${target}`, '--layout', 'fill');
  const other = { ...disk, path: join(folder, 'other.img') };
  copyFileSync(disk.path, other.path);
  writeAt(other.path, findBytes(other.path, mark, extent), random.bytes(4096));
  assert.ok(ectype.clone(other.path, target, `--overwrite-target=${target}`, '--layout', 'fill').changed);
  await demandRescaled(other, target, await listDisk(other.path, other.partitions));
});

test.run();
