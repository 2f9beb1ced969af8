// Names in one block of a directory, and in a directory so short that its inode holds it.
// Invariant: entries are read in a row that only ascends and ends inside its bytes; the first impossible one throws.
// Source: "XFS Algorithms & Data Structures", short form, block and leaf directories; kernel xfs_da_format.h.

import { FormatError, readU64BE } from '../../base/u64.js';
import { Features2, Incompat } from './features.js';
import type { Superblock } from './superblock.js';

/** A directory of one block keeps the index of its names in the same block, behind them. */
const ONLY_BLOCK = { 4: 0x58443242, 5: 0x58444233 } as const; // XD2B, XDB3
const DATA_BLOCK = { 4: 0x58443244, 5: 0x58444433 } as const; // XD2D, XDD3
const HEADER = { 4: 16, 5: 64 } as const;
const TAIL = 8;
const INDEX_ENTRY = 8;

/** Entries begin at such places only; all of them end with a tag, the entry's own place. */
const UNIT = 8;
const TAG = 2;
const Entry = { inode: 0, nameLength: 8, name: 9 } as const;
const UNUSED = 0xffff;
const Unused = { mark: 0, length: 2 } as const;

const Short = { count: 0, wideCount: 1, parent: 2 } as const;
/** Behind the length of a name lies the place that it would have in a block. */
const ShortEntry = { nameLength: 0, name: 3 } as const;

const UNKNOWN_TYPE = 0;
const DIRECTORY_TYPE = 2;

export interface DirectoryEntry {
  readonly name: Buffer;
  /** Its inode's number; throws FormatError if that is impossible. */
  inode(): number;
  /** What kind of file it is; undefined: the directory does not say. */
  readonly kind: 'directory' | 'other' | undefined;
}

/** `bytes` are all that the directory has. */
export function* entriesInInode(superblock: Superblock, bytes: Buffer): Generator<DirectoryEntry> {
  if (bytes.length < Short.parent) throw damaged();
  // If one of the numbers needs 64 bits, all of them have so many.
  const width = bytes.readUInt8(Short.wideCount) === 0 ? 4 : 8;
  const count = bytes.readUInt8(Short.count);
  let at = Short.parent + width;
  for (let index = 0; index < count; index += 1) {
    if (at + ShortEntry.name > bytes.length) throw damaged();
    const start = at + ShortEntry.name;
    const end = start + bytes.readUInt8(at + ShortEntry.nameLength);
    const number = end + typeLength(superblock);
    at = number + width;
    if (end === start || at > bytes.length) throw damaged();
    const inode = (): number => (width === 4 ? bytes.readUInt32BE(number) : readU64BE(bytes, number));
    const kind = kindOf(superblock, bytes, end);
    yield { name: bytes.subarray(start, end), inode, kind };
  }
}

/** `only`: the directory has no other blocks. */
export function* entriesInBlock(
  superblock: Superblock,
  block: Buffer,
  { only }: { only: boolean },
): Generator<DirectoryEntry> {
  const version = superblock.version === 5 ? 5 : 4;
  const magic = block.readUInt32BE(0);
  const hasIndex = only && magic === ONLY_BLOCK[version];
  if (!hasIndex && magic !== DATA_BLOCK[version]) throw damaged();
  const end = hasIndex ? block.length - TAIL - block.readUInt32BE(block.length - TAIL) * INDEX_ENTRY : block.length;
  if (end < HEADER[version]) throw damaged();
  for (let at: number = HEADER[version]; at < end; ) {
    const { length, nameLength } = entryAt(superblock, block, at);
    if (length === 0 || length % UNIT !== 0 || at + length > end) throw damaged();
    if (block.readUInt16BE(at + length - TAG) !== at) throw damaged();
    const start = at + Entry.name;
    const place = at + Entry.inode;
    if (nameLength > 0) {
      const kind = kindOf(superblock, block, start + nameLength);
      yield { name: block.subarray(start, start + nameLength), inode: () => readU64BE(block, place), kind };
    }
    at += length;
  }
}

/** Without a name: it is unused. */
function entryAt(superblock: Superblock, block: Buffer, at: number): { length: number; nameLength: number } {
  if (block.readUInt16BE(at + Unused.mark) === UNUSED) {
    return { length: block.readUInt16BE(at + Unused.length), nameLength: 0 };
  }
  const nameLength = block.readUInt8(at + Entry.nameLength);
  if (nameLength === 0) throw damaged();
  const length = Entry.name + nameLength + typeLength(superblock) + TAG;
  return { length: Math.ceil(length / UNIT) * UNIT, nameLength };
}

/** Newer file systems keep with the name what kind of file it is. */
function typeLength({ version, incompat, features2 }: Superblock): number {
  const has = version === 5 ? (incompat & Incompat.FILE_TYPE) !== 0 : (features2 & Features2.FILE_TYPE) !== 0;
  return has ? 1 : 0;
}

/** It stands behind the name. */
function kindOf(superblock: Superblock, bytes: Buffer, at: number): DirectoryEntry['kind'] {
  const type = typeLength(superblock) === 0 ? UNKNOWN_TYPE : bytes.readUInt8(at);
  if (type === UNKNOWN_TYPE) return undefined;
  return type === DIRECTORY_TYPE ? 'directory' : 'other';
}

function damaged(): FormatError {
  return new FormatError('impossible directory entries');
}
