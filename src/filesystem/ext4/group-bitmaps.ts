// Block bitmaps of a row of groups: read, or computed where the disk says that they were never written.
// Invariant: a group whose bitmap fails a check is wholly used and has a `problem`; bits past `clusters` mean nothing.
// Source: kernel Documentation/filesystems/ext4/bitmaps.rst, fs/ext4/balloc.c (ext4_init_block_bitmap), fs/ext4/bitmap.c.

import { rawCrc32c } from '../../base/checksum.js';
import { type Bytes, MiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { type BitRange, countSet, findBit, setBits } from '../bitmap.js';
import { RoCompat } from './features.js';
import type { ForeignMetadata } from './foreign-metadata.js';
import { type BlockRange, baseMetadata, clustersInGroup, groupRange } from './geometry.js';
import { type GroupDescriptor, metadataOf, readDescriptors } from './group-descriptors.js';
import type { Superblock } from './superblock.js';

/** Largest single read of bitmaps, and the size of all bitmaps held at once. */
const BATCH_LENGTH: Bytes = 1 * MiB;

export interface GroupBitmap {
  readonly group: number;
  /** One bit a cluster. */
  readonly bits: Buffer;
  readonly clusters: number;
  readonly freeClusters: number;
  /** Why the bitmap cannot be trusted; undefined if it can. */
  readonly problem: string | undefined;
}

/** Groups whose bitmaps are read together. */
export function groupsPerBatch({ blockSize }: Superblock): number {
  return BATCH_LENGTH / blockSize;
}

/** The bitmaps of batch `index`: groups from index × groupsPerBatch on. */
export async function readBatch(
  volume: Source,
  superblock: Superblock,
  { foreign, index }: { foreign: ForeignMetadata; index: number },
): Promise<GroupBitmap[]> {
  const first = index * groupsPerBatch(superblock);
  const count = Math.min(groupsPerBatch(superblock), superblock.groupCount - first);
  const descriptors = await readDescriptors(volume, superblock, { first, count });
  const bitmaps = Buffer.alloc(count * superblock.blockSize);
  const slot = (group: number): Buffer =>
    bitmaps.subarray((group - first) * superblock.blockSize, (group - first + 1) * superblock.blockSize);
  const written = descriptors.filter(({ problem, uninitialised }) => problem === undefined && !uninitialised);
  await readRows(volume, superblock, written, slot);
  return descriptors.map((descriptor) => {
    const needed = neededClusters(superblock, foreign, descriptor);
    return checkedBitmap(superblock, { descriptor, needed, bits: slot(descriptor.group) });
  });
}

/** Bitmaps that lie side by side, as flex_bg places them, are read in one request. */
async function readRows(
  volume: Source,
  { blockSize }: Superblock,
  descriptors: readonly GroupDescriptor[],
  slot: (group: number) => Buffer,
): Promise<void> {
  for (let first = 0; first < descriptors.length; ) {
    const start = descriptors[first]?.blockBitmap ?? 0;
    let next = first + 1;
    while (descriptors[next]?.blockBitmap === start + (next - first)) next += 1;
    const row = Buffer.allocUnsafe((next - first) * blockSize);
    await volume.read(row, start * blockSize);
    for (const [place, { group }] of descriptors.slice(first, next).entries()) {
      row.copy(slot(group), 0, place * blockSize, (place + 1) * blockSize);
    }
    first = next;
  }
}

/** Clusters of a group that metadata lies in: by the group's own descriptor, and by others'. */
interface NeededClusters {
  readonly own: readonly BitRange[];
  readonly foreign: readonly BitRange[];
}

function neededClusters(superblock: Superblock, foreign: ForeignMetadata, descriptor: GroupDescriptor): NeededClusters {
  const range = groupRange(superblock, descriptor.group);
  const toClusters = (blocks: Iterable<BlockRange>): BitRange[] => {
    const clusters: BitRange[] = [];
    for (const { start, end } of blocks) {
      const from = Math.max(start, range.start) - range.start;
      const to = Math.min(end, range.end) - range.start;
      if (to <= from) continue;
      const { blocksPerCluster } = superblock;
      clusters.push({ start: Math.floor(from / blocksPerCluster), end: Math.ceil(to / blocksPerCluster) });
    }
    return clusters;
  };
  return {
    own: toClusters([baseMetadata(superblock, descriptor.group), ...metadataOf(superblock, descriptor)]),
    foreign: toClusters(foreign.inside(range)),
  };
}

function checkedBitmap(
  superblock: Superblock,
  { descriptor, needed, bits }: { descriptor: GroupDescriptor; needed: NeededClusters; bits: Buffer },
): GroupBitmap {
  const { group, freeClusters, uninitialised } = descriptor;
  const clusters = clustersInGroup(superblock, group);
  const problem =
    descriptor.problem ??
    (uninitialised
      ? computeBitmap({ descriptor, needed, bits, clusters })
      : bitmapProblem(superblock, { descriptor, needed, bits, clusters }));
  if (problem !== undefined) bits.fill(0xff, 0, Math.ceil(clusters / 8));
  return { group, bits, clusters, freeClusters, problem };
}

interface BitmapCheck {
  readonly descriptor: GroupDescriptor;
  readonly needed: NeededClusters;
  readonly bits: Buffer;
  readonly clusters: number;
}

/** The descriptor counts only its own metadata (as the kernel does) or all of it (as mke2fs does). */
function computeBitmap({ descriptor, needed, bits, clusters }: BitmapCheck): string | undefined {
  for (const range of needed.own) setBits(bits, range);
  const freeByOwn = clusters - countSet(bits, clusters);
  for (const range of needed.foreign) setBits(bits, range);
  const free = needed.foreign.length === 0 ? freeByOwn : clusters - countSet(bits, clusters);
  if (descriptor.freeClusters === free || descriptor.freeClusters === freeByOwn) return undefined;
  return `group ${descriptor.group} should have ${free} free clusters, its descriptor says ${descriptor.freeClusters}`;
}

function bitmapProblem(
  superblock: Superblock,
  { descriptor, needed, bits, clusters }: BitmapCheck,
): string | undefined {
  const { group, freeClusters, bitmapChecksum, bitmapChecksumMask } = descriptor;
  if ((superblock.roCompat & RoCompat.METADATA_CSUM) !== 0) {
    const covered = bits.subarray(0, superblock.clustersPerGroup / 8);
    const checksum = (rawCrc32c(superblock.checksumSeed, covered) & bitmapChecksumMask) >>> 0;
    if (checksum !== bitmapChecksum) return `the checksum of group ${group}'s block bitmap is wrong`;
  }
  for (const { start, end } of [...needed.own, ...needed.foreign]) {
    if (findBit(bits, false, { start, end }) < end) {
      return `the block bitmap of group ${group} calls metadata free`;
    }
  }
  const free = clusters - countSet(bits, clusters);
  if (free !== freeClusters) {
    return `the block bitmap of group ${group} has ${free} free clusters, its descriptor says ${freeClusters}`;
  }
  return undefined;
}
