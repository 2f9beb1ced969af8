// Which bytes an ext2/3/4 file system uses, by its block bitmaps.
// Invariant: all bitmaps were checked once before the map is handed out; memory holds one batch (1 MiB) of them. A group
// that fails a check later (the volume is being written to) counts as wholly used: unknown means used.

import { FormatError } from '../../base/u64.js';
import { type AllocationMap, joinNeighbours } from '../../map/allocation-map.js';
import { type Extent, extentEnd, intersect } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import { setRuns } from '../bitmap.js';
import { unknownFeatures } from './features.js';
import { collectForeignMetadata, type ForeignMetadata } from './foreign-metadata.js';
import { groupOfBlock, groupRange } from './geometry.js';
import { type GroupBitmap, groupsPerBatch, readBatch } from './group-bitmaps.js';
import { isCleanlyUnmounted } from './state.js';
import { isTruncated, type Superblock } from './superblock.js';

/**
 * Throws FormatError if checksums or counters contradict each other, or the file system is not wholly understood.
 * With a journal that waits for its replay the map is that of the last checkpoint: good for a first pass over a live
 * volume, never for a copy that is kept. Whoever keeps one asks `readState` first.
 */
export async function openMap(volume: Source, superblock: Superblock): Promise<AllocationMap> {
  demandTrustworthy(volume, superblock);
  const foreign = await collectForeignMetadata(volume, superblock);
  await checkBitmaps(volume, superblock, foreign);
  return lazyMap(volume, superblock, foreign);
}

/** Throws FormatError unless all that the superblock says can be relied on. */
export function demandTrustworthy(volume: Source, superblock: Superblock): void {
  if (!superblock.intact) throw new FormatError('the checksum of the superblock is wrong');
  const unknown = unknownFeatures(superblock);
  if (unknown !== undefined) throw new FormatError(`the file system has unknown features (${unknown})`);
  if (isTruncated(superblock, volume)) throw new FormatError('the file system is larger than its volume');
}

async function checkBitmaps(volume: Source, superblock: Superblock, foreign: ForeignMetadata): Promise<void> {
  const batches = Math.ceil(superblock.groupCount / groupsPerBatch(superblock));
  let freeBlocks = 0;
  for (let index = 0; index < batches; index += 1) {
    for (const { problem, freeClusters } of await readBatch(volume, superblock, { foreign, index })) {
      if (problem !== undefined) throw new FormatError(problem);
      freeBlocks += freeClusters * superblock.blocksPerCluster;
    }
  }
  // While a journal waits for its replay the superblock's counter is out of date; the groups' counters were checked.
  if (isCleanlyUnmounted(superblock) && freeBlocks !== superblock.freeBlockCount) {
    throw new FormatError(
      `the groups have ${freeBlocks} free blocks together, the superblock says ${superblock.freeBlockCount}`,
    );
  }
}

function lazyMap(volume: Source, superblock: Superblock, foreign: ForeignMetadata): AllocationMap {
  const { blockSize, blockCount, clusterSize, firstDataBlock } = superblock;
  const size = blockCount * blockSize;
  let last: { readonly index: number; readonly bitmaps: Promise<GroupBitmap[]> } | undefined;

  // One batch is kept, so that windows smaller than a batch do not read it again and again.
  const batchAt = (index: number): Promise<GroupBitmap[]> => {
    if (last?.index === index) return last.bitmaps;
    const batch = { index, bitmaps: readBatch(volume, superblock, { foreign, index }) };
    last = batch;
    batch.bitmaps.catch(() => {
      if (last === batch) last = undefined;
    });
    return batch.bitmaps;
  };

  async function* extents(within: Extent): AsyncGenerator<Extent> {
    yield { offset: 0, length: firstDataBlock * blockSize };
    const firstGroup = groupOfBlock(superblock, Math.floor(within.offset / blockSize));
    const lastGroup = groupOfBlock(superblock, Math.ceil(extentEnd(within) / blockSize) - 1);
    const perBatch = groupsPerBatch(superblock);
    for (let index = Math.floor(firstGroup / perBatch); index <= Math.floor(lastGroup / perBatch); index += 1) {
      for (const bitmap of await batchAt(index)) {
        if (bitmap.group >= firstGroup && bitmap.group <= lastGroup) yield* extentsOf(superblock, bitmap, within);
      }
    }
  }

  return {
    blockSize: clusterSize,
    async *usedExtents(within) {
      const inside = intersect(within, { offset: 0, length: size });
      if (inside) yield* joinNeighbours(extents(inside), inside);
    },
  };
}

/** Used extents of one group, only about as many as `within` needs. */
function* extentsOf(superblock: Superblock, { group, bits, clusters }: GroupBitmap, within: Extent): Generator<Extent> {
  const { blockSize, clusterSize } = superblock;
  const { start, end } = groupRange(superblock, group);
  const offset = start * blockSize;
  const first = Math.max(0, Math.floor((within.offset - offset) / clusterSize));
  const last = Math.min(clusters, Math.ceil((extentEnd(within) - offset) / clusterSize));
  for (const run of setRuns(bits, { start: first, end: last })) {
    const runEnd = Math.min(offset + run.end * clusterSize, end * blockSize);
    yield { offset: offset + run.start * clusterSize, length: runEnd - (offset + run.start * clusterSize) };
  }
}
