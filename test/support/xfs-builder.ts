// An XFS by hand, for tests that need no tools, or free space that no kernel makes in reasonable time: superblock, group
// headers, free space btrees of any depth, and a log with one unmount record. No inodes.

import { memoryTarget } from '../../src/source/memory.js';
import type { Source } from '../../src/source/types.js';
import { sealXfs } from './xfs-image.js';

export interface FreeExtent {
  readonly start: number;
  readonly count: number;
}

export interface XfsShape {
  readonly version: 4 | 5;
  readonly blockSize: number;
  readonly groupBlocks: number;
  readonly groupCount: number;
  /** Blocks of the last group; all of them if not given. */
  readonly lastBlocks?: number;
  /** Free extents of a group; they must keep off `treeStart` and what follows, and off the log. */
  readonly free: (group: number) => readonly FreeExtent[];
  /** Free blocks in the AGFL of each group. */
  readonly listed?: readonly number[];
  /** Where the btree's blocks lie in each group. */
  readonly treeStart: number;
  /** Most records in a leaf and children in a node; what fits if not given. */
  readonly fanout?: number;
}

export interface BuiltXfs {
  /** Byte offset → bytes; what is missing is zeros. */
  readonly pieces: ReadonlyMap<number, Buffer>;
  readonly size: number;
  readonly freeBlocks: number;
  /** Of all btree blocks, the roots first. */
  readonly trees: readonly number[];
  readonly logOffset: number;
}

export const UUID = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const SECTOR = 512;
const LOG_BLOCKS = 16;
const MAGIC = { sb: 0x58465342, agf: 0x58414746, agi: 0x58414749, agfl: 0x5841464c, v4: 0x41425442, v5: 0x41423342 };
const NONE = 0xffffffff;

interface Built {
  readonly shape: XfsShape;
  readonly pieces: Map<number, Buffer>;
  readonly trees: number[];
}

export function buildXfs(shape: XfsShape): BuiltXfs {
  const { blockSize, groupBlocks, groupCount, listed = [], lastBlocks = groupBlocks } = shape;
  const built: Built = { shape, pieces: new Map(), trees: [] };
  const blockCount = (groupCount - 1) * groupBlocks + lastBlocks;
  let freeBlocks = 0;
  let counted = 0;
  for (let group = 0; group < groupCount; group += 1) {
    const { free, treeBlocks } = putGroup(built, group, group === groupCount - 1 ? lastBlocks : groupBlocks);
    freeBlocks += free + listed.length;
    counted += free + listed.length + treeBlocks;
  }
  // The log lies right behind the headers of group 0, before every btree.
  const logBlock = Math.ceil((4 * SECTOR) / blockSize);
  for (const part of [0, 512])
    built.pieces.set(logBlock * blockSize + part, unmountRecord().subarray(part, part + 512));
  putSuperblock(built, { blockCount, counted, logBlock });
  return {
    pieces: built.pieces,
    size: blockCount * blockSize,
    freeBlocks,
    trees: built.trees,
    logOffset: logBlock * blockSize,
  };
}

/** The first block behind headers and log: where btrees may begin. */
export function firstTreeBlock(blockSize: number): number {
  return Math.ceil((4 * SECTOR) / blockSize) + LOG_BLOCKS;
}

/** All bytes at once, for small ones. */
export function flatten({ pieces, size }: BuiltXfs): Buffer {
  const bytes = Buffer.alloc(size);
  for (const [offset, piece] of pieces) piece.copy(bytes, offset);
  return bytes;
}

/** Reads the pieces, and zeros between them. A request begins where a piece does, or outside all. */
export function sparseVolume({ pieces, size }: BuiltXfs): Source & { readonly counted: { bytes: number } } {
  const counted = { bytes: 0 };
  return {
    ...memoryTarget(Buffer.alloc(0), 'sparse'),
    size,
    counted,
    async read(into, offset) {
      counted.bytes += into.length;
      into.fill(0);
      for (let at = offset - (offset % SECTOR); at < offset + into.length; at += SECTOR) {
        const piece = pieces.get(at);
        if (piece) piece.copy(into, Math.max(0, at - offset), Math.max(0, offset - at));
      }
    },
  };
}

function putSuperblock(
  { shape, pieces }: Built,
  { blockCount, counted, logBlock }: { blockCount: number; counted: number; logBlock: number },
): void {
  const { version, blockSize, groupBlocks, groupCount } = shape;
  const raw = Buffer.alloc(SECTOR);
  raw.writeUInt32BE(MAGIC.sb, 0);
  raw.writeUInt32BE(blockSize, 4);
  raw.writeBigUInt64BE(BigInt(blockCount), 8);
  UUID.copy(raw, 32);
  raw.writeBigUInt64BE(BigInt(logBlock), 48);
  raw.writeUInt32BE(groupBlocks, 84);
  raw.writeUInt32BE(groupCount, 88);
  raw.writeUInt32BE(LOG_BLOCKS, 96);
  raw.writeUInt16BE(0xb4a0 | version, 100);
  raw.writeUInt16BE(SECTOR, 102);
  raw.write('built', 108);
  raw.writeUInt8(Math.log2(blockSize), 120);
  raw.writeUInt8(9, 121);
  raw.writeUInt8(Math.ceil(Math.log2(groupBlocks)), 124);
  raw.writeBigUInt64BE(BigInt(counted), 144);
  raw.writeUInt32BE(version === 5 ? 0x18a : 0x8a, 200);
  if (version === 5) sealXfs(raw, 'superblock');
  pieces.set(0, raw);
}

function putGroup(built: Built, group: number, length: number): { free: number; treeBlocks: number } {
  const { pieces, shape } = built;
  const { version, blockSize, groupBlocks, listed = [] } = shape;
  const base = group * groupBlocks * blockSize;
  const extents = shape.free(group);
  const { root, depth, blocks } = putTree(built, group, extents);
  const free = extents.reduce((sum, { count }) => sum + count, 0);
  const treeBlocks = blocks - 1;
  const agf = Buffer.alloc(SECTOR);
  const numbers: [number, number][] = [
    [0, MAGIC.agf],
    [4, 1],
    [8, group],
    [12, length],
    [16, root],
    [28, depth],
    [40, 3],
    [44, 3 + listed.length - 1],
    [48, listed.length],
    [52, free],
    [56, Math.max(0, ...chunks(extents, 1000).map((part) => Math.max(...part.map(({ count }) => count))))],
    [60, treeBlocks],
  ];
  for (const [at, value] of numbers) agf.writeUInt32BE(value, at);
  const agi = Buffer.alloc(SECTOR);
  for (const [at, value] of [
    [0, MAGIC.agi],
    [4, 1],
    [8, group],
    [12, length],
  ] as const)
    agi.writeUInt32BE(value, at);
  const agfl = Buffer.alloc(SECTOR);
  const ring = version === 5 ? 36 : 0;
  for (const [place, block] of listed.entries()) agfl.writeUInt32BE(block, ring + (3 + place) * 4);
  if (version === 5) {
    agfl.writeUInt32BE(MAGIC.agfl, 0);
    agfl.writeUInt32BE(group, 4);
    UUID.copy(agf, 64);
    UUID.copy(agi, 296);
    UUID.copy(agfl, 8);
    sealXfs(agf, 'agf');
    sealXfs(agi, 'agi');
    sealXfs(agfl, 'agfl');
  }
  for (const [index, sector] of [agf, agi, agfl].entries()) pieces.set(base + (index + 1) * SECTOR, sector);
  return { free, treeBlocks };
}

/** From the leaves up; the blocks of a level lie side by side. */
function putTree(
  built: Built,
  group: number,
  extents: readonly FreeExtent[],
): { root: number; depth: number; blocks: number } {
  const { version, blockSize, treeStart, fanout } = built.shape;
  const room = blockSize - (version === 5 ? 56 : 16);
  let next = treeStart;
  let level = 0;
  let entries: readonly (FreeExtent & { child?: number })[] = extents;
  for (;;) {
    const most = Math.floor(room / (level === 0 ? 8 : 12));
    const parts = entries.length === 0 ? [[]] : chunks(entries, Math.min(most, fanout ?? most));
    const first = next;
    entries = parts.map((part, index) => {
      const left = index === 0 ? NONE : first + index - 1;
      const right = index === parts.length - 1 ? NONE : first + index + 1;
      putTreeBlock(built, { group, block: first + index, level, left, right, most }, part);
      return { start: part[0]?.start ?? 0, count: part[0]?.count ?? 0, child: first + index };
    });
    next += parts.length;
    if (parts.length === 1) return { root: first, depth: level + 1, blocks: next - treeStart };
    level += 1;
  }
}

interface TreePlace {
  readonly group: number;
  readonly block: number;
  readonly level: number;
  readonly left: number;
  readonly right: number;
  readonly most: number;
}

function putTreeBlock(
  { shape, pieces, trees }: Built,
  { group, block, level, left, right, most }: TreePlace,
  entries: readonly (FreeExtent & { child?: number })[],
): void {
  const { version, blockSize, groupBlocks } = shape;
  const bytes = Buffer.alloc(blockSize);
  const offset = (group * groupBlocks + block) * blockSize;
  const header = version === 5 ? 56 : 16;
  bytes.writeUInt32BE(version === 5 ? MAGIC.v5 : MAGIC.v4, 0);
  bytes.writeUInt16BE(level, 4);
  bytes.writeUInt16BE(entries.length, 6);
  bytes.writeUInt32BE(left, 8);
  bytes.writeUInt32BE(right, 12);
  for (const [index, { start, count, child }] of entries.entries()) {
    bytes.writeUInt32BE(start, header + index * 8);
    bytes.writeUInt32BE(count, header + index * 8 + 4);
    if (child !== undefined) bytes.writeUInt32BE(child, header + most * 8 + index * 4);
  }
  if (version === 5) {
    bytes.writeBigUInt64BE(BigInt(offset / 512), 16);
    UUID.copy(bytes, 32);
    bytes.writeUInt32BE(group, 48);
    sealXfs(bytes, 'btree');
  }
  pieces.set(offset, bytes);
  trees.push(offset);
}

/** Header and body of the record that an unmount writes, at the log's first block. */
export function unmountRecord({ cycle = 1, block = 0 }: { cycle?: number; block?: number } = {}): Buffer {
  const bytes = logRecord({ cycle, block, operations: 1 });
  bytes.writeUInt8(0x20, 512 + 9);
  return bytes;
}

/** A log record of one block. */
export function logRecord({ cycle, block, operations }: { cycle: number; block: number; operations: number }): Buffer {
  const bytes = Buffer.alloc(1024);
  for (const [at, value] of [
    [0, 0xfeedbabe],
    [4, cycle],
    [8, 2],
    [12, 512],
    [16, cycle],
    [20, block],
  ] as const) {
    bytes.writeUInt32BE(value, at);
  }
  bytes.writeUInt32BE(operations, 40);
  UUID.copy(bytes, 304);
  bytes.writeUInt32BE(32768, 320);
  bytes.writeUInt32BE(cycle, 512);
  return bytes;
}

function chunks<T>(items: readonly T[], length: number): T[][] {
  const parts: T[][] = [];
  for (let index = 0; index < items.length; index += length) parts.push(items.slice(index, index + length));
  return parts;
}
