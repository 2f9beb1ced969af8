// Where the bytes of a file lie: the extents in its inode, or in a btree below it.
// Invariant: extents ascend by their place in the file and lie in one allocation group each, off its headers and the
// log; levels only descend and keys ascend, so walking a tree always ends, also one that points to itself; and there are
// never more of them than MOST_EXTENTS, read from MOST_BLOCKS.
// Source: "XFS Algorithms & Data Structures", data extents; kernel fs/xfs/libxfs/xfs_bmap_btree.c.

import { FormatError, readU64BE } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import type { FileExtent } from '../plugin.js';
import { blockOffset, groupLength, headerBlocks } from './group-headers.js';
import type { Inode } from './inode.js';
import { describesItself } from './self-description.js';
import type { Superblock } from './superblock.js';

const MOST_EXTENTS = 2 ** 20;
const MOST_BLOCKS = 2 ** 16;
const DEEPEST_TREE = 9;

const MAGIC_V4 = 0x424d4150; // BMAP
const MAGIC_V5 = 0x424d4133; // BMA3
const HEADER_V4 = 24;
const HEADER_V5 = 72;
/** The root has neither magic nor neighbours: level and count only. */
const ROOT = { level: 0, count: 2, header: 4 } as const;
const At = { magic: 0, level: 4, count: 6 } as const;
const DESCRIPTION = { place: 24, uuid: 40, owner: 56, checksum: 64 } as const;

const RECORD = 16;
const KEY = 8;
const POINTER = 8;

/** `seen` is given each block of the btree, in the order of its walk. Throws FormatError. */
export async function readFileExtents(
  volume: Source,
  superblock: Superblock,
  inode: Inode,
  seen: (block: Buffer) => void = () => undefined,
): Promise<FileExtent[]> {
  const { format, bytes, extentCount } = inode.fork;
  if (format === 'extents') return extentsInInode(superblock, inode);
  if (format !== 'btree') throw new FormatError(`inode ${inode.number} has no list of extents`);
  const file = new FileMap(superblock, inode);
  await file.addRoot(bytes, async (into, offset) => {
    await volume.read(into, offset);
    seen(into);
  });
  if (file.extents.length !== extentCount) throw new FormatError(`inode ${inode.number} has another number of extents`);
  return file.extents;
}

/** Of an inode that holds the list itself. Throws FormatError. */
export function extentsInInode(superblock: Superblock, inode: Inode): FileExtent[] {
  const { bytes, extentCount } = inode.fork;
  const file = new FileMap(superblock, inode);
  file.addRecords(bytes, extentCount);
  return file.extents;
}

type Read = Source['read'];

class FileMap {
  readonly extents: FileExtent[] = [];
  readonly #superblock: Superblock;
  readonly #inode: Inode;
  /** First block of the file that the next extent may begin with. */
  #next = 0;
  #blocksMapped = 0;
  #blocksRead = 0;

  constructor(superblock: Superblock, inode: Inode) {
    this.#superblock = superblock;
    this.#inode = inode;
  }

  /** The root of a btree, which lies in the inode, and all below it. */
  async addRoot(fork: Buffer, read: Read): Promise<void> {
    if (fork.length < ROOT.header) throw this.#damaged();
    const level = fork.readUInt16BE(ROOT.level);
    if (level < 1 || level > DEEPEST_TREE) throw this.#damaged();
    await this.#addChildren(fork.subarray(ROOT.header), { level, count: fork.readUInt16BE(ROOT.count), read });
  }

  /** Extents as 128 bits each. */
  addRecords(records: Buffer, count: number): void {
    if (count * RECORD > records.length) throw this.#damaged();
    for (let index = 0; index < count; index += 1) {
      this.#add(parseRecord(records, index * RECORD));
    }
  }

  /** Pointers begin behind room for as many keys as fit, not behind the last key. */
  async #addChildren(
    body: Buffer,
    { level, count, read }: { level: number; count: number; read: Read },
  ): Promise<void> {
    const most = Math.floor(body.length / (KEY + POINTER));
    if (count === 0 || count > most) throw this.#damaged();
    for (let index = 0; index < count; index += 1) {
      const first = readU64BE(body, index * KEY);
      if (first < this.#next) throw this.#damaged();
      const before = this.extents.length;
      await this.#addNode(readU64BE(body, most * KEY + index * POINTER), { level: level - 1, read });
      // A child that begins elsewhere than its key says, or holds nothing, could be met for ever.
      if (this.extents[before]?.position !== first * this.#superblock.blockSize) throw this.#damaged();
    }
  }

  async #addNode(block: number, { level, read }: { level: number; read: Read }): Promise<void> {
    const newest = this.#superblock.version === 5;
    const node = await this.#readBlock(block, read);
    const isOwn = node.readUInt32BE(At.magic) === (newest ? MAGIC_V5 : MAGIC_V4);
    if (!isOwn || node.readUInt16BE(At.level) !== level) throw this.#damaged();
    const count = node.readUInt16BE(At.count);
    const body = node.subarray(newest ? HEADER_V5 : HEADER_V4);
    if (level === 0) this.addRecords(body, count);
    else await this.#addChildren(body, { level, count, read });
  }

  async #readBlock(block: number, read: Read): Promise<Buffer> {
    this.#blocksRead += 1;
    if (this.#blocksRead > MOST_BLOCKS) throw this.#damaged();
    const offset = this.#place(block, 1);
    const bytes = Buffer.alloc(this.#superblock.blockSize);
    await read(bytes, offset);
    const description = { at: DESCRIPTION, offset, owner: this.#inode.number };
    if (!describesItself(this.#superblock, bytes, description)) throw this.#damaged();
    return bytes;
  }

  #add({ first, start, count, unwritten }: ExtentRecord): void {
    const { blockSize } = this.#superblock;
    const end = first + count;
    if (count === 0 || first < this.#next || !Number.isSafeInteger(end * blockSize)) throw this.#damaged();
    this.#next = end;
    this.#blocksMapped += count;
    if (this.#blocksMapped > this.#inode.fork.blockCount) throw this.#damaged();
    const offset = this.#place(start, count);
    const extent = { position: first * blockSize, offset, length: count * blockSize, unwritten };
    if (this.extents.push(extent) > MOST_EXTENTS) throw this.#damaged();
  }

  /** Where blocks lie on the volume; their number is that of the group, and behind it that in the group. */
  #place(start: number, count: number): number {
    const { groupShift, groupCount, log } = this.#superblock;
    const group = Math.floor(start / 2 ** groupShift);
    const block = start % 2 ** groupShift;
    if (group >= groupCount || block < headerBlocks(this.#superblock)) throw this.#damaged();
    if (block + count > groupLength(this.#superblock, group)) throw this.#damaged();
    const inLog = log?.group === group && block < log.start + log.blocks && block + count > log.start;
    if (inLog) throw this.#damaged();
    return blockOffset(this.#superblock, group, block);
  }

  #damaged(): FormatError {
    return new FormatError(`inode ${this.#inode.number}: impossible block map`);
  }
}

interface ExtentRecord {
  /** Block of the file. */
  readonly first: number;
  /** Block of the file system. */
  readonly start: number;
  readonly count: number;
  readonly unwritten: boolean;
}

/** From the highest bit on: unwritten (1), place in the file (54), first block (52), blocks (21). */
function parseRecord(records: Buffer, at: number): ExtentRecord {
  const head = records.readUInt32BE(at);
  const middle = records.readUInt32BE(at + 4);
  const tail = records.readUInt32BE(at + 12);
  return {
    unwritten: head >= 2 ** 31,
    first: (head % 2 ** 31) * 2 ** 23 + Math.floor(middle / 2 ** 9),
    start: (middle % 2 ** 9) * 2 ** 43 + records.readUInt32BE(at + 8) * 2 ** 11 + Math.floor(tail / 2 ** 21),
    count: tail % 2 ** 21,
  };
}
