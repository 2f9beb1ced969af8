// Which blocks an inode maps: by its extent tree, or by indirect blocks.
// Invariant: ranges lie inside the file system; the blocks read for one inode are bounded by what it says to have, for
// all together by the budget, so a tree that loops ends. A part that cannot be read is left out.
// Source: kernel Documentation/filesystems/ext4/{ifork,blockmap}.rst; fs/ext4/ext4_extents.h (EXT_INIT_MAX_LEN).

import type { Source } from '../../source/types.js';
import { tryRead } from '../best-effort.js';
import type { BlockRange } from './geometry.js';
import type { Inode } from './inode.js';
import type { Superblock } from './superblock.js';

const EXTENT = { magic: 0xf30a, headerLength: 12, entryLength: 12, maxDepth: 5, maxInitialised: 32768 } as const;
const EXTENT_AT = { entries: 2, depth: 6, length: 4, startHigh: 6, startLow: 8, childLow: 4, childHigh: 8 } as const;
/** Twelve block numbers, then a single, a double and a triple indirect block. */
const DIRECT_BLOCKS = 12;

/** `map`: a block of the tree itself. */
export interface MappedRange extends BlockRange {
  readonly role: 'data' | 'map';
}

/** What the walks of one inquiry share. */
export interface MapReader {
  readonly volume: Source;
  readonly superblock: Superblock;
  /** Tree blocks that may still be read. Each belongs to one inode, so there are never more than the volume has blocks. */
  readonly budget: { left: number };
}

export function mapReader(volume: Source, superblock: Superblock): MapReader {
  return { volume, superblock, budget: { left: superblock.blockCount } };
}

/** Blocks, or at a depth above zero one block of the tree. */
interface Entry extends BlockRange {
  readonly depth: number;
}

type Form = NonNullable<Inode['map']>['form'];

/** All that an inode maps, if that stands in the inode itself; undefined if blocks have to be read. */
export function shortMap(superblock: Superblock, inode: Inode): readonly BlockRange[] | undefined {
  const entries = rootEntries(superblock, inode);
  return entries.every(({ depth }) => depth === 0) ? entries : undefined;
}

export async function* mappedRanges(reader: MapReader, inode: Inode): AsyncGenerator<MappedRange> {
  const { superblock, budget } = reader;
  const form = inode.map?.form ?? 'extents';
  const pending = rootEntries(superblock, inode).reverse();
  let left = Math.ceil(inode.allocated / superblock.blockSize);
  for (let entry = pending.pop(); entry; entry = pending.pop()) {
    const { start, end, depth } = entry;
    yield { start, end, role: depth === 0 ? 'data' : 'map' };
    if (depth === 0 || left <= 0 || budget.left <= 0) continue;
    left -= 1;
    budget.left -= 1;
    const node = Buffer.allocUnsafe(superblock.blockSize);
    if (!(await tryRead(reader.volume, node, start * superblock.blockSize))) continue;
    for (const child of nodeEntries(superblock, node, { form, depth: depth - 1 }).reverse()) pending.push(child);
  }
}

function rootEntries(superblock: Superblock, { map }: Inode): Entry[] {
  if (!map) return [];
  if (map.form === 'extents') return extentEntries(superblock, map.root, undefined);
  const direct = map.root.subarray(0, DIRECT_BLOCKS * 4);
  const entries = pointerEntries(superblock, direct, 0);
  for (const depth of [1, 2, 3]) {
    const at = (DIRECT_BLOCKS + depth - 1) * 4;
    entries.push(...pointerEntries(superblock, map.root.subarray(at, at + 4), depth));
  }
  return entries;
}

function nodeEntries(superblock: Superblock, node: Buffer, { form, depth }: { form: Form; depth: number }): Entry[] {
  return form === 'extents' ? extentEntries(superblock, node, depth) : pointerEntries(superblock, node, depth);
}

/** Entries of an extent node; none if it is no node of that depth. The root may have any. */
function extentEntries(superblock: Superblock, node: Buffer, expected: number | undefined): Entry[] {
  const depth = node.readUInt16LE(EXTENT_AT.depth);
  const count = node.readUInt16LE(EXTENT_AT.entries);
  const room = Math.floor((node.length - EXTENT.headerLength) / EXTENT.entryLength);
  if (node.readUInt16LE(0) !== EXTENT.magic || count > room) return [];
  if (depth > EXTENT.maxDepth || (expected !== undefined && depth !== expected)) return [];
  const entries: Entry[] = [];
  for (let index = 0; index < count; index += 1) {
    const at = EXTENT.headerLength + index * EXTENT.entryLength;
    const length = depth > 0 ? 1 : lengthOf(node.readUInt16LE(at + EXTENT_AT.length));
    const start =
      depth > 0
        ? node.readUInt32LE(at + EXTENT_AT.childLow) + node.readUInt16LE(at + EXTENT_AT.childHigh) * 2 ** 32
        : node.readUInt32LE(at + EXTENT_AT.startLow) + node.readUInt16LE(at + EXTENT_AT.startHigh) * 2 ** 32;
    add(superblock, entries, { start, end: start + length, depth });
  }
  return entries;
}

/** Lengths above the limit mark extents that were allocated and not written. */
function lengthOf(value: number): number {
  return value > EXTENT.maxInitialised ? value - EXTENT.maxInitialised : value;
}

/** Block numbers; zero is a hole. Data in a row becomes one entry. */
function pointerEntries(superblock: Superblock, pointers: Buffer, depth: number): Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; at + 4 <= pointers.length; at += 4) {
    const start = pointers.readUInt32LE(at);
    if (start === 0) continue;
    const last = entries.at(-1);
    if (depth === 0 && last?.end === start && start < superblock.blockCount) {
      entries[entries.length - 1] = { ...last, end: start + 1 };
    } else {
      add(superblock, entries, { start, end: start + 1, depth });
    }
  }
  return entries;
}

function add({ firstDataBlock, blockCount }: Superblock, entries: Entry[], entry: Entry): void {
  if (entry.start >= Math.max(firstDataBlock, 1) && entry.end <= blockCount && entry.end > entry.start) {
    entries.push(entry);
  }
}
