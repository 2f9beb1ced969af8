// Directory entries of ext2/3/4, from the blocks of a directory or from its inode.
// Invariant: bytes in, values out. Damage ends the block it lies in, so a walk over a block ends.
// Source: kernel Documentation/filesystems/ext4/{directory,attributes}.rst; the blocks of a hash tree look like unused
// entries to whoever reads a directory block by block.

import { mapBytes, SMALLEST_INODE } from './inode.js';

const At = { inode: 0, length: 4, nameLength: 6, name: 8 } as const;
/** Blocks of 64 KiB cannot write their own length into 16 bits. */
const WIDE_BLOCK = 65536;

export interface DirectoryEntry {
  readonly inode: number;
  readonly name: Buffer;
}

/** Entries in use, "." and ".." among them. */
export function* entriesIn(block: Buffer): Generator<DirectoryEntry> {
  for (let at = 0; at + At.name <= block.length; ) {
    const length = lengthOf(block.readUInt16LE(at + At.length), block.length);
    const inode = block.readUInt32LE(at + At.inode);
    const nameEnd = At.name + block.readUInt8(at + At.nameLength);
    if (length < At.name || length % 4 !== 0 || at + length > block.length) return;
    if (inode !== 0 && nameEnd <= length && nameEnd > At.name) {
      yield { inode, name: block.subarray(at + At.name, at + nameEnd) };
    }
    at += length;
  }
}

function lengthOf(value: number, blockSize: number): number {
  if (blockSize < WIDE_BLOCK) return value;
  return value === 0 || value === 65535 ? blockSize : (value & 65532) + (value & 3) * 65536;
}

const INLINE = { parentLength: 4, extraSizeAt: 0x80, magic: 0xea020000 } as const;
const XATTR = { nameLength: 0, index: 1, valueOffset: 2, valueInode: 4, valueSize: 8, name: 16 } as const;
const SYSTEM = 7;
const DATA = 'data';

/** Number of the parent of a directory that lies in its inode. */
export function inlineParent(raw: Buffer): number {
  return mapBytes(raw).readUInt32LE(0);
}

/** Entries of a directory that lies in its inode: in place of the block map, and behind it as an attribute. */
export function* inlineEntries(raw: Buffer): Generator<DirectoryEntry> {
  yield* entriesIn(mapBytes(raw).subarray(INLINE.parentLength));
  const rest = inlineAttribute(raw);
  if (rest) yield* entriesIn(rest);
}

/** The value of "system.data", which holds what does not fit in place of the block map. */
function inlineAttribute(raw: Buffer): Buffer | undefined {
  if (raw.length < INLINE.extraSizeAt + 4) return undefined;
  const start = SMALLEST_INODE + raw.readUInt16LE(INLINE.extraSizeAt);
  if (start + 4 > raw.length || raw.readUInt32LE(start) !== INLINE.magic) return undefined;
  const area = raw.subarray(start + 4);
  for (let at = 0; at + XATTR.name <= area.length; ) {
    if (area.readUInt32LE(at) === 0) return undefined;
    const nameLength = area.readUInt8(at + XATTR.nameLength);
    const name = area.toString('latin1', at + XATTR.name, at + XATTR.name + nameLength);
    if (area.readUInt8(at + XATTR.index) === SYSTEM && name === DATA) {
      const offset = area.readUInt16LE(at + XATTR.valueOffset);
      const end = offset + area.readUInt32LE(at + XATTR.valueSize);
      return area.readUInt32LE(at + XATTR.valueInode) === 0 && end <= area.length
        ? area.subarray(offset, end)
        : undefined;
    }
    at += Math.ceil((XATTR.name + nameLength) / 4) * 4;
  }
  return undefined;
}
