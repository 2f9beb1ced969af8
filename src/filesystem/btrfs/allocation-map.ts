// Which bytes of one device a btrfs uses, by its extent tree and its chunks.
// Invariant: the whole extent tree was added up and agreed with all counters before the map is handed out; memory holds
// the chunks and a few tree blocks. What cannot be read later (the volume is being written to) counts as used.

import { FormatError } from '../../base/u64.js';
import { type AllocationMap, joinNeighbours } from '../../map/allocation-map.js';
import { type Extent, extentEnd, intersect } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import { checkBlockGroups } from './block-groups.js';
import { type PlacedStripe, readChunks } from './chunk-map.js';
import { checkDeviceExtents } from './device-extents.js';
import { usedAddresses } from './extent-tree.js';
import { hasBlockGroupTree, unknownFeatures } from './features.js';
import { rangeAroundStripe, rangeInStripe } from './striping.js';
import { isTruncated, SUPERBLOCK_LENGTH, SUPERBLOCK_OFFSETS, type Superblock } from './superblock.js';
import { findTree, type Tree, TreeId } from './tree.js';

/** Never given to chunks: boot loaders live here, and the superblock. */
const RESERVED = { offset: 0, length: 1024 * 1024 };
/** What holds neither data nor tree blocks, wherever chunks lie; ascending, they overlap. */
export const FIXED: readonly Extent[] = [
  RESERVED,
  ...SUPERBLOCK_OFFSETS.map((offset) => ({ offset, length: SUPERBLOCK_LENGTH })),
];

/**
 * Throws FormatError if anything contradicts itself or is not understood; OutOfReach if metadata lies on other devices.
 * With a log tree to replay the map is that of the last commit, which the log's own blocks are not part of: whoever keeps
 * a copy asks `readState` first.
 */
export async function openMap(volume: Source, superblock: Superblock): Promise<AllocationMap> {
  demandTrustworthy(volume, superblock);
  const trees = await readChunks(volume, superblock);
  const { map, nodes } = trees;
  if (superblock.deviceCount === 1) demandAllHere(map.chunks);
  await checkDeviceExtents(trees, superblock);
  const extents = await findTree(nodes, superblock, TreeId.EXTENT);
  const blockGroups = hasBlockGroupTree(superblock) ? await findTree(nodes, superblock, TreeId.BLOCK_GROUP) : undefined;
  await checkBlockGroups(map, superblock, { extents, blockGroups });
  return lazyMap(superblock, map.stripes, extents);
}

export function demandTrustworthy(volume: Source, superblock: Superblock): void {
  const unknown = unknownFeatures(superblock);
  if (unknown !== undefined) throw new FormatError(`the file system has unknown features (${unknown})`);
  if (!superblock.intact) throw new FormatError('the superblock is damaged');
  if (isTruncated(superblock, volume)) throw new FormatError('the file system is larger than its volume');
}

export function demandAllHere(
  chunks: readonly { readonly logical: number; readonly stripes: readonly unknown[] }[],
): void {
  const elsewhere = chunks.find(({ stripes }) => stripes.length === 0);
  if (elsewhere) throw new FormatError(`chunk ${elsewhere.logical} lies on a device that does not exist`);
}

function lazyMap(superblock: Superblock, stripes: readonly PlacedStripe[], tree: Tree): AllocationMap {
  const { deviceSize, sectorSize } = superblock;

  async function* chunkExtents(within: Extent): AsyncGenerator<Extent> {
    for (let index = firstEndingAfter(stripes, within.offset); index < stripes.length; index += 1) {
      const stripe = stripes[index];
      if (!stripe || stripe.physical >= extentEnd(within)) return;
      yield* extentsOf(tree, superblock, { stripe, within });
    }
  }

  return {
    blockSize: sectorSize,
    async *usedExtents(within) {
      const inside = intersect(within, { offset: 0, length: deviceSize });
      if (inside) yield* joinNeighbours(merged(FIXED, chunkExtents(inside)), inside);
    },
  };
}

function firstEndingAfter(stripes: readonly PlacedStripe[], offset: number): number {
  let low = 0;
  let high = stripes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const stripe = stripes[middle];
    if (stripe && stripe.physical + stripe.chunk.stripeLength <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Used extents of one stripe, about as many as `within` needs; all of the rest once the tree cannot be read. */
async function* extentsOf(
  tree: Tree,
  superblock: Superblock,
  { stripe, within }: { stripe: PlacedStripe; within: Extent },
): AsyncGenerator<Extent> {
  const { physical, column, chunk } = stripe;
  const wanted = intersect(within, { offset: physical, length: chunk.stripeLength });
  if (!wanted) return;
  const around = rangeAroundStripe(chunk, { start: wanted.offset - physical, end: extentEnd(wanted) - physical });
  const addresses = { start: chunk.logical + around.start, end: chunk.logical + around.end };
  let position = wanted.offset;
  try {
    for await (const ranges of usedAddresses(tree, superblock, { within: addresses, chunkStart: chunk.logical })) {
      for (const { start, end } of ranges) {
        const part = { start: start - chunk.logical, end: end - chunk.logical };
        const inStripe = rangeInStripe(chunk, column, part);
        if (inStripe.end <= inStripe.start) continue;
        yield { offset: physical + inStripe.start, length: inStripe.end - inStripe.start };
        position = Math.max(position, physical + inStripe.end);
      }
    }
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    yield { offset: position, length: Math.max(0, extentEnd(wanted) - position) };
  }
}

/** Both ascending by offset; so is the result. */
async function* merged(fixed: readonly Extent[], extents: AsyncIterable<Extent>): AsyncGenerator<Extent> {
  let next = 0;
  for await (const extent of extents) {
    for (let place = fixed[next]; place && place.offset <= extent.offset; place = fixed[next]) {
      yield place;
      next += 1;
    }
    yield extent;
  }
  yield* fixed.slice(next);
}
