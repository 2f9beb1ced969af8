// Keys of btrfs trees: objectid, type, offset; 17 bytes, compared in that order.
// Invariant: they are compared where they lie; an offset may be a 64-bit hash that no JavaScript number holds.
// Source: btrfs on-disk format documentation (btrfs_disk_key).

import { writeU64LE } from '../../base/u64.js';

export const KEY_LENGTH = 17;
export const KEY_TYPE_AT = 8;
export const KEY_OFFSET_AT = 9;

/** A key inside `bytes`. */
export interface KeyAt {
  readonly bytes: Buffer;
  readonly at: number;
}

export const KeyType = {
  EXTENT_CSUM: 128,
  ROOT_ITEM: 132,
  EXTENT_ITEM: 168,
  METADATA_ITEM: 169,
  BLOCK_GROUP_ITEM: 192,
  DEV_EXTENT: 204,
  CHUNK_ITEM: 228,
  PERSISTENT_ITEM: 249,
} as const;

export interface KeyParts {
  readonly objectid: number;
  readonly type: number;
  readonly offset: number;
}

export function makeKey({ objectid, type, offset }: KeyParts): KeyAt {
  const bytes = Buffer.alloc(KEY_LENGTH);
  writeU64LE(bytes, objectid, 0);
  bytes.writeUInt8(type, KEY_TYPE_AT);
  writeU64LE(bytes, offset, KEY_OFFSET_AT);
  return { bytes, at: 0 };
}

/** Negative, zero or positive, as `a` is before, at or after `b`. */
export function compareKeys(a: KeyAt, b: KeyAt): number {
  return (
    compareHalves(a, b, 4) ||
    compareHalves(a, b, 0) ||
    a.bytes.readUInt8(a.at + KEY_TYPE_AT) - b.bytes.readUInt8(b.at + KEY_TYPE_AT) ||
    compareHalves(a, b, KEY_OFFSET_AT + 4) ||
    compareHalves(a, b, KEY_OFFSET_AT)
  );
}

function compareHalves(a: KeyAt, b: KeyAt, at: number): number {
  return a.bytes.readUInt32LE(a.at + at) - b.bytes.readUInt32LE(b.at + at);
}
