// Reads all inodes of a file system, 64 at a time, in the order of their numbers.
// Invariant: bytes are read in pieces of at most 1 MiB, and only inside their allocation group; where a chunk has holes,
// and behind the group's end, there are zeros. Nothing an inode says is believed here.
// Source: "XFS Algorithms & Data Structures", inode numbers, inode btrees.

import { FormatError } from '../../base/u64.js';
import { type Bytes, KiB, MiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { blockOffset, groupLength, headerBlocks } from './group-headers.js';
import type { InodeGeometry } from './inode-geometry.js';
import { CHUNK_INODES, hasBit, type InodeBits, type InodeChunk, inodeChunks, missingInodes } from './inode-tree.js';
import type { Superblock } from './superblock.js';

const LARGEST_PIECE: Bytes = MiB;
/** What lies between two chunks is read with them, if it is not longer: that is quicker than to ask twice. */
const LARGEST_GAP: Bytes = 64 * KiB;

export interface ReadChunk {
  /** Number of its first inode in the file system. */
  readonly number: number;
  readonly chunk: InodeChunk;
  /** All its inodes; valid until the next chunk is asked for. */
  readonly bytes: Buffer;
}

/** Throws FormatError. */
export async function* readInodeChunks(
  volume: Source,
  superblock: Superblock,
  geometry: InodeGeometry,
): AsyncGenerator<ReadChunk> {
  const length = CHUNK_INODES * geometry.inodeSize;
  const piece = Buffer.allocUnsafeSlow(LARGEST_PIECE + length);
  for (let group = 0; group < superblock.groupCount; group += 1) {
    const base = numberOf(superblock, geometry, group);
    const end = blockOffset(superblock, group, groupLength(superblock, group));
    for await (const chunks of inodeChunks(volume, superblock, group)) {
      const placed = chunks.map((chunk) => placeOf(superblock, geometry, { chunk, group }));
      for (const row of rowsOf(placed, length)) {
        const [{ offset: start }] = row;
        const last = row[row.length - 1] ?? row[0];
        const read = piece.subarray(0, Math.min(last.offset + length, end) - start);
        await volume.read(read, start);
        piece.fill(0, read.length, last.offset + length - start);
        for (const { chunk, offset } of row) {
          const bytes = piece.subarray(offset - start, offset - start + length);
          clearHoles(bytes, missingInodes(superblock, chunk), geometry);
          yield { number: base + chunk.first, chunk, bytes };
        }
      }
    }
  }
}

interface PlacedChunk {
  readonly chunk: InodeChunk;
  readonly offset: Bytes;
}

/** Number of the first inode that a group could have. Throws FormatError if numbers are too large for exact ones. */
function numberOf(
  { groupShift, blockSize, groupBlocks }: Superblock,
  { inodeSize }: InodeGeometry,
  group: number,
): number {
  const perBlock = blockSize / inodeSize;
  const number = group * 2 ** groupShift * perBlock;
  if (!Number.isSafeInteger(number + groupBlocks * perBlock)) throw new FormatError('inode numbers beyond 2^53');
  return number;
}

/** Every inode of the chunk that exists lies behind the headers and before the end of the group. */
function placeOf(
  superblock: Superblock,
  { inodeSize }: InodeGeometry,
  { chunk, group }: { chunk: InodeChunk; group: number },
): PlacedChunk {
  const perBlock = superblock.blockSize / inodeSize;
  const from = headerBlocks(superblock) * perBlock;
  const to = groupLength(superblock, group) * perBlock;
  const { first } = chunk;
  const missing = missingInodes(superblock, chunk);
  const isOutside = (index: number): boolean => first + index < from || first + index >= to;
  let impossible = first >= to;
  for (let index = 0; index < CHUNK_INODES && (first < from || first + CHUNK_INODES > to); index += 1) {
    if (isOutside(index) && !hasBit(missing, index)) impossible = true;
  }
  if (impossible) throw new FormatError(`the inode btree of allocation group ${group} lists inodes outside its group`);
  return { chunk, offset: blockOffset(superblock, group, 0) + first * inodeSize };
}

/** Chunks that lie so close together that one read brings them all. */
function* rowsOf(chunks: readonly PlacedChunk[], length: Bytes): Generator<[PlacedChunk, ...PlacedChunk[]]> {
  let row: [PlacedChunk, ...PlacedChunk[]] | undefined;
  let end = 0;
  for (const chunk of chunks) {
    const near = row && chunk.offset - end <= LARGEST_GAP && chunk.offset + length - row[0].offset <= LARGEST_PIECE;
    if (row && near) {
      row.push(chunk);
    } else {
      if (row) yield row;
      row = [chunk];
    }
    end = chunk.offset + length;
  }
  if (row) yield row;
}

/** What lies in holes is no inode, and changes with whatever it is. */
function clearHoles(bytes: Buffer, missing: InodeBits, { inodeSize }: InodeGeometry): void {
  if (missing.low === 0 && missing.high === 0) return;
  for (let index = 0; index < CHUNK_INODES; index += 1) {
    if (hasBit(missing, index)) bytes.fill(0, index * inodeSize, (index + 1) * inodeSize);
  }
}
