// Adds up the extents of every block group and compares: with its own counter, with its chunk, with the superblock.
// Invariant: when it returns, the extent tree accounts for every used byte. The counters are exact at each commit.
// Source: btrfs on-disk format documentation (btrfs_block_group_item); kernel fs/btrfs/block-group.c
// (check_chunk_block_group_mappings).

import { FormatError, readU64LE } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import type { ChunkMap } from './chunk-map.js';
import { readLeaf } from './extent-tree.js';
import { KeyType, makeKey } from './key.js';
import { itemAt, keyAt, keyObjectid, keyOffset, keyType, type TreeNode } from './node.js';
import type { Range } from './striping.js';
import type { Superblock } from './superblock.js';
import { leavesFrom, type Tree } from './tree.js';

const At = { used: 0, flags: 16, end: 24 } as const;
const START = makeKey({ objectid: 0, type: 0, offset: 0 });
const NONE = -1;

/** Walks the whole extent tree. `blockGroups` is the tree that the block groups have for themselves, if they have one. */
export async function checkBlockGroups(
  map: ChunkMap,
  superblock: Superblock,
  { extents, blockGroups }: { extents: Tree; blockGroups: Tree | undefined },
): Promise<void> {
  const sums = new Sums(map);
  let after = 0;
  for await (const { leaf, first } of leavesFrom(extents, START)) {
    const content = readLeaf(leaf, { first, after, sizes: superblock });
    for (const extent of content.extents) sums.addExtent(extent);
    for (const index of content.blockGroups) sums.addBlockGroup(leaf, index);
    after = content.extents.at(-1)?.end ?? after;
  }
  if (blockGroups) {
    for await (const { leaf, first } of leavesFrom(blockGroups, START)) {
      for (let index = first; index < leaf.count; index += 1) sums.addBlockGroup(leaf, index);
    }
  }
  sums.check(superblock.bytesUsed);
}

/** One pair of numbers a chunk. */
class Sums {
  readonly #map: ChunkMap;
  readonly #counted: Float64Array;
  readonly #claimed: Float64Array;
  #current = NONE;

  constructor(map: ChunkMap) {
    this.#map = map;
    this.#counted = new Float64Array(map.chunks.length);
    this.#claimed = new Float64Array(map.chunks.length).fill(NONE);
  }

  addExtent({ start, end }: Range): void {
    let chunk = this.#map.chunks[this.#current];
    // Extents come in order: most of them are in the chunk of the one before.
    if (!chunk || start < chunk.logical || start >= chunk.logical + chunk.length) {
      this.#current = this.#map.indexAt(start);
      chunk = this.#map.chunks[this.#current];
    }
    if (!chunk || end > chunk.logical + chunk.length) throw new FormatError(`the extent at ${start} is in no chunk`);
    this.#counted[this.#current] = (this.#counted[this.#current] ?? 0) + end - start;
  }

  addBlockGroup(leaf: TreeNode, index: number): void {
    const key = keyAt(leaf, index);
    const { start, length } = itemAt(leaf, index);
    if (keyType(key) !== KeyType.BLOCK_GROUP_ITEM || length !== At.end)
      throw new FormatError('a block group is damaged');
    const logical = keyObjectid(key);
    const at = this.#map.indexAt(logical);
    const chunk = this.#map.chunks[at];
    const type = readU64LE(leaf.bytes, start + At.flags);
    if (chunk?.logical !== logical || chunk.length !== keyOffset(key) || chunk.type !== type) {
      throw new FormatError(`block group ${logical} is no chunk`);
    }
    this.#claimed[at] = readU64LE(leaf.bytes, start + At.used);
  }

  check(bytesUsed: Bytes): void {
    let total = 0;
    for (const [index, { logical }] of this.#map.chunks.entries()) {
      const counted = this.#counted[index] ?? 0;
      const claimed = this.#claimed[index] ?? NONE;
      if (claimed === NONE) throw new FormatError(`chunk ${logical} has no block group`);
      if (claimed !== counted) {
        throw new FormatError(`block group ${logical} has ${counted} used bytes, its counter says ${claimed}`);
      }
      total += counted;
    }
    if (total !== bytesUsed) {
      throw new FormatError(`the block groups have ${total} used bytes together, the superblock says ${bytesUsed}`);
    }
  }
}
