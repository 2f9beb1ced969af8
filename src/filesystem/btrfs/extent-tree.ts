// The extent tree: which logical addresses are used.
// Invariant: extents come in ascending order, do not overlap, and each item is of a known type.
// Source: btrfs on-disk format documentation (btrfs_extent_item); kernel fs/btrfs/tree-checker.c (check_extent_item).

import { FormatError } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import { KeyType, makeKey } from './key.js';
import { itemAt, keyAt, keyObjectid, keyOffset, keyType, type TreeNode } from './node.js';
import type { Range } from './striping.js';
import type { Superblock } from './superblock.js';
import { lastKeyNotAfter, leavesFrom, type Tree } from './tree.js';

const EXTENT_ITEM_LENGTH = 24;
const LAST_TYPE = 255;

/** References to extents, by objectid of their extent; old and new forms. */
const REFERENCE_TYPES: ReadonlySet<number> = new Set([172, 176, 178, 182, 184]);

export interface UsedExtent extends Range {
  /** Where its EXTENT_ITEM lies in the leaf's bytes; at least its fixed part is there. */
  readonly item: number;
  /** Holds a tree block, and says so in its key. */
  readonly metadata: boolean;
}

/** What a stretch of one leaf says. */
export interface LeafContent {
  readonly extents: readonly UsedExtent[];
  /** Indexes of its BLOCK_GROUP_ITEMs. */
  readonly blockGroups: readonly number[];
}

type Sizes = Pick<Superblock, 'nodeSize' | 'sectorSize'>;

/** Throws FormatError on an impossible extent. `after`: where the extent before this leaf ended. */
export function readLeaf(
  leaf: TreeNode,
  { first, after, sizes }: { first: number; after: Bytes; sizes: Sizes },
): LeafContent {
  const extents: UsedExtent[] = [];
  const blockGroups: number[] = [];
  let end = after;
  for (let index = first; index < leaf.count; index += 1) {
    const key = keyAt(leaf, index);
    const type = keyType(key);
    if (type === KeyType.BLOCK_GROUP_ITEM) blockGroups.push(index);
    if (type !== KeyType.EXTENT_ITEM && type !== KeyType.METADATA_ITEM) {
      if (type === KeyType.BLOCK_GROUP_ITEM || REFERENCE_TYPES.has(type)) continue;
      throw new FormatError(`the extent tree has an item of unknown type ${type}`);
    }
    const start = keyObjectid(key);
    const metadata = type === KeyType.METADATA_ITEM;
    const length = metadata ? sizes.nodeSize : keyOffset(key);
    const whole = start % sizes.sectorSize === 0 && length > 0 && length % sizes.sectorSize === 0;
    const item = itemAt(leaf, index);
    if (!whole || item.length < EXTENT_ITEM_LENGTH || !Number.isSafeInteger(start + length)) {
      throw new FormatError(`the extent at address ${start} is damaged`);
    }
    if (start < end) throw new FormatError(`the extent at address ${start} overlaps another`);
    end = start + length;
    extents.push({ start, end, item: item.start, metadata });
  }
  return { extents, blockGroups };
}

/**
 * Used addresses inside `within`, a part of the chunk that starts at `chunkStart`; clipped, ascending, neighbours joined
 * as far as they lie in one leaf. No extent reaches from one chunk into the next.
 */
export async function* usedAddresses(
  tree: Tree,
  sizes: Sizes,
  { within, chunkStart }: { within: Range; chunkStart: Bytes },
): AsyncGenerator<readonly Range[]> {
  const from = await startOf(tree, within.start, chunkStart);
  let after = 0;
  for await (const { leaf, first } of leavesFrom(tree, makeKey({ objectid: from, type: 0, offset: 0 }))) {
    const { extents } = readLeaf(leaf, { first, after, sizes });
    after = extents.at(-1)?.end ?? after;
    const inside = joined(extents, within);
    if (inside.length > 0) yield inside;
    if (keyObjectid(keyAt(leaf, leaf.count - 1)) >= within.end) return;
  }
}

/** Where the extent starts that may reach into the address from before it; else the address. */
async function startOf(tree: Tree, address: Bytes, chunkStart: Bytes): Promise<Bytes> {
  const key = await lastKeyNotAfter(tree, makeKey({ objectid: address, type: LAST_TYPE, offset: 0 }));
  const before = key ? keyObjectid(key) : 0;
  return before >= chunkStart ? before : address;
}

function joined(extents: readonly Range[], within: Range): Range[] {
  const result: Range[] = [];
  for (const extent of extents) {
    const start = Math.max(extent.start, within.start);
    const end = Math.min(extent.end, within.end);
    if (start >= end) continue;
    const last = result.at(-1);
    if (last?.end === start) result[result.length - 1] = { start: last.start, end };
    else result.push({ start, end });
  }
  return result;
}
