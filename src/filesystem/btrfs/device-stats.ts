// How often this device failed to read or gave wrong bytes, as the file system counted it.
// Invariant: where data lies twice, the kernel mends a bad copy in place, and no extent or checksum tells of it; these
// counters do. They are written with each commit that they changed before.
// Source: btrfs on-disk format documentation (btrfs_dev_stats_item); kernel fs/btrfs/volumes.c (btrfs_run_dev_stats).

import { digestOf } from '../../base/digest.js';
import { compareKeys, KeyType, makeKey } from './key.js';
import { itemAt, keyAt } from './node.js';
import type { Superblock } from './superblock.js';
import { findTree, leavesFrom, type NodeReader, TreeId } from './tree.js';

const STATS_OBJECTID = 0;
/** Five counters of 64 bits. */
const STATS_LENGTH = 40;

/** 16 bytes that differ after data was mended in place. */
export async function repairsSeen(nodes: NodeReader, superblock: Superblock): Promise<Buffer> {
  const tree = await findTree(nodes, superblock, TreeId.DEVICE);
  const wanted = makeKey({ objectid: STATS_OBJECTID, type: KeyType.PERSISTENT_ITEM, offset: superblock.deviceId });
  for await (const { leaf, first } of leavesFrom(tree, wanted)) {
    if (compareKeys(keyAt(leaf, first), wanted) !== 0) break;
    const { start, length } = itemAt(leaf, first);
    return digestOf(leaf.bytes.subarray(start, start + length));
  }
  // The first mount writes the item, with zeros.
  return digestOf(Buffer.alloc(STATS_LENGTH));
}
