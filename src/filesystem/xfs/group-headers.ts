// The four sectors that every allocation group begins with: a copy of the superblock, AGF (free space), AGI (inodes),
// AGFL (blocks kept ready for the btrees; free as well).
// Invariant: a `FreeSpaceHeader` has right checksums (version 5) and points inside its group.
// Source: "XFS Algorithms & Data Structures", allocation groups; kernel fs/xfs/libxfs/xfs_alloc.c (xfs_agf_verify).

import { FormatError } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { isSealed } from './checksum.js';
import type { Superblock } from './superblock.js';

const SECTORS = 4;
const DEEPEST_TREE = 9;
const VERSION = 1;

const AGF_MAGIC = 0x58414746; // XAGF
const AGI_MAGIC = 0x58414749; // XAGI
const AGFL_MAGIC = 0x5841464c; // XAFL

const Agf = {
  magic: 0,
  version: 4,
  group: 8,
  length: 12,
  treeRoot: 16,
  treeDepth: 28,
  listFirst: 40,
  listLast: 44,
  listCount: 48,
  freeBlocks: 52,
  longest: 56,
  treeBlocks: 60,
  uuid: 64,
  checksum: 216,
} as const;
const Agi = {
  magic: 0,
  version: 4,
  group: 8,
  length: 12,
  inodes: 16,
  treeRoot: 20,
  treeDepth: 24,
  uuid: 296,
  checksum: 312,
} as const;
const Agfl = { magic: 0, group: 4, uuid: 8, checksum: 32, blocks: 36 } as const;

/** What an allocation group says of its free space. Block numbers count from the group's first block. */
export interface FreeSpaceHeader {
  readonly group: number;
  readonly length: number;
  /** Root of the btree of free extents by block number. */
  readonly treeRoot: number;
  readonly treeDepth: number;
  readonly freeBlocks: number;
  /** Blocks of the longest free extent. */
  readonly longest: number;
  /** Blocks of the group's free space btrees without their roots. */
  readonly treeBlocks: number;
  /** Free blocks kept in a list, ascending. */
  readonly listed: readonly number[];
}

/** What an allocation group says of its inodes. */
export interface InodeHeader {
  readonly group: number;
  /** Inodes there is room for, free ones too. */
  readonly inodes: number;
  /** Root of the btree of inode chunks. */
  readonly treeRoot: number;
  readonly treeDepth: number;
}

/** Blocks of a group; the last one may be short. */
export function groupLength({ blockCount, groupBlocks }: Superblock, group: number): number {
  return Math.min(groupBlocks, blockCount - group * groupBlocks);
}

/** Where a block of a group lies on the volume. */
export function blockOffset({ groupBlocks, blockSize }: Superblock, group: number, block: number): Bytes {
  return (group * groupBlocks + block) * blockSize;
}

/** Blocks at the start of a group that the headers take. */
export function headerBlocks({ sectorSize, blockSize }: Superblock): number {
  return Math.ceil((SECTORS * sectorSize) / blockSize);
}

/** The four sectors, as they lie there. */
export async function readGroupSectors(volume: Source, superblock: Superblock, group: number): Promise<Buffer> {
  const sectors = Buffer.allocUnsafe(SECTORS * superblock.sectorSize);
  await volume.read(sectors, blockOffset(superblock, group, 0));
  return sectors;
}

/** Throws FormatError if a header contradicts its format or the superblock. */
export async function readFreeSpaceHeader(
  volume: Source,
  superblock: Superblock,
  group: number,
): Promise<FreeSpaceHeader> {
  const { sectorSize } = superblock;
  const sectors = await readGroupSectors(volume, superblock, group);
  const [agf, agi, agfl] = [1, 2, 3].map((index) => sectors.subarray(index * sectorSize, (index + 1) * sectorSize));
  if (!agf || !agi || !agfl) throw new FormatError('no allocation group headers');
  const header = parseAgf(superblock, group, agf);
  checkAgi(superblock, group, agi);
  return { ...header, listed: parseAgfl(superblock, { group, agf, agfl }) };
}

/** Throws FormatError if the header contradicts its format or the superblock. */
export async function readInodeHeader(volume: Source, superblock: Superblock, group: number): Promise<InodeHeader> {
  const { sectorSize } = superblock;
  const sectors = await readGroupSectors(volume, superblock, group);
  const agi = sectors.subarray(2 * sectorSize, 3 * sectorSize);
  checkAgi(superblock, group, agi);
  const demand = demandFor('AGI', group);
  const treeRoot = agi.readUInt32BE(Agi.treeRoot);
  const treeDepth = agi.readUInt32BE(Agi.treeDepth);
  demand(treeRoot >= headerBlocks(superblock) && treeRoot < groupLength(superblock, group), 'points outside its group');
  demand(treeDepth >= 1 && treeDepth <= DEEPEST_TREE, `has a btree of ${treeDepth} levels`);
  return { group, inodes: agi.readUInt32BE(Agi.inodes), treeRoot, treeDepth };
}

function parseAgf(superblock: Superblock, group: number, agf: Buffer): Omit<FreeSpaceHeader, 'listed'> {
  const demand = demandFor('AGF', group);
  const length = groupLength(superblock, group);
  demand(agf.readUInt32BE(Agf.magic) === AGF_MAGIC && agf.readUInt32BE(Agf.version) === VERSION, 'is none');
  demandSealed(superblock, agf, Agf, demand);
  demand(agf.readUInt32BE(Agf.group) === group, 'is that of another group');
  demand(agf.readUInt32BE(Agf.length) === length, `says that the group has ${agf.readUInt32BE(Agf.length)} blocks`);
  const header = {
    group,
    length,
    treeRoot: agf.readUInt32BE(Agf.treeRoot),
    treeDepth: agf.readUInt32BE(Agf.treeDepth),
    freeBlocks: agf.readUInt32BE(Agf.freeBlocks),
    longest: agf.readUInt32BE(Agf.longest),
    treeBlocks: agf.readUInt32BE(Agf.treeBlocks),
  };
  const { treeRoot, treeDepth, freeBlocks, treeBlocks } = header;
  demand(treeRoot >= headerBlocks(superblock) && treeRoot < length, 'points outside its group');
  demand(treeDepth >= 1 && treeDepth <= DEEPEST_TREE, `has a btree of ${treeDepth} levels`);
  demand(freeBlocks < length && treeBlocks < length, 'counts more blocks than the group has');
  return header;
}

function checkAgi(superblock: Superblock, group: number, agi: Buffer): void {
  const demand = demandFor('AGI', group);
  demand(agi.readUInt32BE(Agi.magic) === AGI_MAGIC && agi.readUInt32BE(Agi.version) === VERSION, 'is none');
  demandSealed(superblock, agi, Agi, demand);
  demand(agi.readUInt32BE(Agi.group) === group, 'is that of another group');
  demand(agi.readUInt32BE(Agi.length) === groupLength(superblock, group), 'has another length than its group');
}

/** A ring of block numbers that fills the rest of its sector; the AGF says which part of it is in use. */
function parseAgfl(
  superblock: Superblock,
  { group, agf, agfl }: { group: number; agf: Buffer; agfl: Buffer },
): number[] {
  const demand = demandFor('AGFL', group);
  const newest = superblock.version === 5;
  if (newest) {
    demand(agfl.readUInt32BE(Agfl.magic) === AGFL_MAGIC, 'is none');
    demandSealed(superblock, agfl, Agfl, demand);
    demand(agfl.readUInt32BE(Agfl.group) === group, 'is that of another group');
  }
  const ring = agfl.subarray(newest ? Agfl.blocks : 0);
  const slots = Math.floor(ring.length / 4);
  const first = agf.readUInt32BE(Agf.listFirst);
  const last = agf.readUInt32BE(Agf.listLast);
  const count = agf.readUInt32BE(Agf.listCount);
  if (count === 0) return [];
  demand(first < slots && last < slots && count <= slots, 'is used beyond its end');
  demand((first + count - 1) % slots === last, `does not hold ${count} blocks`);
  const blocks: number[] = [];
  for (let place = 0; place < count; place += 1) blocks.push(ring.readUInt32BE(((first + place) % slots) * 4));
  blocks.sort((a, b) => a - b);
  const length = groupLength(superblock, group);
  for (const [place, block] of blocks.entries()) {
    demand(block >= headerBlocks(superblock) && block < length, 'points outside its group');
    demand(block !== blocks[place - 1], 'holds a block twice');
  }
  return blocks;
}

type Demand = (condition: boolean, otherwise: string) => void;

function demandFor(name: string, group: number): Demand {
  return (condition, otherwise) => {
    if (!condition) throw new FormatError(`the ${name} of allocation group ${group} ${otherwise}`);
  };
}

/** Version 5 metadata has a checksum and the file system's UUID. */
function demandSealed(
  { version, metadataUuid }: Superblock,
  bytes: Buffer,
  at: { readonly uuid: number; readonly checksum: number },
  demand: Demand,
): void {
  if (version !== 5) return;
  demand(isSealed(bytes, at.checksum), 'has a wrong checksum');
  demand(bytes.subarray(at.uuid, at.uuid + 16).equals(metadataUuid), 'bears the UUID of another file system');
}
