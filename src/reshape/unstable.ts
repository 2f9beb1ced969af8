// What two views of the same volume may differ in, although they hold the same.
// Invariant: only bytes that no mount of a clean file system reads.

import { readSuperblock } from '../filesystem/xfs/superblock.js';
import type { Extent } from '../map/extent.js';
import type { Source } from '../source/types.js';

/**
 * The log of an XFS that was resized: it is clean, and the kernel numbers the transactions in it by chance. A btrfs is
 * resized by the kernel too, which chooses when it commits: its trees hold the same, but not in the same blocks. All others
 * come out the same each time. Volume offsets.
 */
export async function unstableIn(view: Source, kind: string): Promise<Extent[] | 'all'> {
  if (kind === 'btrfs') return 'all';
  if (kind !== 'xfs') return [];
  const superblock = await readSuperblock(view);
  if (!superblock?.log) return [];
  const { blockSize, groupBlocks, log } = superblock;
  return [{ offset: (log.group * groupBlocks + log.start) * blockSize, length: log.blocks * blockSize }];
}
