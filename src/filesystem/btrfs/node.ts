// One block of a btrfs tree, and everything that can be told of it without looking at others.
// Invariant: a `TreeNode` passed all checks: checksum, place, UUID, generation, level, owner, keys strictly ascending
// between the bounds its parent names, items inside the block. So walking down always ends, and no block is met twice.
// Source: btrfs on-disk format documentation (btrfs_header, btrfs_leaf, btrfs_node); kernel fs/btrfs/tree-checker.c.

import { readU64LE } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import { isIntact } from './checksum.js';
import { compareKeys, KEY_LENGTH, KEY_OFFSET_AT, KEY_TYPE_AT, type KeyAt } from './key.js';
import type { RootPointer, Superblock } from './superblock.js';

const HEADER_LENGTH = 101;
const ITEM_LENGTH = 25;
const POINTER_LENGTH = 33;

const At = {
  uuid: 0x20,
  logical: 0x30,
  generation: 0x50,
  owner: 0x58,
  count: 0x60,
  level: 0x64,
} as const;

/** Where a block lies and what its parent says of it. */
export interface NodePointer extends RootPointer {
  /** Number of the tree. */
  readonly owner: number;
  /** Its first key; undefined for a root, which alone may be empty. */
  readonly first: KeyAt | undefined;
  /** A key that all of its keys come before. */
  readonly before: KeyAt | undefined;
}

export interface TreeNode {
  readonly bytes: Buffer;
  readonly level: number;
  readonly count: number;
}

/** The item's data inside the leaf's bytes. */
export interface Item {
  readonly start: number;
  readonly length: number;
}

export function keyAt({ bytes, level }: TreeNode, index: number): KeyAt {
  return { bytes, at: HEADER_LENGTH + index * entryLength(level) };
}

function entryLength(level: number): number {
  return level === 0 ? ITEM_LENGTH : POINTER_LENGTH;
}

export function keyType({ bytes, at }: KeyAt): number {
  return bytes.readUInt8(at + KEY_TYPE_AT);
}

/** Throws FormatError for the few objects whose numbers are beyond 2^53. */
export function keyObjectid({ bytes, at }: KeyAt): number {
  return readU64LE(bytes, at);
}

/** Throws FormatError beyond 2^53, as hashes are. */
export function keyOffset({ bytes, at }: KeyAt): number {
  return readU64LE(bytes, at + KEY_OFFSET_AT);
}

export function itemAt(leaf: TreeNode, index: number): Item {
  const { bytes } = leaf;
  const at = HEADER_LENGTH + index * ITEM_LENGTH + KEY_LENGTH;
  return { start: HEADER_LENGTH + bytes.readUInt32LE(at), length: bytes.readUInt32LE(at + 4) };
}

/** What `node` says of its child number `index`. */
export function childAt(node: TreeNode, index: number, { owner, before }: NodePointer): NodePointer {
  const key = keyAt(node, index);
  return {
    logical: readU64LE(key.bytes, key.at + KEY_LENGTH),
    generation: readU64LE(key.bytes, key.at + KEY_LENGTH + 8),
    level: node.level - 1,
    owner,
    first: key,
    before: index + 1 < node.count ? keyAt(node, index + 1) : before,
  };
}

/** Index of the last key that is not after `key`; -1 if all are. */
export function lastNotAfter(node: TreeNode, key: KeyAt): number {
  let low = 0;
  let high = node.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(keyAt(node, middle), key) <= 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The block in `bytes`, or in words why it is not the one that was looked for. */
export function parseNode(bytes: Buffer, pointer: NodePointer, superblock: Superblock): TreeNode | string {
  if (!isIntact(bytes, superblock.checksumType)) return 'its checksum is wrong';
  if (readBig(bytes, At.logical) !== BigInt(pointer.logical)) return 'it belongs elsewhere';
  const uuid = bytes.subarray(At.uuid, At.uuid + superblock.metadataUuid.length);
  if (!uuid.equals(superblock.metadataUuid)) return 'it belongs to another file system';
  const level = bytes.readUInt8(At.level);
  const count = bytes.readUInt32LE(At.count);
  const most = Math.floor((superblock.nodeSize - HEADER_LENGTH) / (level === 0 ? ITEM_LENGTH : POINTER_LENGTH));
  if (count > most) return `it has ${count} entries`;
  const node: TreeNode = { bytes, level, count };
  return mismatch(node, pointer) ?? disorder(node) ?? node;
}

/** Why a block is not the one that a pointer means; also asked when it is met again through another pointer. */
export function mismatch(node: TreeNode, pointer: NodePointer): string | undefined {
  const { bytes, level, count } = node;
  if (readBig(bytes, At.generation) !== BigInt(pointer.generation)) return 'it is of another generation';
  if (level !== pointer.level) return `it is at level ${level}`;
  if (readBig(bytes, At.owner) !== BigInt(pointer.owner)) return 'it belongs to another tree';
  if (count === 0) return pointer.first || level > 0 ? 'it is empty' : undefined;
  if (pointer.first && compareKeys(keyAt(node, 0), pointer.first) !== 0) return 'its first key is not the expected one';
  if (pointer.before && compareKeys(keyAt(node, count - 1), pointer.before) >= 0) return 'its keys go too far';
  return undefined;
}

/** Asked of every block that is read: makes no object for each key. */
function disorder({ bytes, level, count }: TreeNode): string | undefined {
  const step = entryLength(level);
  const before = { bytes, at: HEADER_LENGTH };
  const key = { bytes, at: HEADER_LENGTH };
  for (let index = 1; index < count; index += 1) {
    key.at += step;
    if (compareKeys(before, key) >= 0) return 'its keys are not in order';
    before.at = key.at;
  }
  if (level > 0) return undefined;
  const headersEnd: Bytes = HEADER_LENGTH + count * ITEM_LENGTH;
  for (let at = HEADER_LENGTH + KEY_LENGTH; at < headersEnd; at += ITEM_LENGTH) {
    const start = HEADER_LENGTH + bytes.readUInt32LE(at);
    if (start < headersEnd || start + bytes.readUInt32LE(at + 4) > bytes.length) return 'an item lies outside it';
  }
  return undefined;
}

function readBig(bytes: Buffer, at: number): bigint {
  return bytes.readBigUInt64LE(at);
}
