// What shows that a file may have changed: its inode, and the blocks that list its extents.
// Invariant: a digest covers every byte of the inode but those that reading the file changes: access time, and in its
// train checksum, change counter, log position, number of flushes. Whatever is not understood gets no record.
// Source: "XFS Algorithms & Data Structures", on-disk inode; kernel fs/xfs/libxfs/xfs_inode_buf.c, fs/xfs/xfs_iops.c.

import { DigestStream, digestOf } from '../../base/digest.js';
import { FormatError } from '../../base/u64.js';
import { type Bytes, KiB, MiB } from '../../base/units.js';
import { type Extent, extentEnd, totalLength } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import type { FileRecord, GroupContent, RecordGroup } from '../plugin.js';
import { demandTrustworthy } from './allocation-map.js';
import { Incompat } from './features.js';
import { extentsInInode, readFileExtents } from './file-extents.js';
import { type Inode, parseInode } from './inode.js';
import { type ReadChunk, readInodeChunks } from './inode-chunks.js';
import { type InodeGeometry, inodeGeometry } from './inode-geometry.js';
import { changedAt } from './inode-stamps.js';
import { CHUNK_INODES, CHUNK_RECORD, hasBit, usedInodes } from './inode-tree.js';
import { findSpecialInodes, type SpecialInode } from './special-inodes.js';
import type { Superblock } from './superblock.js';

/** Boot loaders write to the blocks of small files (GRUB's environment), past the file system. */
const LARGEST_BOOT_FILE: Bytes = MiB;
const NO_TRACE = Buffer.from('no trace');
/** Of one group, together: more are not worth their memory. */
const MOST_EXTENTS = 2 ** 19;

/** Kernels take no shorter file for a swap area, and none with holes. */
const SHORTEST_SWAP: Bytes = 40 * KiB;

const At = { mode: 2, links: 16 } as const;
/** In the first byte of the mode. */
const FORMAT_MASK = 0xf0;
const REGULAR = 0x80;

const KINDS = { none: 0, system: 1, boot: 2 } as const;

/** Places of 4 bytes each, in units of 4 bytes. */
const MASKED = {
  /** Flushes (16 bits, behind padding), access time. */
  4: [7, 8, 9],
  /** Access time, checksum, change counter, log position. */
  5: [8, 9, 25, 26, 27, 28, 29],
} as const;

/** Throws FormatError. */
export async function* recordsOf(volume: Source, superblock: Superblock): AsyncGenerator<RecordGroup> {
  demandTrustworthy(volume, superblock);
  if (superblock.inProgress || (superblock.incompat & Incompat.NEEDS_REPAIR) !== 0) {
    throw new FormatError('the file system needs repair');
  }
  if (superblock.hasRealtime) throw new FormatError('part of its files lies on a realtime device');
  const geometry = inodeGeometry(superblock);
  const special = await findSpecialInodes(volume, superblock, geometry);
  const masked = new MaskedChunk(superblock, geometry, special);
  for await (const chunk of readInodeChunks(volume, superblock, geometry)) {
    masked.take(chunk);
    const group = { superblock, geometry, chunk, masked };
    yield { id: chunk.number, digest: masked.digest(), read: () => contentOf(volume, group) };
  }
}

/** A copy of a chunk without what only reading changes, and with what else decides which records it has. */
class MaskedChunk {
  readonly #bytes: Buffer;
  readonly #words: Uint32Array;
  readonly #inodeSize: Bytes;
  readonly #places: readonly number[];
  readonly #special: readonly SpecialInode[];
  #next = 0;

  constructor({ version }: Superblock, { inodeSize }: InodeGeometry, special: readonly SpecialInode[]) {
    this.#bytes = Buffer.from(new ArrayBuffer(CHUNK_INODES * inodeSize + CHUNK_RECORD + CHUNK_INODES));
    this.#words = new Uint32Array(this.#bytes.buffer);
    this.#inodeSize = inodeSize;
    this.#places = version === 5 ? MASKED[5] : MASKED[4];
    this.#special = special;
  }

  /** Chunks come in the order of their numbers. */
  take({ number, chunk, bytes }: ReadChunk): void {
    bytes.copy(this.#bytes);
    const step = this.#inodeSize / 4;
    for (const place of this.#places) {
      for (let at = place; at < CHUNK_INODES * step; at += step) this.#words[at] = 0;
    }
    chunk.raw.copy(this.#bytes, bytes.length);
    // A file becomes a boot file without a change of its own: when a folder above it is renamed.
    const kinds = this.#bytes.subarray(bytes.length + CHUNK_RECORD).fill(KINDS.none);
    for (; ; this.#next += 1) {
      const special = this.#special[this.#next];
      if (!special || special.number >= number + CHUNK_INODES) break;
      if (special.number >= number) kinds[special.number - number] = KINDS[special.kind];
    }
  }

  digest(): Buffer {
    return digestOf(this.#bytes);
  }

  inode(index: number): Buffer {
    return this.#bytes.subarray(index * this.#inodeSize, (index + 1) * this.#inodeSize);
  }

  is(index: number, kind: SpecialInode['kind']): boolean {
    return this.#bytes[CHUNK_INODES * this.#inodeSize + CHUNK_RECORD + index] === KINDS[kind];
  }
}

interface Group {
  readonly superblock: Superblock;
  readonly geometry: InodeGeometry;
  readonly chunk: ReadChunk;
  readonly masked: MaskedChunk;
}

async function contentOf(volume: Source, { superblock, geometry, chunk, masked }: Group): Promise<GroupContent> {
  const { inodeSize } = geometry;
  const used = usedInodes(superblock, chunk.chunk);
  const records: FileRecord[] = [];
  let complete = true;
  let room = MOST_EXTENTS;
  for (let index = 0; index < CHUNK_INODES; index += 1) {
    if (!hasBit(used, index)) continue;
    const raw = chunk.bytes.subarray(index * inodeSize, (index + 1) * inodeSize);
    if (!isLinkedFile(raw) || masked.is(index, 'system')) continue;
    const inode = understood(() => fileIn(superblock, raw, chunk.number + index));
    if (!inode || inode.fork.extentCount > room) continue;
    const stamp = masked.is(index, 'boot') ? bootFileChangedAt(inode, raw) : changedAt(raw);
    if (stamp === undefined) continue;
    const { format, extentCount } = inode.fork;
    if (format === 'btree') complete = false;
    const content =
      format === 'btree'
        ? await treeContent(volume, superblock, { inode, masked: masked.inode(index) })
        : ownContent(superblock, { inode, masked: masked.inode(index) });
    if (!content) continue;
    room -= extentCount;
    // When a folder becomes a boot folder, its files differ from what they were: they may have changed since.
    const isTraced = stamp !== Number.POSITIVE_INFINITY;
    const digest = isTraced ? content.digest : digestOf(Buffer.concat([content.digest, NO_TRACE]));
    records.push({ id: inode.number, ...content, digest, changedAt: stamp });
  }
  return { records, complete };
}

/** Looked at first: most inodes that drop out do so here. */
function isLinkedFile(raw: Buffer): boolean {
  return (raw.readUInt8(At.mode) & FORMAT_MASK) === REGULAR && raw.readUInt32BE(At.links) > 0;
}

/** Undefined: its blocks are not here, or others write to them, or it has none. Throws FormatError. */
function fileIn(superblock: Superblock, raw: Buffer, number: number): Inode | undefined {
  const inode = parseInode(superblock, raw, number);
  const { format, extentCount } = inode.fork;
  const isKnown = inode.format === 'regular' && (format === 'extents' || format === 'btree');
  return isKnown && !inode.realtime && !inode.direct && extentCount > 0 ? inode : undefined;
}

/** Undefined: no record. A boot loader that writes to it writes to all files that share its blocks. */
function bootFileChangedAt({ size, reflinked }: Inode, raw: Buffer): number | undefined {
  if (size > LARGEST_BOOT_FILE) return changedAt(raw);
  return reflinked ? Number.POSITIVE_INFINITY : undefined;
}

type Content = Pick<FileRecord, 'digest' | 'extents' | 'size'>;

interface File {
  readonly inode: Inode;
  readonly masked: Buffer;
}

function ownContent(superblock: Superblock, { inode, masked }: File): Content | undefined {
  const extents = understood(() => extentsInInode(superblock, inode));
  return extents && { digest: digestOf(masked), ...placed(inode, extents) };
}

async function treeContent(
  volume: Source,
  superblock: Superblock,
  { inode, masked }: File,
): Promise<Content | undefined> {
  const stream = new DigestStream();
  stream.add(masked);
  try {
    const extents = await readFileExtents(volume, superblock, inode, (block) => stream.add(block));
    return { digest: stream.finish(), ...placed(inode, extents) };
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/** A file with a damaged inode or list is read each time. The kernel does not write to such a file. */
function understood<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

function placed({ size }: Inode, found: readonly Extent[]): Pick<FileRecord, 'extents' | 'size'> {
  const extents = joined(found);
  return size >= SHORTEST_SWAP && totalLength(extents) >= size ? { extents, size } : { extents };
}

/** Extents that were written and unwritten lie apart in the list, but often side by side. */
function joined(extents: readonly Extent[]): Extent[] {
  const result: Extent[] = [];
  for (const { offset, length } of extents) {
    const last = result.at(-1);
    if (last && extentEnd(last) === offset)
      result[result.length - 1] = { offset: last.offset, length: last.length + length };
    else result.push({ offset, length });
  }
  return result;
}
