// Which bytes an XFS file system uses: all but the extents in its free space btrees and the blocks in the AGFLs.
// Invariant: all groups were checked once before the map is handed out; memory holds one group's headers and 1 MiB of
// btree blocks. Where a check fails later (the volume is being written to) the rest of the group counts as used.

import { FormatError } from '../../base/u64.js';
import { type AllocationMap, joinNeighbours } from '../../map/allocation-map.js';
import { type Extent, extentEnd, intersect } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import { hasLazyCounters, unknownFeatures } from './features.js';
import { type BlockRange, freeExtents, type TreeReader, treeReader } from './free-extents.js';
import { blockOffset, type FreeSpaceHeader, groupLength, readFreeSpaceHeader } from './group-headers.js';
import { readLogHead } from './log.js';
import { isTruncated, type Superblock } from './superblock.js';

/**
 * Throws FormatError if checksums or counters contradict each other, or the file system is not wholly understood.
 * With a log that waits for its replay the map is only as good as the metadata that happened to be written back.
 * Whoever keeps a copy asks `readState` first.
 */
export async function openMap(volume: Source, superblock: Superblock): Promise<AllocationMap> {
  demandTrustworthy(volume, superblock);
  await checkGroups(volume, superblock);
  return lazyMap(volume, superblock);
}

/** Throws FormatError unless the file system is wholly understood and all there. */
export function demandTrustworthy(volume: Source, superblock: Superblock): void {
  if (!superblock.intact) throw new FormatError('the checksum of the superblock is wrong');
  const unknown = unknownFeatures(superblock);
  if (unknown !== undefined) throw new FormatError(`the file system has unknown features (${unknown})`);
  if (isTruncated(superblock, volume)) throw new FormatError('the file system is larger than its volume');
}

async function checkGroups(volume: Source, superblock: Superblock): Promise<void> {
  const reader = treeReader(volume, superblock);
  let free = 0;
  for (let group = 0; group < superblock.groupCount; group += 1) {
    const header = await readFreeSpaceHeader(volume, superblock, group);
    await checkGroup(reader, header);
    // The superblock counts as free what the free space btrees themselves take.
    free += header.freeBlocks + header.listed.length + header.treeBlocks;
  }
  if (free === superblock.freeBlockCount || !hasLazyCounters(superblock)) return;
  const head = superblock.log && (await readLogHead(volume, superblock, superblock.log));
  // While the log waits for its replay the superblock's counter is out of date; the groups' counters were checked.
  if (!head?.unmounted) return;
  throw new FormatError(
    `the allocation groups have ${free} free blocks together, the superblock says ${superblock.freeBlockCount}`,
  );
}

/** Walks all free extents of a group: their sum, the longest, and that they keep off what is known to be used. */
async function checkGroup(reader: TreeReader, header: FreeSpaceHeader): Promise<void> {
  const { group, length, freeBlocks, longest, listed, treeRoot } = header;
  const log = logIn(reader.superblock, group);
  if (listed.some((block) => block >= log.start && block < log.end)) throw claimsFree(group, 'the log');
  let sum = 0;
  let most = 0;
  for await (const extents of freeExtents(reader, header, { start: 0, end: length })) {
    for (const { start, end } of extents) {
      if (start < log.end && end > log.start) throw claimsFree(group, 'the log');
      if (start <= treeRoot && end > treeRoot) throw claimsFree(group, 'its own btree');
      if (listed.some((block) => block >= start && block < end)) throw claimsFree(group, 'a block of its AGFL');
      sum += end - start;
      most = Math.max(most, end - start);
    }
  }
  if (sum !== freeBlocks) {
    throw new FormatError(`allocation group ${group} has ${sum} free blocks, its header says ${freeBlocks}`);
  }
  if (most !== longest) {
    throw new FormatError(`allocation group ${group} has ${most} free blocks in a row, its header says ${longest}`);
  }
}

function claimsFree(group: number, what: string): FormatError {
  return new FormatError(`allocation group ${group} calls ${what} free`);
}

/** The log's blocks, if it lies in this group. */
function logIn({ log }: Superblock, group: number): BlockRange {
  return log?.group === group ? { start: log.start, end: log.start + log.blocks } : { start: 0, end: 0 };
}

function lazyMap(volume: Source, superblock: Superblock): AllocationMap {
  const { blockSize, blockCount, groupBlocks } = superblock;
  const reader = treeReader(volume, superblock);
  let last: { readonly group: number; readonly header: Promise<FreeSpaceHeader> } | undefined;

  // One group's headers are kept, so that windows smaller than a group do not read them again and again.
  const headerOf = (group: number): Promise<FreeSpaceHeader> => {
    if (last?.group === group) return last.header;
    const read = { group, header: readFreeSpaceHeader(volume, superblock, group) };
    last = read;
    read.header.catch(() => {
      if (last === read) last = undefined;
    });
    return read.header;
  };

  async function* extents(within: Extent): AsyncGenerator<Extent> {
    const firstGroup = Math.floor(within.offset / blockSize / groupBlocks);
    const lastGroup = Math.ceil(extentEnd(within) / blockSize / groupBlocks) - 1;
    for (let group = firstGroup; group <= lastGroup; group += 1) {
      const base = group * groupBlocks;
      const blocks = {
        start: Math.max(0, Math.floor(within.offset / blockSize) - base),
        end: Math.min(groupLength(superblock, group), Math.ceil(extentEnd(within) / blockSize) - base),
      };
      for await (const used of usedBlocks(reader, () => headerOf(group), blocks)) {
        for (const { start, end } of used) {
          yield { offset: blockOffset(superblock, group, start), length: (end - start) * blockSize };
        }
      }
    }
  }

  return {
    blockSize,
    async *usedExtents(within) {
      const inside = intersect(within, { offset: 0, length: blockCount * blockSize });
      if (inside) yield* joinNeighbours(extents(inside), inside);
    },
  };
}

/** Everything between the free extents and the blocks of the list, in pieces of which neighbours may touch. */
async function* usedBlocks(
  reader: TreeReader,
  readHeader: () => Promise<FreeSpaceHeader>,
  within: BlockRange,
): AsyncGenerator<readonly BlockRange[]> {
  let position = within.start;
  const before = (free: readonly BlockRange[]): BlockRange[] => {
    const used: BlockRange[] = [];
    for (const { start, end } of free) {
      if (start > position) used.push({ start: position, end: Math.min(start, within.end) });
      position = Math.min(Math.max(position, end), within.end);
    }
    return used;
  };
  try {
    const header = await readHeader();
    const listed = header.listed.map((block) => ({ start: block, end: block + 1 }));
    for await (const extents of freeExtents(reader, header, within)) {
      const last = extents.at(-1)?.end ?? 0;
      yield before([...extents, ...take(listed, last)].sort((a, b) => a.start - b.start));
    }
    yield before(take(listed, within.end));
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
  }
  if (position < within.end) yield [{ start: position, end: within.end }];
}

/** Takes the ranges that begin before `end` away from an ascending list. */
function take(ranges: BlockRange[], end: number): BlockRange[] {
  const next = ranges.findIndex(({ start }) => start >= end);
  return ranges.splice(0, next < 0 ? ranges.length : next);
}
