// Which bytes an exFAT volume uses: everything before the first cluster, and the clusters set in the bitmap.
// Invariant: a cluster is free only if every bitmap that a driver may go by says so, and the bitmap says of itself and
// of the root directory that they are used. What lies behind the last cluster is unused.
// Format: Microsoft "exFAT file system specification", section 7.1 (allocation bitmap directory entry).

import { FormatError } from '../../base/u64.js';
import { type Bytes, KiB } from '../../base/units.js';
import { type AllocationMap, joinNeighbours } from '../../map/allocation-map.js';
import { type Extent, extentEnd, normalise } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import { isSet, setRuns } from '../bitmap.js';
import { type BootSector, clusterOffset, FIRST_CLUSTER } from './boot-sector.js';
import { readRoot } from './root-directory.js';
import { type ClusterRun, chainOf, openTable } from './table.js';

const PIECE: Bytes = 64 * KiB;
const PIECE_BITS = PIECE * 8;

/** One bit a cluster; bit 0 is cluster 2. */
export interface Bitmap {
  /** Its extents on the volume, in order. */
  readonly extents: readonly Extent[];
  /** Bits [index * 524288, …) as bytes. Read anew each time. */
  piece(index: number): Promise<Buffer>;
}

/** Throws FormatError if the metadata contradicts itself. */
export async function openExfatAllocationMap(volume: Source, boot: BootSector): Promise<AllocationMap> {
  const bitmaps = await openBitmaps(volume, boot);
  return {
    blockSize: boot.clusterSize,
    usedExtents: (within) => joinNeighbours(usedExtents(boot, bitmaps, within), within),
  };
}

/** The bitmaps in use: one, unless the second FAT is active. Throws FormatError if one cannot be right. */
export async function openBitmaps(volume: Source, boot: BootSector): Promise<Bitmap[]> {
  const bitmaps: Bitmap[] = [];
  for (const number of boot.tablesInUse) bitmaps.push(await openBitmap(volume, boot, number));
  return bitmaps;
}

async function openBitmap(volume: Source, boot: BootSector, number: number): Promise<Bitmap> {
  const { bitmaps } = await readRoot(volume, boot, number);
  const stretch = bitmaps.get(number);
  if (!stretch) throw new FormatError('the root directory names no allocation bitmap');
  const length = Math.ceil(boot.clusterCount / 8);
  if (stretch.length < length) {
    throw new FormatError(`the bitmap has ${stretch.length} bytes for ${boot.clusterCount} clusters`);
  }
  const clusters = Math.ceil(length / boot.clusterSize);
  const runs = await chainOf(openTable(volume, boot, number), boot, { first: stretch.firstCluster, clusters });
  const extents = extentsOf(runs, boot, length);
  const bitmap: Bitmap = { extents, piece: (index) => readPiece(volume, extents, { index, length }) };
  for (const { first, count } of [...runs, { first: boot.rootCluster, count: 1 }]) {
    if (!(await allSet(bitmap, { first, count }))) throw new FormatError('the bitmap or the root is marked free');
  }
  return bitmap;
}

/** The last extent is cut where the bitmap ends inside its cluster. */
function extentsOf(runs: readonly ClusterRun[], boot: BootSector, length: Bytes): Extent[] {
  let left = length;
  return runs.map(({ first, count }) => {
    const part = Math.min(left, count * boot.clusterSize);
    left -= part;
    return { offset: clusterOffset(boot, first), length: part };
  });
}

async function readPiece(
  volume: Source,
  extents: readonly Extent[],
  { index, length }: { index: number; length: Bytes },
): Promise<Buffer> {
  const start = index * PIECE;
  const bytes = Buffer.alloc(Math.min(PIECE, length - start));
  let position = 0;
  for (const extent of extents) {
    const from = Math.max(start, position);
    const end = Math.min(start + bytes.length, position + extent.length);
    if (from < end) await volume.read(bytes.subarray(from - start, end - start), extent.offset + from - position);
    position += extent.length;
    if (position >= start + bytes.length) break;
  }
  return bytes;
}

async function allSet(bitmap: Bitmap, { first, count }: ClusterRun): Promise<boolean> {
  let bytes: Buffer | undefined;
  let held = -1;
  for (let bit = first - FIRST_CLUSTER; bit < first - FIRST_CLUSTER + count; bit += 1) {
    const index = Math.floor(bit / PIECE_BITS);
    if (!bytes || index !== held) bytes = await bitmap.piece(index);
    held = index;
    if (!isSet(bytes, bit % PIECE_BITS)) return false;
  }
  return true;
}

async function* usedExtents(boot: BootSector, bitmaps: readonly Bitmap[], within: Extent): AsyncGenerator<Extent> {
  const { heapOffset, clusterSize, clusterCount } = boot;
  yield { offset: 0, length: heapOffset };
  const bitAt = (offset: Bytes): number => Math.max(0, (offset - heapOffset) / clusterSize);
  const end = Math.min(clusterCount, Math.ceil(bitAt(extentEnd(within))));
  let bit = Math.floor(bitAt(within.offset));
  while (bit < end) {
    const index = Math.floor(bit / PIECE_BITS);
    const base = index * PIECE_BITS;
    const range = { start: bit - base, end: Math.min(end - base, PIECE_BITS) };
    const found: Extent[][] = [];
    for (const bitmap of bitmaps) {
      const runs = setRuns(await bitmap.piece(index), range);
      found.push(
        [...runs].map(({ start, end: stop }) => ({
          offset: heapOffset + (base + start) * clusterSize,
          length: (stop - start) * clusterSize,
        })),
      );
    }
    yield* found.length === 1 ? (found[0] ?? []) : normalise(found.flat());
    bit = base + range.end;
  }
}
