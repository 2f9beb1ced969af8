// Regular files whose data may stay unread while their inodes stay the same, straight from the bytes of inode tables.
// Invariant: default-deny. An inode with a wrong checksum, or that says of itself what is not understood here, is none. The
// digest covers all bytes of the inode but the access time and the checksum.
// Source: kernel Documentation/filesystems/ext4/inodes.rst, fs/ext4/inode.c (ext4_inode_csum), fs/ext4/ext4.h (flags,
// EXT4_EPOCH_BITS), fs/ext4/super.c (ext4_quota_on marks the files it writes to without a new time).

import { rawCrc32c } from '../../base/checksum.js';
import { digestOf } from '../../base/digest.js';
import type { Bytes } from '../../base/units.js';
import { Compat, RoCompat } from './features.js';
import { reservedNames, SMALLEST_INODE } from './inode.js';
import type { Superblock } from './superblock.js';

const At = {
  mode: 0x00,
  size: 0x04,
  accessTime: 0x08,
  changeTime: 0x0c,
  modificationTime: 0x10,
  links: 0x1a,
  flags: 0x20,
  map: 0x28,
  mapEnd: 0x64,
  generation: 0x64,
  sizeHigh: 0x6c,
  checksum: 0x7c,
  extraSize: 0x80,
  checksumHigh: 0x82,
  changeTimeExtra: 0x84,
  modificationTimeExtra: 0x88,
  accessTimeExtra: 0x8c,
} as const;

const TYPE_MASK = 0xf000;
const REGULAR = 0x8000;
/** Append-only, encrypted, with journaled data, verified …: they do not let data change unseen. Others mean no record. */
const HARMLESS_FLAGS = 0x605fccfb;
const IMMUTABLE = 0x10;
const NO_ACCESS_TIME = 0x80;

const IN_SUPERBLOCK = { lastCheck: 0x40, revision: 0x4c, firstInode: 0x54 } as const;
/** In the first revision, and nowhere less. */
const FIRST_INODE = 11;
/** Number and generation, from which checksums start, and when a file system without a journal was checked. */
const PREFIX: Bytes = 12;
const CHECKSUM_START: Bytes = 4;

export interface FileInode {
  readonly number: number;
  readonly size: Bytes;
  readonly flags: number;
  /** Root of the extent tree, or block numbers. */
  readonly map: Buffer;
  /** What the checksums of its extent tree start from; undefined without checksums. */
  readonly checksumSeed: number | undefined;
  readonly digest: Buffer;
  /** Ms since 1970; the end of the second where the inode keeps whole ones. */
  readonly changedAt: number;
}

/** Parses inodes of one file system, each in about two microseconds. */
export class FileInodes {
  readonly #checked: boolean;
  readonly #checksumSeed: number;
  readonly #firstInode: number;
  readonly #reserved: ReadonlySet<number>;
  readonly #scratch: Buffer;
  /** `#scratch` without its prefix. */
  readonly #copy: Buffer;

  constructor(superblock: Superblock) {
    const { roCompat, checksumSeed, inodeSize } = superblock;
    this.#checked = (roCompat & RoCompat.METADATA_CSUM) !== 0;
    this.#checksumSeed = checksumSeed;
    this.#firstInode = firstInode(superblock);
    this.#reserved = new Set(reservedNames(superblock).keys());
    this.#scratch = Buffer.alloc(PREFIX + inodeSize);
    this.#copy = this.#scratch.subarray(PREFIX);
    this.#scratch.writeUInt32LE(checkedAt(superblock), 0);
  }

  /** Undefined: no regular file, or none that may stay unread. `raw` is a whole inode; the result points into it. */
  parse(number: number, raw: Buffer): FileInode | undefined {
    if (number < this.#firstInode || this.#reserved.has(number)) return undefined;
    if ((raw.readUInt16LE(At.mode) & TYPE_MASK) !== REGULAR || raw.readUInt16LE(At.links) === 0) return undefined;
    const flags = raw.readUInt32LE(At.flags);
    if ((flags & ~HARMLESS_FLAGS) !== 0 || (flags & IMMUTABLE && flags & NO_ACCESS_TIME)) return undefined;
    const end = raw.length > SMALLEST_INODE ? SMALLEST_INODE + raw.readUInt16LE(At.extraSize) : SMALLEST_INODE;
    if (end > raw.length) return undefined;
    const checksumSeed = this.#checked ? this.#checkedSeed(number, raw, end) : undefined;
    if (this.#checked && checksumSeed === undefined) return undefined;
    return {
      number,
      size: raw.readUInt32LE(At.size) + raw.readUInt32LE(At.sizeHigh) * 2 ** 32,
      flags,
      map: raw.subarray(At.map, At.mapEnd),
      checksumSeed,
      digest: this.#digest(number, raw, end),
      changedAt: Math.max(
        timeOf(raw, end, { at: At.changeTime, extra: At.changeTimeExtra }),
        timeOf(raw, end, { at: At.modificationTime, extra: At.modificationTimeExtra }),
      ),
    };
  }

  /** Undefined if the checksum is wrong. `end`: of the fields that the inode has. */
  #checkedSeed(number: number, raw: Buffer, end: number): number | undefined {
    const scratch = this.#fill(number, raw);
    const wide = end >= At.checksumHigh + 2;
    this.#copy.writeUInt16LE(0, At.checksum);
    if (wide) this.#copy.writeUInt16LE(0, At.checksumHigh);
    const low = raw.readUInt16LE(At.checksum);
    const expected = rawCrc32c(this.#checksumSeed, scratch.subarray(CHECKSUM_START));
    const found = wide ? low + raw.readUInt16LE(At.checksumHigh) * 2 ** 16 : low;
    if (found !== (wide ? expected : expected & 0xffff)) return undefined;
    return rawCrc32c(this.#checksumSeed, scratch.subarray(CHECKSUM_START, PREFIX));
  }

  #digest(number: number, raw: Buffer, end: number): Buffer {
    // With checksums the scratch was filled for them, and they are zeros in it.
    const scratch = this.#checked ? this.#scratch : this.#fill(number, raw);
    this.#copy.writeUInt32LE(0, At.accessTime);
    if (end >= At.accessTimeExtra + 4) this.#copy.writeUInt32LE(0, At.accessTimeExtra);
    return digestOf(scratch);
  }

  #fill(number: number, raw: Buffer): Buffer {
    this.#scratch.writeUInt32LE(number, CHECKSUM_START);
    raw.copy(this.#scratch, 8, At.generation, At.generation + 4);
    raw.copy(this.#copy);
    return this.#scratch;
  }

  /** What records depend on besides the inodes: two volumes, or two moments, with the same read the same from the same bytes. */
  get circumstances(): readonly unknown[] {
    const reserved = [...this.#reserved].sort((a, b) => a - b);
    return [this.#checked, this.#checksumSeed, this.#firstInode, reserved, this.#scratch.readUInt32LE(0)];
  }
}

/**
 * Without a journal, a crash may leave new data under old times; e2fsck has to look before such a volume is clean again,
 * and writes down when it did. From then on no earlier record counts.
 */
function checkedAt({ raw, compat }: Superblock): number {
  return (compat & Compat.HAS_JOURNAL) === 0 ? raw.readUInt32LE(IN_SUPERBLOCK.lastCheck) : 0;
}

function firstInode({ raw }: Superblock): number {
  const first = raw.readUInt32LE(IN_SUPERBLOCK.revision) === 0 ? 0 : raw.readUInt32LE(IN_SUPERBLOCK.firstInode);
  return Math.max(FIRST_INODE, first);
}

/** Seconds before or after 1970, with two bits more and nanoseconds where the inode has room for them. */
function timeOf(raw: Buffer, end: number, { at, extra }: { at: number; extra: number }): number {
  const seconds = raw.readInt32LE(at);
  if (end < extra + 4) return seconds * 1000 + 1000;
  const more = raw.readUInt32LE(extra);
  return (seconds + (more & 3) * 2 ** 32) * 1000 + Math.ceil((more >>> 2) / 1e6);
}
