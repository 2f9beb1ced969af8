// Disks that clone tests build once, and a whole round of a clone through the command line: cloned, verified, cloned
// again, judged. The source must not change by a byte.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type Bytes, MiB } from '../../src/base/units.js';
import { demandClone, holdsNoise, oldFile, sha256 } from './clone-judge.js';
import { type BuiltDisk, buildDisk, type DiskWish, listDisk } from './disk-builder.js';
import { ectypeIn } from './ectype-cli.js';
import { attachLoop } from './loop-device.js';
import { EXT4, FAT16, FAT32, FAT32_4K, type Listing, NTFS, SWAP, UNRECOGNISED } from './partition-content.js';
import { randomFrom, SEED } from './random.js';

const sectors = (bytes: Bytes): number => bytes / 512;

export type Wish = Omit<DiskWish, 'path'>;

export const GPT: Wish = {
  table: 'gpt',
  size: 320 * MiB,
  partitions: [
    { content: FAT32, size: sectors(40 * MiB) },
    { content: EXT4, size: sectors(96 * MiB) + 13 },
    { content: NTFS, size: sectors(64 * MiB) + 1 },
    { content: SWAP, size: sectors(8 * MiB) },
    { content: UNRECOGNISED, size: sectors(5 * MiB) + 7 },
  ],
};

export const GPT_4096: Wish = {
  table: 'gpt',
  sectorSize: 4096,
  size: 512 * MiB,
  partitions: [
    { content: FAT32_4K, size: (260 * MiB) / 4096 },
    { content: EXT4, size: (64 * MiB) / 4096 + 3 },
    { content: NTFS, size: (48 * MiB) / 4096 + 1 },
    { content: UNRECOGNISED, size: 300 },
  ],
};

export const MBR_LOGICALS: Wish = {
  table: 'mbr',
  size: 300 * MiB,
  partitions: [
    { content: FAT16, size: sectors(20 * MiB) },
    { content: EXT4, size: sectors(48 * MiB) + 3 },
    { content: NTFS, size: sectors(48 * MiB), logical: true },
    { content: { kind: 'ext', options: ['-t', 'ext3', '-b', '1024'] }, size: sectors(40 * MiB) + 1, logical: true },
    { content: SWAP, size: sectors(4 * MiB), logical: true },
  ],
};

export const OLD_MBR: Wish = {
  table: 'mbr',
  size: 150 * MiB,
  partitions: [
    { content: NTFS, start: 63, size: sectors(40 * MiB) - 63 },
    { content: EXT4, start: sectors(40 * MiB), size: sectors(50 * MiB) + 5 },
    { content: FAT16, start: sectors(90 * MiB) + 5, size: sectors(20 * MiB) + 1 },
  ],
};

/** A GPT whose first partition begins before the usual alignment. */
export const firstAt = (start: number): Wish => ({
  table: 'gpt',
  size: 140 * MiB,
  partitions: [
    { content: FAT16, start, size: sectors(20 * MiB) },
    { content: EXT4, start: start + sectors(20 * MiB), size: sectors(64 * MiB) },
    { content: UNRECOGNISED, start: start + sectors(84 * MiB), size: sectors(3 * MiB) },
  ],
});

export interface Prepared {
  readonly disk: BuiltDisk;
  readonly files: ReadonlyMap<number, Listing>;
  readonly digest: string;
}

const built = new Map<Wish, Prepared>();

/** Made once; nobody may change it. */
export async function preparedDisk(scratch: string, wish: Wish): Promise<Prepared> {
  const known = built.get(wish);
  if (known) return known;
  const disk = await buildDisk(
    { ...wish, path: join(scratch, `disk-${built.size}.img`) },
    randomFrom(SEED + built.size),
  );
  assert.ok(holdsNoise(disk.path), 'there is deleted data that could travel');
  const made = { disk, files: await listDisk(disk.path, disk.partitions, { check: true }), digest: sha256(disk.path) };
  built.set(wish, made);
  return made;
}

let runs = 0;

/** Clones onto a target of `size` bytes full of old data and judges it. `loops`: both ends are loop devices. */
export async function roundTrip(
  scratch: string,
  wish: Wish,
  { size, loops }: { size: Bytes; loops: boolean },
): Promise<void> {
  const { disk, files, digest } = await preparedDisk(scratch, wish);
  const folder = join(scratch, `run-${runs++}`);
  const ectype = ectypeIn(folder);
  const target = oldFile(join(folder, 'target.img'), size);
  const clone = (from: string, to: string): void => {
    ectype.clone(from, to, '--overwrite-target', to);
    assert.ok(ectype.verify(from, to).equal, 'verify agrees');
    assert.not.ok(ectype.clone(from, to).changed, 'a second run finds nothing to write');
  };
  if (loops) {
    attachLoop(disk.path, disk.sectorSize, (from) => attachLoop(target, disk.sectorSize, (to) => clone(from, to)));
  } else clone(disk.path, target);
  assert.is(sha256(disk.path), digest, 'the source is what it was');
  await demandClone(disk, target, files);
  rmSync(folder, { recursive: true });
}
