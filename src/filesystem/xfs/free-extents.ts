// Walks the btree of an allocation group's free extents in the order of their block numbers.
// Invariant: every block is checked before it is believed (place, level, checksum, order, parent's key, neighbours), and
// extents only ascend: no walk is longer than the group, whatever its blocks say. Memory holds one path and the cache.
// Source: "XFS Algorithms & Data Structures", free space btrees; kernel fs/xfs/libxfs/xfs_btree.c.

import { FormatError } from '../../base/u64.js';
import { type Bytes, MiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { isSealed } from './checksum.js';
import { blockOffset, type FreeSpaceHeader, headerBlocks } from './group-headers.js';
import type { Superblock } from './superblock.js';

const MAGIC_V4 = 0x41425442; // ABTB
const MAGIC_V5 = 0x41423342; // AB3B
const HEADER_V4 = 16;
const HEADER_V5 = 56;
const NO_SIBLING = 0xffffffff;
/** A free extent, or the first one below a child: u32 block, u32 count. */
const RECORD = 8;
const POINTER = 4;
/** XFS counts places on the device in these, whatever its sectors are. */
const BASIC_BLOCK = 512;

const At = {
  magic: 0,
  level: 4,
  recordCount: 6,
  left: 8,
  right: 12,
  place: 16,
  uuid: 32,
  group: 48,
  checksum: 52,
} as const;

/** Blocks [start, end), counted from the group's first. */
export interface BlockRange {
  readonly start: number;
  readonly end: number;
}

/** Reads tree blocks, and keeps the last ones it read: at most 1 MiB. */
export interface TreeReader {
  readonly volume: Source;
  readonly superblock: Superblock;
  readonly cache: Map<Bytes, TreeBlock>;
}

/** A checked block of the btree. */
export interface TreeBlock {
  readonly level: number;
  readonly left: number;
  readonly right: number;
  readonly count: number;
  /** `count` records, in a leaf; or keys, which are the first records of the children. */
  readonly records: Buffer;
  /** Block numbers of the children; empty in a leaf. */
  readonly pointers: Buffer;
}

const CACHE_LENGTH = MiB;

export function treeReader(volume: Source, superblock: Superblock): TreeReader {
  return { volume, superblock, cache: new Map() };
}

/**
 * Free extents that begin before `within.end` and end behind `within.start`, a leaf at a time: there may be millions.
 * Throws FormatError where the tree is damaged.
 */
export async function* freeExtents(
  reader: TreeReader,
  header: FreeSpaceHeader,
  within: BlockRange,
): AsyncGenerator<readonly BlockRange[]> {
  /** The last block met on each level, to see that its neighbour is the next one. */
  const previous: { readonly block: number; readonly right: number }[] = [];
  const path: { readonly tree: TreeBlock; next: number }[] = [];
  let position = 0;

  const descend = async (block: number, level: number): Promise<TreeBlock> => {
    const tree = await readTreeBlock(reader, header, { block, level });
    const left = previous[level];
    if (left && (left.right !== block || tree.left !== left.block)) throw damaged(header, 'is not linked in its order');
    previous[level] = { block, right: tree.right };
    path.push({ tree, next: level === 0 ? 0 : childFor(tree, within.start) });
    return tree;
  };

  await descend(header.treeRoot, header.treeDepth - 1);
  for (let top = path.at(-1); top; top = path.at(-1)) {
    const { tree } = top;
    if (tree.level === 0) {
      const extents = recordsOf(tree);
      if ((extents[0]?.start ?? position) < position) throw damaged(header, 'is not in order');
      position = extents.at(-1)?.end ?? position;
      yield extents.filter(({ start, end }) => start < within.end && end > within.start);
      if (position >= within.end) return;
      path.pop();
    } else if (top.next >= tree.count) {
      path.pop();
    } else {
      const key = tree.records.readUInt32BE(top.next * RECORD);
      if (key >= within.end) return;
      const child = await descend(tree.pointers.readUInt32BE(top.next * POINTER), tree.level - 1);
      if (child.records.readUInt32BE(0) !== key) throw damaged(header, "has a key that is not its child's");
      top.next += 1;
    }
  }
  if (previous.some(({ right }) => right !== NO_SIBLING)) throw damaged(header, 'ends before its last block');
}

/** The child that may hold an extent around `block`: the last one whose first extent does not begin behind it. */
function childFor({ records, count }: TreeBlock, block: number): number {
  let low = 0;
  let high = count;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (records.readUInt32BE(middle * RECORD) <= block) low = middle;
    else high = middle;
  }
  return low;
}

function recordsOf({ records, count }: Pick<TreeBlock, 'records' | 'count'>): BlockRange[] {
  return Array.from({ length: count }, (_, index) => {
    const start = records.readUInt32BE(index * RECORD);
    return { start, end: start + records.readUInt32BE(index * RECORD + 4) };
  });
}

async function readTreeBlock(
  { volume, superblock, cache }: TreeReader,
  header: FreeSpaceHeader,
  { block, level }: { block: number; level: number },
): Promise<TreeBlock> {
  if (block < headerBlocks(superblock) || block >= header.length) throw damaged(header, 'points outside its group');
  const { blockSize } = superblock;
  const offset = blockOffset(superblock, header.group, block);
  let tree = cache.get(offset);
  if (tree) {
    cache.delete(offset);
  } else {
    const bytes = Buffer.allocUnsafeSlow(blockSize);
    await volume.read(bytes, offset);
    tree = parseTreeBlock(superblock, header, { bytes, offset });
  }
  if (tree.level !== level) throw damaged(header, `has a block of level ${tree.level} on level ${level}`);
  if (tree.count === 0 && header.treeDepth > 1) throw damaged(header, 'has an empty block');
  cache.set(offset, tree);
  const [oldest] = cache.keys();
  if (cache.size * blockSize > CACHE_LENGTH && oldest !== undefined) cache.delete(oldest);
  return tree;
}

function parseTreeBlock(
  superblock: Superblock,
  header: FreeSpaceHeader,
  { bytes, offset }: { bytes: Buffer; offset: Bytes },
): TreeBlock {
  const newest = superblock.version === 5;
  if (bytes.readUInt32BE(At.magic) !== (newest ? MAGIC_V5 : MAGIC_V4))
    throw damaged(header, 'has a block of another kind');
  if (newest) demandSealed(superblock, header, { bytes, offset });
  const level = bytes.readUInt16BE(At.level);
  const count = bytes.readUInt16BE(At.recordCount);
  const body = bytes.subarray(newest ? HEADER_V5 : HEADER_V4);
  const most = Math.floor(body.length / (level === 0 ? RECORD : RECORD + POINTER));
  if (count > most) throw damaged(header, `has a block of ${count} records`);
  const tree: TreeBlock = {
    level,
    left: bytes.readUInt32BE(At.left),
    right: bytes.readUInt32BE(At.right),
    count,
    records: body.subarray(0, count * RECORD),
    // Pointers begin behind room for as many keys as fit, not behind the last key.
    pointers: level === 0 ? Buffer.alloc(0) : body.subarray(most * RECORD, most * RECORD + count * POINTER),
  };
  demandOrder(superblock, header, tree);
  return tree;
}

function demandSealed(
  { metadataUuid }: Superblock,
  header: FreeSpaceHeader,
  { bytes, offset }: { bytes: Buffer; offset: Bytes },
): void {
  if (!isSealed(bytes, At.checksum)) throw damaged(header, 'has a block with a wrong checksum');
  const place = bytes.readUInt32BE(At.place) * 2 ** 32 + bytes.readUInt32BE(At.place + 4);
  const isHome =
    place === offset / BASIC_BLOCK &&
    bytes.readUInt32BE(At.group) === header.group &&
    bytes.subarray(At.uuid, At.uuid + 16).equals(metadataUuid);
  if (!isHome) throw damaged(header, 'has a block that belongs elsewhere');
}

/** Extents lie in their group, behind its headers, in order and apart. A key's length means nothing. */
function demandOrder(superblock: Superblock, header: FreeSpaceHeader, tree: TreeBlock): void {
  let position = headerBlocks(superblock);
  for (const extent of recordsOf(tree)) {
    const end = tree.level === 0 ? extent.end : extent.start + 1;
    if (extent.start < position || end <= extent.start || end > header.length) {
      throw damaged(header, 'has an impossible extent');
    }
    position = end;
  }
}

function damaged({ group }: FreeSpaceHeader, what: string): FormatError {
  return new FormatError(`the free space btree of allocation group ${group} ${what}`);
}
