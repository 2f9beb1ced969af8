// A source and a target that was cloned from it a moment ago: where tests of later runs begin.

import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type Bytes, MiB } from '../../src/base/units.js';
import { BLOCK_SIZE } from '../../src/map/block-map.js';
import { type Extent, intersect } from '../../src/map/extent.js';
import { demandSameFiles, demandSoundTable, sha256 } from './clone-judge.js';
import { preparedDisk, type Wish } from './clone-round-trip.js';
import { type BuiltDisk, listDisk, readAt } from './disk-builder.js';
import { type Ectype, ectypeIn } from './ectype-cli.js';
import { EXT4, FAT32, type Listing, NTFS, SWAP, UNRECOGNISED } from './partition-content.js';

/** Unaligned ends, one partition of each kind. */
export const SMALL: Wish = {
  table: 'gpt',
  size: 150 * MiB,
  partitions: [
    { content: FAT32, size: (36 * MiB) / 512 + 3 },
    { content: EXT4, size: (48 * MiB) / 512 + 13 },
    { content: NTFS, size: (40 * MiB) / 512 + 1 },
    { content: SWAP, size: (3 * MiB) / 512 },
    { content: UNRECOGNISED, size: (4 * MiB) / 512 + 7 },
  ],
};

export interface ClonedPair {
  readonly disk: BuiltDisk;
  readonly target: string;
  readonly ectype: Ectype;
  remove(): void;
}

let pairs = 0;

/** A copy of the disk that `wish` describes, and a clone of it in a new file. */
export async function clonedPair(scratch: string, wish: Wish): Promise<ClonedPair> {
  const { disk } = await preparedDisk(scratch, wish);
  const folder = join(scratch, `pair-${pairs++}`);
  mkdirSync(folder);
  const source = join(folder, 'source.img');
  const target = join(folder, 'target.img');
  copyFileSync(disk.path, source);
  const ectype = ectypeIn(folder);
  ectype.clone(source, target);
  return {
    disk: { ...disk, path: source },
    target,
    ectype,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Where in `extent` of the file the bytes are found first; -1 if nowhere. */
export function findBytes(path: string, wanted: Buffer, { offset, length }: Extent): Bytes {
  const found = readAt(path, offset, length).indexOf(wanted);
  return found < 0 ? -1 : offset + found;
}

/** Numbers of the extent's blocks in which the two files differ. */
export function differingBlocks(a: string, b: string, extent: Extent): number[] {
  const differing: number[] = [];
  for (let block = 0; block * BLOCK_SIZE < extent.length; block += 1) {
    const place = intersect({ offset: extent.offset + block * BLOCK_SIZE, length: BLOCK_SIZE }, extent);
    if (place && !readAt(a, place.offset, place.length).equals(readAt(b, place.offset, place.length))) {
      differing.push(block);
    }
  }
  return differing;
}

const listings = new Map<string, ReadonlyMap<number, Listing>>();

/** The files of all partitions; disks with the same bytes are looked at once. */
export async function filesOf({ path, partitions }: BuiltDisk): Promise<ReadonlyMap<number, Listing>> {
  const digest = sha256(path);
  const files = listings.get(digest) ?? (await listDisk(path, partitions));
  listings.set(digest, files);
  return files;
}

/** Runs the clone and demands that the target is the source again. Returns how each partition was looked at. */
export async function heal({ disk, target, ectype }: ClonedPair, ...options: string[]): Promise<readonly string[]> {
  const { plan } = ectype.clone(disk.path, target, ...options);
  demandSoundTable(disk, target);
  await demandSameFiles(disk, target, await filesOf(disk));
  assert.not.ok(ectype.clone(disk.path, target).changed, 'nothing is left to do');
  return plan.volumes.map(({ detect }) => detect);
}
