// Where the bytes of a file lie: its extent tree, or the block numbers of ext2 and ext3.
// Invariant: extents ascend by their place in the file and lie inside the file system, so walking a tree always ends,
// also one that points to itself; and there are never more of them than MOST_EXTENTS, read from MOST_BLOCKS.
// Source: kernel Documentation/filesystems/ext4/ifork.rst, fs/ext4/extents.c (ext4_extent_block_csum).

import { rawCrc32c } from '../../base/checksum.js';
import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import type { FileExtent } from '../plugin.js';
import { type CheckedInode, INODE_FLAG_EXTENTS } from './checked-inode.js';
import type { Superblock } from './superblock.js';

const MOST_EXTENTS = 2 ** 20;
const MOST_BLOCKS = 2 ** 16;

const MAGIC = 0xf30a;
const At = { magic: 0, entries: 2, most: 4, depth: 6, header: 12 } as const;
const ENTRY_LENGTH = 12;
const MAX_DEPTH = 5;
/** Lengths beyond it mean an extent that was never written. */
const LONGEST_WRITTEN = 32768;

/** Direct block numbers in an inode; then come one, two and three levels of blocks full of numbers. */
const DIRECT = 12;
const LEVELS = 3;

/** What of an inode it takes to find its blocks. */
export type MappedInode = Pick<CheckedInode, 'number' | 'size' | 'flags' | 'map' | 'checksumSeed'>;

/** `onBlock` gets each block of the tree in the order of the file, to keep or to digest. Throws FormatError. */
export async function readFileExtents(
  volume: Source,
  superblock: Superblock,
  inode: MappedInode,
  onBlock: (bytes: Buffer) => void = () => {},
): Promise<FileExtent[]> {
  if (!inode.map) throw new FormatError(`inode ${inode.number} keeps its bytes in itself`);
  const file = new FileMap(volume, superblock, inode, onBlock);
  if ((inode.flags & INODE_FLAG_EXTENTS) !== 0) await file.addNode(inode.map, undefined);
  else await file.addPointers(inode.map);
  return file.extents;
}

class FileMap {
  readonly extents: FileExtent[] = [];
  readonly #volume: Source;
  readonly #superblock: Superblock;
  readonly #inode: MappedInode;
  readonly #onBlock: (bytes: Buffer) => void;
  /** First block of the file that the next extent may begin with. */
  #next = 0;
  #blocksRead = 0;

  constructor(volume: Source, superblock: Superblock, inode: MappedInode, onBlock: (bytes: Buffer) => void) {
    this.#volume = volume;
    this.#superblock = superblock;
    this.#inode = inode;
    this.#onBlock = onBlock;
  }

  /** A node of an extent tree and all below it; its depth must be what its parent says. */
  async addNode(node: Buffer, expectedDepth: number | undefined): Promise<void> {
    const entries = node.readUInt16LE(At.entries);
    const depth = node.readUInt16LE(At.depth);
    const room = Math.floor((node.length - At.header) / ENTRY_LENGTH);
    if (node.readUInt16LE(At.magic) !== MAGIC || entries > room || depth > MAX_DEPTH) throw this.#damaged();
    if (expectedDepth !== undefined && depth !== expectedDepth) throw this.#damaged();
    for (let index = 0; index < entries; index += 1) {
      const at = At.header + index * ENTRY_LENGTH;
      const entry = node.subarray(at, at + ENTRY_LENGTH);
      const first = entry.readUInt32LE(0);
      if (first < this.#next) throw this.#damaged();
      if (depth === 0) {
        const length = entry.readUInt16LE(4);
        const unwritten = length > LONGEST_WRITTEN;
        const start = entry.readUInt32LE(8) + entry.readUInt16LE(6) * 2 ** 32;
        this.#add({ first, start, count: unwritten ? length - LONGEST_WRITTEN : length, unwritten });
      } else {
        const child = await this.#readBlock(entry.readUInt32LE(4) + entry.readUInt16LE(8) * 2 ** 32);
        this.#checkNode(child);
        await this.addNode(child, depth - 1);
        if (this.#next <= first) throw this.#damaged(); // an empty node, which could be met for ever
      }
    }
  }

  #checkNode(node: Buffer): void {
    const seed = this.#inode.checksumSeed;
    if (seed === undefined) return;
    const tail = At.header + node.readUInt16LE(At.most) * ENTRY_LENGTH;
    if (tail + 4 > node.length || rawCrc32c(seed, node.subarray(0, tail)) !== node.readUInt32LE(tail)) {
      throw this.#damaged();
    }
  }

  /** The block numbers in the inode, and the blocks of block numbers. */
  async addPointers(map: Buffer): Promise<void> {
    for (let index = 0; index < DIRECT; index += 1) this.#addBlock(map.readUInt32LE(index * 4));
    for (let level = 1; level <= LEVELS; level += 1) {
      await this.#addIndirect(map.readUInt32LE((DIRECT + level - 1) * 4), level);
    }
  }

  async #addIndirect(block: number, level: number): Promise<void> {
    const perBlock = this.#superblock.blockSize / 4;
    if (block === 0 || this.#next * this.#superblock.blockSize >= this.#inode.size) {
      this.#next += perBlock ** level;
      return;
    }
    const numbers = await this.#readBlock(block);
    for (let index = 0; index < perBlock; index += 1) {
      const number = numbers.readUInt32LE(index * 4);
      if (level === 1) this.#addBlock(number);
      else await this.#addIndirect(number, level - 1);
    }
  }

  #addBlock(start: number): void {
    if (start === 0) this.#next += 1;
    else this.#add({ first: this.#next, start, count: 1, unwritten: false });
  }

  #add({ first, start, count, unwritten }: { first: number; start: number; count: number; unwritten: boolean }): void {
    const { blockSize, blockCount, firstDataBlock } = this.#superblock;
    if (count === 0 || start <= firstDataBlock || start + count > blockCount) throw this.#damaged();
    this.#next = first + count;
    const extent = { position: first * blockSize, offset: start * blockSize, length: count * blockSize, unwritten };
    const last = this.extents.at(-1);
    const follows =
      last &&
      last.unwritten === unwritten &&
      last.position + last.length === extent.position &&
      last.offset + last.length === extent.offset;
    if (follows) this.extents[this.extents.length - 1] = { ...last, length: last.length + extent.length };
    else if (this.extents.push(extent) > MOST_EXTENTS) throw this.#damaged();
  }

  async #readBlock(block: number): Promise<Buffer> {
    const { blockSize, blockCount } = this.#superblock;
    this.#blocksRead += 1;
    if (block === 0 || block >= blockCount || this.#blocksRead > MOST_BLOCKS) throw this.#damaged();
    const bytes = Buffer.alloc(blockSize);
    await this.#volume.read(bytes, block * blockSize);
    this.#onBlock(bytes);
    return bytes;
  }

  #damaged(): FormatError {
    return new FormatError(`inode ${this.#inode.number}: impossible block map`);
  }
}
