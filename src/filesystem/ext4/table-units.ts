// Inode tables in small units of neighbours, for whoever must not miss an inode that is in use.
// Invariant: a descriptor that cannot be trusted ends it with FormatError; memory holds one piece of one table. Inodes at
// the end of a table that were never used are left out: kernel and e2fsck take them for free as well.
// Source: kernel Documentation/filesystems/ext4/{group_descr,inode_table}.rst.

import { FormatError } from '../../base/u64.js';
import { type Bytes, KiB, MiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { descriptorsPerBlock, inodeTableBlocks } from './geometry.js';
import { type GroupDescriptor, readDescriptors } from './group-descriptors.js';
import type { Superblock } from './superblock.js';

/** Descriptors that are read at once. */
const STRIDE = 1024;
/** Largest read of a table. */
const PIECE: Bytes = MiB;
/** Four inodes as most volumes have them: a changed one has few neighbours that are parsed along. */
const UNIT: Bytes = KiB;
const SECTOR: Bytes = 512;

export interface TableUnit {
  /** The same for the same inodes. */
  readonly id: number;
  /** Number of the first inode. */
  readonly first: number;
  readonly count: number;
  /** `count` inodes; overwritten by later units. */
  readonly bytes: Buffer;
}

/** All inodes that may be in use, in the order of their numbers. Throws FormatError. */
export async function* tableUnits(volume: Source, superblock: Superblock): AsyncGenerator<TableUnit> {
  const { blockSize, inodeSize, inodesPerGroup } = superblock;
  const perUnit = Math.max(1, UNIT / inodeSize);
  const perPiece = PIECE / inodeSize;
  const unitsPerGroup = Math.ceil(inodesPerGroup / perUnit);
  const piece = Buffer.alloc(Math.min(PIECE, inodeTableBlocks(superblock) * blockSize));
  // Tables that together are longer than the volume overlap.
  let budget = volume.size;
  for await (const { group, inodeTable, unusedInodes } of trustedDescriptors(volume, superblock)) {
    const used = inodesPerGroup - unusedInodes;
    for (let index = 0; index < used; index += perPiece) {
      const count = Math.min(perPiece, used - index);
      const bytes = piece.subarray(0, Math.ceil((count * inodeSize) / SECTOR) * SECTOR);
      budget -= bytes.length;
      if (budget < 0) throw new FormatError('the inode tables overlap');
      await volume.read(bytes, inodeTable * blockSize + index * inodeSize);
      for (let at = 0; at < count; at += perUnit) {
        const length = Math.min(perUnit, count - at);
        yield {
          id: group * unitsPerGroup + (index + at) / perUnit,
          first: group * inodesPerGroup + index + at + 1,
          count: length,
          bytes: bytes.subarray(at * inodeSize, (at + length) * inodeSize),
        };
      }
    }
  }
}

async function* trustedDescriptors(volume: Source, superblock: Superblock): AsyncGenerator<GroupDescriptor> {
  const stride = Math.max(1, STRIDE - (STRIDE % descriptorsPerBlock(superblock)));
  for (let first = 0; first < superblock.groupCount; first += stride) {
    const count = Math.min(stride, superblock.groupCount - first);
    for (const descriptor of await readDescriptors(volume, superblock, { first, count })) {
      if (descriptor.problem !== undefined) throw new FormatError(descriptor.problem);
      yield descriptor;
    }
  }
}
