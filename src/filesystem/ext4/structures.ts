// Names the parts of ext2/3/4 that lie where arithmetic or a group descriptor says: copies of the superblock, group
// descriptors, bitmaps, inode tables; and what the block bitmaps call free.
// Invariant: only asked bytes are claimed; of the bitmaps only those of asked groups are read.
// Source: kernel Documentation/filesystems/ext4/{blockgroup,group_descr,bitmaps}.rst.

import { rawCrc32c } from '../../base/checksum.js';
import { type Extent, extentEnd } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import { tryRead } from '../best-effort.js';
import { setRuns } from '../bitmap.js';
import type { Claimable } from '../claims.js';
import { RoCompat } from './features.js';
import { type BlockRange, baseParts, clustersInGroup, groupOfBlock, groupRange } from './geometry.js';
import { metadataOf } from './group-descriptors.js';
import { SUPERBLOCK_LENGTH, SUPERBLOCK_OFFSET, type Superblock } from './superblock.js';
import { type SurvivingDescriptor, survivingDescriptor, survivingDescriptors } from './surviving-descriptors.js';

export interface StructureClaimant {
  readonly kind: 'structure';
  readonly name: string;
}

export interface FreeClaimant {
  readonly kind: 'free';
}

const FREE: FreeClaimant = { kind: 'free' };
/** In the order of `metadataOf`. */
const GROUP_METADATA = ['block bitmap', 'inode bitmap', 'inode table'] as const;

export async function claimStructures(
  claims: Claimable<StructureClaimant>,
  volume: Source,
  superblock: Superblock,
): Promise<void> {
  const { blockSize, mmpBlock } = superblock;
  const claim = (name: string, { start, end }: BlockRange): void => {
    claims.claim({ offset: start * blockSize, length: (end - start) * blockSize }, { kind: 'structure', name });
  };
  claims.claim({ offset: 0, length: SUPERBLOCK_OFFSET }, { kind: 'structure', name: 'boot sectors' });
  claims.claim(
    { offset: SUPERBLOCK_OFFSET, length: Math.max(SUPERBLOCK_LENGTH, blockSize - SUPERBLOCK_OFFSET) },
    { kind: 'structure', name: 'superblock' },
  );
  for (const extent of [...claims.left]) {
    for (const group of groupsOf(superblock, extent)) {
      const parts = baseParts(superblock, group);
      const copy = group === 0 ? '' : 'backup of the ';
      const where = group === 0 ? '' : ` in group ${group}`;
      claim(`${copy}superblock${where}`, parts.superblock);
      claim(`${copy}group descriptors${where}`, parts.descriptors);
      claim(`space for more group descriptors in group ${group}`, parts.reserved);
    }
  }
  if (mmpBlock > 0) claim('multiple mount protection', { start: mmpBlock, end: mmpBlock + 1 });
  for await (const descriptors of survivingDescriptors(volume, superblock)) {
    if (claims.left.length === 0) return;
    for (const descriptor of descriptors) {
      for (const [index, range] of metadataOf(superblock, descriptor).entries()) {
        const extent = { offset: range.start * blockSize, length: (range.end - range.start) * blockSize };
        if (claims.meets(extent)) claim(`${GROUP_METADATA[index]} of group ${descriptor.group}`, range);
      }
    }
  }
}

/** Claims what the block bitmaps call free, as far as they can be read and believed. */
export async function claimFree(
  claims: Claimable<FreeClaimant>,
  volume: Source,
  superblock: Superblock,
): Promise<void> {
  const { blockSize, blockCount } = superblock;
  claims.claim({ offset: blockCount * blockSize, length: volume.size }, FREE);
  let known: { readonly group: number; readonly free: readonly Extent[] } | undefined;
  for (const extent of [...claims.left]) {
    for (const group of groupsOf(superblock, extent)) {
      if (known?.group !== group) known = { group, free: await freeIn(volume, superblock, group) };
      for (const free of known.free) claims.claim(free, FREE);
    }
  }
}

function* groupsOf(superblock: Superblock, extent: Extent): Generator<number> {
  const first = groupOfBlock(superblock, Math.floor(extent.offset / superblock.blockSize));
  const last = groupOfBlock(superblock, Math.ceil(extentEnd(extent) / superblock.blockSize) - 1);
  for (let group = first; group <= Math.min(last, superblock.groupCount - 1); group += 1) yield group;
}

async function freeIn(volume: Source, superblock: Superblock, group: number): Promise<Extent[]> {
  const { blockSize, clusterSize } = superblock;
  const descriptor = await survivingDescriptor(volume, superblock, group);
  if (!descriptor || descriptor.stale) return [];
  const { start, end } = groupRange(superblock, group);
  const offset = start * blockSize;
  // Only metadata is used there, and that was claimed before.
  if (descriptor.uninitialised) return [{ offset, length: (end - start) * blockSize }];
  const bits = await bitmapOf(volume, superblock, descriptor);
  if (!bits) return [];
  for (const [index, byte] of bits.entries()) bits[index] = ~byte & 0xff;
  const clusters = clustersInGroup(superblock, group);
  return [...setRuns(bits, { start: 0, end: clusters })].map((run) => ({
    offset: offset + run.start * clusterSize,
    length: Math.min((run.end - run.start) * clusterSize, (end - start) * blockSize - run.start * clusterSize),
  }));
}

/** Undefined if it cannot be read, or its checksum is wrong. */
async function bitmapOf(
  volume: Source,
  superblock: Superblock,
  { blockBitmap, bitmapChecksum, bitmapChecksumMask }: SurvivingDescriptor,
): Promise<Buffer | undefined> {
  const { blockSize, roCompat, checksumSeed, clustersPerGroup } = superblock;
  const bits = Buffer.alloc(blockSize);
  if (!(await tryRead(volume, bits, blockBitmap * blockSize))) return undefined;
  if ((roCompat & RoCompat.METADATA_CSUM) === 0) return bits;
  const checksum = (rawCrc32c(checksumSeed, bits.subarray(0, clustersPerGroup / 8)) & bitmapChecksumMask) >>> 0;
  return checksum === bitmapChecksum ? bits : undefined;
}
