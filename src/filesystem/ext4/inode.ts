// One inode of ext2/3/4: what it is, and the 60 bytes from which its blocks are found.
// Invariant: bytes in, values out; nothing is followed here, and no field is trusted to be more than a number.
// Source: kernel Documentation/filesystems/ext4/inodes.rst, fs/ext4/inode.c (ext4_inode_is_fast_symlink).

import type { Bytes } from '../../base/units.js';
import { Compat, Incompat, RoCompat } from './features.js';
import type { Superblock } from './superblock.js';

const At = {
  mode: 0x00,
  sizeLow: 0x04,
  deletionTime: 0x14,
  links: 0x1a,
  blocksLow: 0x1c,
  flags: 0x20,
  map: 0x28,
  xattrBlock: 0x68,
  sizeHigh: 0x6c,
  blocksHigh: 0x74,
  xattrBlockHigh: 0x76,
} as const;

export const SMALLEST_INODE: Bytes = 128;
const MAP_LENGTH: Bytes = 60;
/** Blocks are counted in these, unless the inode says that it counts whole blocks. */
const COUNTED_UNIT: Bytes = 512;

const TYPE_MASK = 0xf000;
const TYPES: Readonly<Record<number, Inode['type']>> = { 32768: 'file', 16384: 'directory', 40960: 'symlink' };

const Flag = { HUGE_FILE: 0x40000, EXTENTS: 0x80000, EA_INODE: 0x200000, INLINE_DATA: 0x10000000 } as const;

export const ROOT_INODE = 2;
/** Those up to here are the file system's own. */
const LAST_RESERVED = 10;

export interface Inode {
  readonly number: number;
  /** `special`: devices, pipes, sockets; and what reserved inodes are, whose mode says nothing. */
  readonly type: 'file' | 'directory' | 'symlink' | 'special';
  readonly links: number;
  readonly size: Bytes;
  /** By its own counter, with the blocks of the map. */
  readonly allocated: Bytes;
  /** The root of the extent tree, or fifteen block numbers; undefined if it maps no blocks. */
  readonly map: { readonly form: 'extents' | 'indirect'; readonly root: Buffer } | undefined;
  /** 0: none. */
  readonly xattrBlock: number;
  /** It holds the value of another inode's extended attribute, and no directory knows it. */
  readonly holdsAttribute: boolean;
  /** Its content lies in the inode itself. */
  readonly inline: boolean;
  readonly raw: Buffer;
}

/** Undefined if nothing uses the inode. `raw` is a whole inode. */
export function parseInode(superblock: Superblock, number: number, raw: Buffer): Inode | undefined {
  const mode = raw.readUInt16LE(At.mode);
  const links = raw.readUInt16LE(At.links);
  const reserved = number <= LAST_RESERVED;
  if (!reserved && (mode === 0 || (links === 0 && !isOrphan(superblock, raw)))) return undefined;
  const flags = raw.readUInt32LE(At.flags);
  const type = TYPES[mode & TYPE_MASK] ?? 'special';
  const size = raw.readUInt32LE(At.sizeLow) + (type === 'symlink' ? 0 : raw.readUInt32LE(At.sizeHigh) * 2 ** 32);
  const unit = (flags & Flag.HUGE_FILE) === 0 ? COUNTED_UNIT : superblock.blockSize;
  const inline = (flags & Flag.INLINE_DATA) !== 0;
  const mapped = !inline && (reserved || (type === 'symlink' ? size >= MAP_LENGTH : type !== 'special'));
  const root = raw.subarray(At.map, At.map + MAP_LENGTH);
  const wide = (superblock.incompat & Incompat.SIXTY_FOUR_BIT) !== 0;
  return {
    number,
    type,
    links,
    size,
    allocated: (raw.readUInt32LE(At.blocksLow) + raw.readUInt16LE(At.blocksHigh) * 2 ** 32) * unit,
    map: mapped ? { form: (flags & Flag.EXTENTS) === 0 ? 'indirect' : 'extents', root } : undefined,
    xattrBlock: raw.readUInt32LE(At.xattrBlock) + (wide ? raw.readUInt16LE(At.xattrBlockHigh) * 2 ** 32 : 0),
    holdsAttribute: (flags & Flag.EA_INODE) !== 0,
    inline,
    raw,
  };
}

/**
 * Deleted while it was open: its deletion time is the number of the next such inode, or zero. ext2 leaves the block
 * numbers of a deleted inode as they were, so only this tells them apart.
 */
function isOrphan({ inodeCount }: Superblock, raw: Buffer): boolean {
  return raw.readUInt32LE(At.deletionTime) <= inodeCount;
}

/** Where the 60 bytes of content or block map lie in an inode. */
export function mapBytes(raw: Buffer): Buffer {
  return raw.subarray(At.map, At.map + MAP_LENGTH);
}

/** What the file system keeps in inodes of its own, by their numbers. */
export function reservedNames({ raw, journalInode, compat, roCompat }: Superblock): ReadonlyMap<number, string> {
  const names = new Map<number, string>([
    [1, 'known bad blocks'],
    [3, 'user quota'],
    [4, 'group quota'],
    [5, 'boot loader inode'],
    [6, 'undelete inode'],
    [7, 'resize inode'],
    [8, 'journal'],
    [9, 'exclude inode'],
    [10, 'replica inode'],
  ]);
  if ((compat & Compat.HAS_JOURNAL) !== 0 && journalInode !== 0) names.set(journalInode, 'journal');
  if ((roCompat & RoCompat.QUOTA) !== 0) {
    names.set(raw.readUInt32LE(InSuperblock.userQuota), 'user quota');
    names.set(raw.readUInt32LE(InSuperblock.groupQuota), 'group quota');
    names.set(raw.readUInt32LE(InSuperblock.projectQuota), 'project quota');
  }
  if ((compat & Compat.ORPHAN_FILE) !== 0) names.set(raw.readUInt32LE(InSuperblock.orphanFile), 'orphan file');
  names.delete(0);
  names.delete(ROOT_INODE);
  return names;
}

const InSuperblock = { userQuota: 0x240, groupQuota: 0x244, projectQuota: 0x26c, orphanFile: 0x280 } as const;
