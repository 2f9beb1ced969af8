// The device tree's view of what this device's space is given to, against the chunk tree's.
// Invariant: both name the same stripes, or nothing is believed.
// Source: btrfs on-disk format documentation (btrfs_dev_extent); kernel fs/btrfs/volumes.c (btrfs_verify_dev_extents).

import { FormatError, readU64LE } from '../../base/u64.js';
import type { Trees } from './chunk-map.js';
import { KeyType, makeKey } from './key.js';
import { itemAt, keyAt, keyObjectid, keyOffset, keyType } from './node.js';
import type { Superblock } from './superblock.js';
import { findTree, leavesFrom, TreeId } from './tree.js';

const At = { chunk: 16, length: 24, end: 48 } as const;

/** Throws FormatError if the two differ. */
export async function checkDeviceExtents({ map, nodes }: Trees, superblock: Superblock): Promise<void> {
  const { deviceId } = superblock;
  const tree = await findTree(nodes, superblock, TreeId.DEVICE);
  const from = makeKey({ objectid: deviceId, type: KeyType.DEV_EXTENT, offset: 0 });
  let next = 0;
  for await (const { leaf, first } of leavesFrom(tree, from)) {
    for (let index = first; index < leaf.count; index += 1) {
      const key = keyAt(leaf, index);
      if (keyObjectid(key) !== deviceId || keyType(key) !== KeyType.DEV_EXTENT) return demandAll(next);
      const { start, length } = itemAt(leaf, index);
      if (length !== At.end) throw new FormatError('a device extent has another length');
      const stripe = map.stripes[next];
      if (
        stripe?.physical !== keyOffset(key) ||
        stripe.chunk.logical !== readU64LE(leaf.bytes, start + At.chunk) ||
        stripe.chunk.stripeLength !== readU64LE(leaf.bytes, start + At.length)
      ) {
        throw new FormatError(`no chunk has the device extent at ${keyOffset(key)}`);
      }
      next += 1;
    }
  }
  demandAll(next);

  function demandAll(seen: number): void {
    const missing = map.stripes[seen];
    if (missing) throw new FormatError(`no device extent has the stripe at ${missing.physical}`);
  }
}
