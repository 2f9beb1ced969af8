// Finds a file by its path, for the few files that are asked for: the fstab, the swap files it names, boot loaders' files.
// Invariant: bounded work; directories that are longer than any root directory is are not searched, links not followed.
// Source: kernel Documentation/filesystems/ext4/directory.rst (ext4_dir_entry_tail). Index blocks look like empty entries, so that all blocks
// can be read in a row.

import { rawCrc32c } from '../../base/checksum.js';
import { FormatError } from '../../base/u64.js';
import { type Bytes, MiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { readFromFile } from '../file.js';
import type { FoundFile } from '../plugin.js';
import { demandTrustworthy } from './allocation-map.js';
import { type CheckedInode, readInode } from './checked-inode.js';
import { Incompat, RoCompat } from './features.js';
import { readFileExtents } from './file-extents.js';
import { ROOT_INODE } from './inode.js';
import type { Superblock } from './superblock.js';

const LONGEST_DIRECTORY: Bytes = 16 * MiB;
const ENTRY = { inode: 0, length: 4, nameLength: 6, type: 7, name: 8 } as const;
const TYPE_FILE = 1;
const FLAG_INDEX = 0x1000;
const TAIL_LENGTH = 12;
/** Its length, no name, and a file type of its own. */
const TAIL_MARK = 0xde00000c;
const LARGE_BLOCK = 65536;

/** Throws FormatError. */
export async function findFile(volume: Source, superblock: Superblock, path: string): Promise<FoundFile | undefined> {
  const inode = await inodeAt(volume, superblock, path);
  if (inode?.format !== 'regular' || !inode.map) return undefined;
  return {
    size: inode.size,
    owner: inode.owner,
    permissions: inode.permissions,
    shared: (superblock.roCompat & RoCompat.SHARED_BLOCKS) !== 0,
    extents: await readFileExtents(volume, superblock, inode),
  };
}

/** Names in a directory, "." and ".." among them. Undefined: there is none, or it is not searched. Throws FormatError. */
export async function listFolder(volume: Source, superblock: Superblock, path: string): Promise<string[] | undefined> {
  const directory = await inodeAt(volume, superblock, path);
  if (!directory || !isSearched(directory)) return undefined;
  const names: string[] = [];
  for await (const { name } of entriesOf(volume, superblock, directory)) names.push(name.toString());
  return names;
}

async function inodeAt(volume: Source, superblock: Superblock, path: string): Promise<CheckedInode | undefined> {
  demandTrustworthy(volume, superblock);
  let inode = await readInode(volume, superblock, ROOT_INODE);
  for (const part of path.split('/').filter((each) => each !== '')) {
    const number = await lookUp(volume, superblock, { directory: inode, name: Buffer.from(part) });
    if (number === undefined) return undefined;
    inode = await readInode(volume, superblock, number);
  }
  return inode;
}

function isSearched({ format, map, size }: CheckedInode): boolean {
  return format === 'directory' && map !== undefined && size <= LONGEST_DIRECTORY;
}

async function lookUp(
  volume: Source,
  superblock: Superblock,
  { directory, name }: { directory: CheckedInode; name: Buffer },
): Promise<number | undefined> {
  if (!isSearched(directory)) return undefined;
  for await (const entry of entriesOf(volume, superblock, directory)) if (name.equals(entry.name)) return entry.inode;
  return undefined;
}

export interface Entry {
  readonly inode: number;
  /** It says so itself; false: unknown. */
  readonly isFile: boolean;
  /** Of a buffer that the next block overwrites. */
  readonly name: Buffer;
}

/** Of a directory that keeps its entries in blocks. Throws FormatError. */
export async function* entriesOf(
  volume: Source,
  superblock: Superblock,
  directory: CheckedInode,
): AsyncGenerator<Entry> {
  const typed = (superblock.incompat & Incompat.FILETYPE) !== 0;
  const extents = await readFileExtents(volume, superblock, directory);
  const block = Buffer.alloc(superblock.blockSize);
  for (let position = 0; position + block.length <= directory.size; position += block.length) {
    await readFromFile(volume, { size: directory.size, extents }, { into: block, position });
    if (!isIndex(block, directory, position)) checkTail(block, directory);
    yield* entriesIn(block, directory, typed);
  }
}

/** Blocks of a hash tree: the first one, and those that begin with an unused entry as long as the block. */
function isIndex(block: Buffer, { flags }: CheckedInode, position: Bytes): boolean {
  if ((flags & FLAG_INDEX) === 0) return false;
  return position === 0 || (block.readUInt32LE(ENTRY.inode) === 0 && entryLength(block, 0) === block.length);
}

/** Blocks of entries end with what looks like an unused entry and holds a checksum. */
function checkTail(block: Buffer, { number, checksumSeed }: CheckedInode): void {
  const end = block.length - TAIL_LENGTH;
  if (checksumSeed === undefined || block.readUInt32LE(end) !== 0 || block.readUInt32LE(end + 4) !== TAIL_MARK) return;
  if (rawCrc32c(checksumSeed, block.subarray(0, end)) !== block.readUInt32LE(end + 8)) {
    throw new FormatError(`the checksum of directory ${number} is wrong`);
  }
}

function* entriesIn(block: Buffer, directory: CheckedInode, typed: boolean): Generator<Entry> {
  for (let at = 0; at + ENTRY.name <= block.length; ) {
    const length = entryLength(block, at);
    if (length < ENTRY.name || at + length > block.length) {
      if (at === 0 && length === 0) return; // a hole
      throw new FormatError(`inode ${directory.number}: impossible directory entry`);
    }
    const inode = block.readUInt32LE(at + ENTRY.inode);
    // Its upper half is a file type, or zero in the first format: names have 255 bytes at most.
    const nameLength = block.readUInt8(at + ENTRY.nameLength);
    const start = at + ENTRY.name;
    if (inode !== 0 && nameLength > 0 && nameLength <= length - ENTRY.name) {
      const isFile = typed && block.readUInt8(at + ENTRY.type) === TYPE_FILE;
      yield { inode, isFile, name: block.subarray(start, start + nameLength) };
    }
    at += length;
  }
}

/** Blocks of 64 KiB are longer than 16 bits can say. */
function entryLength(block: Buffer, at: number): number {
  const length = block.readUInt16LE(at + ENTRY.length);
  if (block.length < LARGE_BLOCK) return length;
  return length === 0 || length === 0xffff ? LARGE_BLOCK : length;
}
