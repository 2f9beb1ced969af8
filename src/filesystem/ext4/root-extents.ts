// Where the bytes of a small or unbroken file lie, by the 60 bytes in its inode alone: nearly all files, and quickly.
// Invariant: as readFileExtents, of which it is the short way: the same extents, and the same maps are impossible.
// Source: kernel Documentation/filesystems/ext4/ifork.rst.

import type { Extent } from '../../map/extent.js';
import { INODE_FLAG_EXTENTS } from './checked-inode.js';
import type { Superblock } from './superblock.js';

const MAGIC = 0xf30a;
const At = { entries: 2, depth: 6, header: 12 } as const;
const ENTRY_LENGTH = 12;
const MOST_ENTRIES = 4;
const MAX_DEPTH = 5;
/** Lengths beyond it mean an extent that was never written. */
const LONGEST_WRITTEN = 32768;
const DIRECT = 12;
const POINTERS = 15;

/**
 * The written extents in the order of the file. `deep`: the map goes on in blocks of its own. Undefined: it is impossible.
 */
export function rootExtents(
  superblock: Superblock,
  { flags, map }: { readonly flags: number; readonly map: Buffer },
): Extent[] | 'deep' | undefined {
  return (flags & INODE_FLAG_EXTENTS) !== 0 ? fromTree(superblock, map) : fromPointers(superblock, map);
}

function fromTree(superblock: Superblock, map: Buffer): Extent[] | 'deep' | undefined {
  const entries = map.readUInt16LE(At.entries);
  const depth = map.readUInt16LE(At.depth);
  if (map.readUInt16LE(0) !== MAGIC || entries > MOST_ENTRIES || depth > MAX_DEPTH) return undefined;
  if (depth > 0) return 'deep';
  const extents: Extent[] = [];
  let next = 0;
  for (let at = At.header; at < At.header + entries * ENTRY_LENGTH; at += ENTRY_LENGTH) {
    const first = map.readUInt32LE(at);
    const length = map.readUInt16LE(at + 4);
    const unwritten = length > LONGEST_WRITTEN;
    const count = unwritten ? length - LONGEST_WRITTEN : length;
    const start = map.readUInt32LE(at + 8) + map.readUInt16LE(at + 6) * 2 ** 32;
    if (first < next || !add(superblock, unwritten ? [] : extents, { start, count })) return undefined;
    next = first + count;
  }
  return extents;
}

function fromPointers(superblock: Superblock, map: Buffer): Extent[] | 'deep' | undefined {
  for (let index = DIRECT; index < POINTERS; index += 1) if (map.readUInt32LE(index * 4) !== 0) return 'deep';
  const extents: Extent[] = [];
  for (let index = 0; index < DIRECT; index += 1) {
    const start = map.readUInt32LE(index * 4);
    if (start !== 0 && !add(superblock, extents, { start, count: 1 })) return undefined;
  }
  return extents;
}

/** False if those blocks cannot be a file's. Neighbours are joined. */
function add(
  { blockSize, blockCount, firstDataBlock }: Superblock,
  extents: Extent[],
  { start, count }: { start: number; count: number },
): boolean {
  if (count === 0 || start <= firstDataBlock || start + count > blockCount) return false;
  const offset = start * blockSize;
  const last = extents.at(-1);
  if (last && last.offset + last.length === offset) {
    extents[extents.length - 1] = { offset: last.offset, length: last.length + count * blockSize };
  } else {
    extents.push({ offset, length: count * blockSize });
  }
  return true;
}
