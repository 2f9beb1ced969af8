// Reads btrfs trees: single blocks through any good copy on this device, and leaves in key order.
// Invariant: a walk costs memory for one path and the cache (32 blocks), whatever the size of the tree.

import { FormatError, readU64LE } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { OutOfReach } from '../plugin.js';
import { compareKeys, type KeyAt, KeyType, makeKey } from './key.js';
import {
  childAt,
  itemAt,
  keyAt,
  keyObjectid,
  keyType,
  lastNotAfter,
  mismatch,
  type NodePointer,
  parseNode,
  type TreeNode,
} from './node.js';
import type { RootPointer, Superblock } from './superblock.js';

const CACHED_NODES = 32;
const MAX_LEVEL = 8;
const ELSEWHERE = 'part of its metadata lies on its other devices only';

/** Numbers of trees. */
export const TreeId = { ROOT: 1, EXTENT: 2, CHUNK: 3, DEVICE: 4, CHECKSUM: 7, BLOCK_GROUP: 11 } as const;

/** In a ROOT_ITEM. */
const RootAt = { generation: 160, logical: 176, level: 238, end: 239 } as const;

/** Where the bytes at a logical address lie on this device; empty if only on others. Throws FormatError if nowhere. */
export type Locate = (logical: Bytes, length: Bytes) => readonly Bytes[];

/** The blocks of all trees of one file system. Remembers the last ones. */
export class NodeReader {
  readonly volume: Source;
  readonly #superblock: Superblock;
  readonly #locate: Locate;
  readonly #cache = new Map<Bytes, TreeNode>();

  constructor(volume: Source, superblock: Superblock, locate: Locate) {
    this.volume = volume;
    this.#superblock = superblock;
    this.#locate = locate;
  }

  /** Throws FormatError if no copy on this device is the block that the pointer means; OutOfReach if there is none. */
  async read(pointer: NodePointer): Promise<TreeNode> {
    const { logical } = pointer;
    const cached = this.#cache.get(logical);
    if (cached && mismatch(cached, pointer) === undefined) {
      this.#remember(logical, cached);
      return cached;
    }
    const node = await this.#load(pointer);
    this.#remember(logical, node);
    return node;
  }

  get nodeSize(): Bytes {
    return this.#superblock.nodeSize;
  }

  /** Where the first copy of a block lies on this device. OutOfReach if none does. */
  firstPlace({ logical }: NodePointer): Bytes {
    const [place] = this.#locate(logical, this.nodeSize);
    if (place === undefined) throw new OutOfReach(ELSEWHERE);
    return place;
  }

  /** The block in bytes that were read by others; undefined if it is not the one that the pointer means. */
  parsed(bytes: Buffer, pointer: NodePointer): TreeNode | undefined {
    const node = parseNode(bytes, pointer, this.#superblock);
    return typeof node === 'string' ? undefined : node;
  }

  async #load(pointer: NodePointer): Promise<TreeNode> {
    const { nodeSize } = this.#superblock;
    const copies = this.#locate(pointer.logical, nodeSize);
    let problem = '';
    for (const offset of copies) {
      const bytes = Buffer.allocUnsafe(nodeSize);
      await this.volume.read(bytes, offset);
      const node = parseNode(bytes, pointer, this.#superblock);
      if (typeof node !== 'string') return node;
      problem ||= node;
    }
    if (copies.length === 0) throw new OutOfReach(ELSEWHERE);
    throw new FormatError(`tree block ${pointer.logical} of tree ${pointer.owner} is damaged: ${problem}`);
  }

  #remember(logical: Bytes, node: TreeNode): void {
    this.#cache.delete(logical);
    this.#cache.set(logical, node);
    if (this.#cache.size <= CACHED_NODES) return;
    for (const oldest of this.#cache.keys()) {
      this.#cache.delete(oldest);
      return;
    }
  }
}

/** One tree, ready to be walked. */
export interface Tree {
  readonly nodes: NodeReader;
  readonly root: NodePointer;
}

export function openTree(nodes: NodeReader, owner: number, root: RootPointer): Tree {
  return { nodes, root: { ...root, owner, first: undefined, before: undefined } };
}

/** The tree that the root tree names. Throws FormatError if it names none. */
export async function findTree(nodes: NodeReader, superblock: Superblock, owner: number): Promise<Tree> {
  const roots = openTree(nodes, TreeId.ROOT, superblock.root);
  for await (const { leaf, first } of leavesFrom(
    roots,
    makeKey({ objectid: owner, type: KeyType.ROOT_ITEM, offset: 0 }),
  )) {
    const key = keyAt(leaf, first);
    if (keyObjectid(key) !== owner || keyType(key) !== KeyType.ROOT_ITEM) break;
    const { start, length } = itemAt(leaf, first);
    if (length < RootAt.end) throw new FormatError(`the root item of tree ${owner} is too short`);
    const { bytes } = leaf;
    const level = bytes.readUInt8(start + RootAt.level);
    if (level >= MAX_LEVEL) throw new FormatError(`tree ${owner} is too deep`);
    return openTree(nodes, owner, {
      logical: readU64LE(bytes, start + RootAt.logical),
      generation: readU64LE(bytes, start + RootAt.generation),
      level,
    });
  }
  throw new FormatError(`tree ${owner} is missing`);
}

export interface LeafFrom {
  readonly leaf: TreeNode;
  /** Index of the first item that counts; always one of the leaf's. */
  readonly first: number;
}

/** Leaves in key order, from the first key on that is not before `from`. */
export function leavesFrom({ nodes, root }: Tree, from: KeyAt): AsyncGenerator<LeafFrom> {
  return leavesBelow(nodes, root, from);
}

async function* leavesBelow(nodes: NodeReader, pointer: NodePointer, from: KeyAt): AsyncGenerator<LeafFrom> {
  const node = await nodes.read(pointer);
  const last = lastNotAfter(node, from);
  if (node.level === 0) {
    const exact = last >= 0 && compareKeys(keyAt(node, last), from) === 0;
    const first = exact ? last : last + 1;
    if (first < node.count) yield { leaf: node, first };
    return;
  }
  for (let index = Math.max(0, last); index < node.count; index += 1) {
    yield* leavesBelow(nodes, childAt(node, index, pointer), from);
  }
}

/** The last key that is not after `key`; undefined if all are. */
export async function lastKeyNotAfter({ nodes, root }: Tree, key: KeyAt): Promise<KeyAt | undefined> {
  let pointer = root;
  for (;;) {
    const node = await nodes.read(pointer);
    const index = lastNotAfter(node, key);
    if (index < 0) return undefined;
    if (node.level === 0) return keyAt(node, index);
    pointer = childAt(node, index, pointer);
  }
}
