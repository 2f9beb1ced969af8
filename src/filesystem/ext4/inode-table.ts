// Reads inodes: one by its number, or all of them in the order of the disk.
// Invariant: memory holds one piece of one table; blocks that cannot be read leave out their inodes and nothing else.
// Source: kernel Documentation/filesystems/ext4/inode_table.rst.

import { type Bytes, MiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { readPossible, tryRead } from '../best-effort.js';
import { inodeTableBlocks } from './geometry.js';
import { type Inode, parseInode } from './inode.js';
import type { Superblock } from './superblock.js';
import { survivingDescriptor, survivingDescriptors } from './surviving-descriptors.js';

/** Largest read of a table. */
const PIECE: Bytes = MiB;

/** The used inode of that number; undefined if there is none, or it cannot be read. */
export async function readInode(volume: Source, superblock: Superblock, number: number): Promise<Inode | undefined> {
  const { inodesPerGroup, inodeSize, inodeCount, blockSize } = superblock;
  if (number < 1 || number > inodeCount) return undefined;
  const descriptor = await survivingDescriptor(volume, superblock, Math.floor((number - 1) / inodesPerGroup));
  if (!descriptor) return undefined;
  const raw = Buffer.alloc(inodeSize);
  const offset = descriptor.inodeTable * blockSize + ((number - 1) % inodesPerGroup) * inodeSize;
  return (await tryRead(volume, raw, offset)) ? parseInode(superblock, number, raw) : undefined;
}

/** Inodes in a row; `bytes` is overwritten by the next piece. */
export interface InodePiece {
  readonly first: number;
  readonly count: number;
  readonly bytes: Buffer;
  /** Blocks of `bytes` that could not be read, counted from its start. */
  readonly lost: ReadonlySet<number>;
}

/** All inodes that may be in use; pieces whose inodes are not `wanted` are not read. */
export async function* inodePieces(
  volume: Source,
  superblock: Superblock,
  wanted: (first: number, count: number) => boolean = () => true,
): AsyncGenerator<InodePiece> {
  const { inodesPerGroup, inodeSize, blockSize } = superblock;
  const perPiece = Math.max(PIECE, blockSize) / inodeSize;
  // Tables that together are longer than the volume overlap: damage, and no reason to read for ever.
  let budget = volume.size;
  const piece = Buffer.alloc(Math.min(perPiece * inodeSize, inodeTableBlocks(superblock) * blockSize));
  for await (const descriptors of survivingDescriptors(volume, superblock)) {
    for (const { group, inodeTable, unusedInodes } of descriptors) {
      const used = inodesPerGroup - unusedInodes;
      for (let index = 0; index < used; index += perPiece) {
        const first = group * inodesPerGroup + index + 1;
        const count = Math.min(perPiece, used - index);
        if (!wanted(first, count)) continue;
        const offset = inodeTable * blockSize + index * inodeSize;
        const bytes = piece.subarray(0, Math.ceil((count * inodeSize) / blockSize) * blockSize);
        budget -= bytes.length;
        if (budget < 0) return;
        const lost = await readPossible(bytes, blockSize, (part, at) => tryRead(volume, part, offset + at));
        yield { first, count, bytes, lost };
      }
    }
  }
}

/** The used inodes of a piece. They point into its bytes. */
export function* inodesIn(superblock: Superblock, { first, count, bytes, lost }: InodePiece): Generator<Inode> {
  const { inodeSize, blockSize } = superblock;
  for (let index = 0; index < count; index += 1) {
    const at = index * inodeSize;
    if (lost.size > 0 && lost.has(Math.floor(at / blockSize))) continue;
    const inode = parseInode(superblock, first + index, bytes.subarray(at, at + inodeSize));
    if (inode) yield inode;
  }
}
