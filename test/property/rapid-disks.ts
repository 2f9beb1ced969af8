// Rapid clones of whole disks, of which few volumes change at a time: as they are, larger, smaller, and as twins.

import {
  closeSync,
  copyFileSync,
  futimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Bytes, MiB } from '../../src/base/units.js';
import { oldFile } from '../support/clone-judge.js';
import { preparedDisk, type Wish } from '../support/clone-round-trip.js';
import { type BuiltDisk, type BuiltPartition, changeDisk, listDisk, onPartition } from '../support/disk-builder.js';
import { type Cloned, ectypeIn } from '../support/ectype-cli.js';
import { type Content, EXT4, NTFS, withFolder } from '../support/partition-content.js';
import { type Random, randomFrom, SEED, sampleOf } from '../support/random.js';
import { demandRescaled } from '../support/rescaled.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const ROUNDS = rounds({ short: 2, long: 40 });
const XFS: Content = { kind: 'xfs', options: [] };
const BTRFS: Content = { kind: 'btrfs', options: [] };
const sectors = (bytes: Bytes): number => bytes / 512;

interface Scene {
  readonly name: string;
  readonly wish: Wish;
  readonly grows: Bytes;
  readonly options: readonly string[];
}

const wishOf = (...partitions: readonly (readonly [Content, Bytes])[]): Wish => ({
  table: 'gpt',
  size: partitions.reduce((sum, [, size]) => sum + size + 2 * MiB, 2 * MiB),
  partitions: partitions.map(([content, size]) => ({ content, size: sectors(size) })),
});

const ALL = wishOf([EXT4, 80 * MiB], [NTFS, 40 * MiB], [BTRFS, 160 * MiB], [XFS, 310 * MiB]);
const LINUX = wishOf([EXT4, 80 * MiB], [BTRFS, 330 * MiB]);

const SCENES: readonly Scene[] = [
  { name: 'as it is', wish: ALL, grows: 0, options: [] },
  { name: 'larger', wish: ALL, grows: 120 * MiB, options: ['--layout', 'fill'] },
  { name: 'ext4 larger, btrfs smaller', wish: LINUX, grows: 0, options: ['--size', '1=120M', '--size', '2=270M'] },
  { name: 'ext4 smaller, btrfs larger', wish: LINUX, grows: 0, options: ['--size', '1=60M', '--size', '2=rest'] },
  { name: 'a twin', wish: LINUX, grows: 0, options: ['--identity', 'new'] },
];

/** Some bytes of some old files, whose times are set back. */
async function overwrite({ path }: BuiltDisk, { extent, content }: BuiltPartition, random: Random): Promise<void> {
  const scribble = (folder: string): void => {
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    for (let count = 0; count < 3; count += 1) {
      const entry = random.pick(files);
      const file = join(entry.parentPath, entry.name);
      const { size, atime, mtime } = statSync(file);
      if (size === 0) continue;
      const fd = openSync(file, 'r+');
      writeSync(fd, random.bytes(1), 0, 1, random.below(size));
      futimesSync(fd, atime, mtime);
      closeSync(fd);
    }
  };
  await onPartition(path, extent, (file) => withFolder(file, content, scribble), { write: true });
}

/** What changed was found, and of the others little was read: small ones are mostly metadata, and a btrfs' is read. */
function demandRapid({ plan, volumes }: Cloned, changed: ReadonlySet<number>): void {
  for (const [index, { detect, detectReason, used, fate, name }] of plan.volumes.entries()) {
    assert.is(detect, 'rapid', `${name}: ${detectReason}`);
    const read = volumes[index]?.sourceRead ?? 0;
    if (!changed.has(index + 1)) assert.ok(read <= used / 2, `${read} of ${used} bytes of ${name} (${fate}) were read`);
  }
}

async function someRounds({ name, wish, grows, options }: Scene, random: Random): Promise<void> {
  const { disk: built } = await preparedDisk(scratch, wish);
  const folder = join(scratch, name.replaceAll(' ', '-'));
  mkdirSync(folder);
  const disk = { ...built, path: join(folder, 'source.img') };
  copyFileSync(built.path, disk.path);
  const target = oldFile(join(folder, 'target.img'), disk.size + grows);
  const ectype = ectypeIn(folder);
  ectype.clone(disk.path, target, '--overwrite-target', target, ...options);
  for (let round = 1; round <= ROUNDS; round += 1) {
    const changed = disk.partitions.filter(() => random.chance(0.4)).slice(0, 2);
    for (const partition of changed) {
      if (random.chance(0.7)) await overwrite(disk, partition, random);
      if (random.chance(0.6)) await changeDisk(disk, { random, generation: round }, [partition.number]);
    }
    const cloned = ectype.clone(
      disk.path,
      target,
      '--verify',
      '--detect',
      'rapid',
      '--full-check-every',
      '0',
      ...options,
    );
    demandRapid(cloned, new Set(changed.map(({ number }) => number)));
    await demandRescaled(disk, target, await listDisk(disk.path, disk.partitions));
  }
  rmSync(folder, { recursive: true });
}

for (const [index, scene] of sampleOf(SCENES, 1).entries()) {
  test(`${scene.name}: ${ROUNDS} rounds`, () => someRounds(scene, randomFrom(SEED + index)));
}

test.run();
