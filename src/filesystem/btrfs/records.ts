// What shows that data of a btrfs is unchanged: its data extents, by address, with the checksums of all their sectors.
// Invariant: an extent whose sectors all have checksums is written once, before the commit that names it: the kernel never
// writes over checksummed data in place. Freed and used again it bears a later generation. An extent that lacks even one
// checksum (nodatacow, preallocated) is no record.
// Source: kernel fs/btrfs/inode.c (can_nocow_file_extent), extent-tree.c (alloc_reserved_file_extent, pinned extents).

import { digestOf } from '../../base/digest.js';
import { FormatError, readU64LE } from '../../base/u64.js';
import { type Bytes, MiB } from '../../base/units.js';
import { type Extent, overlaps } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import { type FileRecord, type FilesystemInfo, OutOfReach, type RecordGroup } from '../plugin.js';
import { demandAllHere, demandTrustworthy, FIXED } from './allocation-map.js';
import type { Chunk } from './chunk.js';
import { type ChunkMap, readChunks } from './chunk-map.js';
import { ChecksumCursor } from './data-checksums.js';
import { repairsSeen } from './device-stats.js';
import { readLeaf, type UsedExtent } from './extent-tree.js';
import { halfChanged, hasErrors } from './features.js';
import { leavesAhead } from './leaves-ahead.js';
import type { TreeNode } from './node.js';
import type { Range } from './striping.js';
import { demandSuperblock, type Superblock } from './superblock.js';
import { findTree, TreeId } from './tree.js';

/** A group is all extents that begin in one stretch of so many addresses; its id is the first one. */
const STRETCH = 2 * MiB;
/** The kernel makes none that are longer; a longer one is no record. */
const LONGEST_EXTENT = 256 * MiB;

const ItemAt = { generation: 8, flags: 16, moreFlags: 20 } as const;
const FLAG_DATA = 1;
const CHUNK_DATA = 1;

/** How a record lies in a group's numbers; its places and its checksums follow, up to a whole number. */
const At = { address: 0, length: 1, generation: 2, places: 3, checksumType: 4, repairs: 5, end: 7 } as const;
const NUMBER = 8;

/** No stamp tells when an extent came; this one is later than all. */
const JUST_NOW = Number.MAX_SAFE_INTEGER;

/**
 * `commit`: the last one when the volume was looked at. What came with later ones changed just now: a map of that commit
 * calls it free, so it may not have been copied. Throws FormatError if the metadata contradicts itself; OutOfReach if
 * there are other devices.
 */
export async function* recordsOf(
  volume: Source,
  { commit = 0 }: Pick<FilesystemInfo, 'commit'>,
): AsyncGenerator<RecordGroup> {
  const superblock = await demandSuperblock(volume);
  demandPlain(volume, superblock);
  const { map, nodes } = await readChunks(volume, superblock);
  demandAllHere(map.chunks);
  const repairs = await repairsSeen(nodes, superblock);
  const checksumTree = await findTree(nodes, superblock, TreeId.CHECKSUM);
  const extentTree = await findTree(nodes, superblock, TreeId.EXTENT);
  const checksums = new ChecksumCursor(leavesAhead(checksumTree), superblock);
  const chunks = new DataChunks(map);
  const group = new Group(superblock, checksums.size, { repairs, commit });
  let after = 0;
  for await (const leaf of leavesAhead(extentTree)) {
    const { extents } = readLeaf(leaf, { first: 0, after, sizes: superblock });
    after = extents.at(-1)?.end ?? after;
    for (const extent of extents) {
      const generation = generationOfData(leaf, extent, superblock.root.generation);
      const chunk = generation === undefined ? undefined : chunks.at(extent);
      if (generation === undefined || !chunk) continue;
      const id = extent.start - (extent.start % STRETCH);
      if (id !== group.id) {
        if (!group.isEmpty) yield group.finished();
        group.begin(id);
      }
      const at = group.prepare(extent, chunk);
      const complete = checksums.read(extent, group.bytes, at);
      if (complete === true || (complete !== false && (await complete))) group.add(extent, chunk, generation);
    }
  }
  if (!group.isEmpty) yield group.finished();
}

function demandPlain(volume: Source, superblock: Superblock): void {
  demandTrustworthy(volume, superblock);
  if (superblock.deviceCount !== 1) throw new OutOfReach('its data may lie on other devices');
  if (hasErrors(superblock) || halfChanged(superblock) !== undefined) {
    throw new FormatError('the file system is marked as damaged or half changed');
  }
}

/** When the extent was allocated, in commits; undefined if it holds no data, or cannot be a record. */
function generationOfData(
  { bytes }: TreeNode,
  { start, end, item, metadata }: UsedExtent,
  newest: number,
): number | undefined {
  const flags = bytes.readUInt32LE(item + ItemAt.flags);
  const generation = readU64LE(bytes, item + ItemAt.generation);
  const data = flags === FLAG_DATA && bytes.readUInt32LE(item + ItemAt.moreFlags) === 0;
  if ((data && metadata) || (!data && flags % 2 === FLAG_DATA) || generation > newest) {
    throw new FormatError(`the extent at address ${start} contradicts itself`);
  }
  return data && end - start <= LONGEST_EXTENT ? generation : undefined;
}

/** Finds the chunks of extents that come in order. */
class DataChunks {
  readonly #map: ChunkMap;
  #current: Chunk | undefined;
  /** Something else lies in the current chunk too. */
  #mixed = false;

  constructor(map: ChunkMap) {
    this.#map = map;
  }

  /** Throws FormatError if it is in no chunk for data. Undefined if its bytes may be something else too. */
  at(extent: UsedExtent): Chunk | undefined {
    const { start, end } = extent;
    let chunk = this.#current;
    if (!chunk || start < chunk.logical || start >= chunk.logical + chunk.length) {
      chunk = this.#map.chunks[this.#map.indexAt(start)];
      this.#current = chunk;
      this.#mixed =
        chunk !== undefined && meetsFixed(chunk, { start: chunk.logical, end: chunk.logical + chunk.length });
    }
    if (!chunk || end > chunk.logical + chunk.length || chunk.type % 2 !== CHUNK_DATA) {
      throw new FormatError(`the extent at ${start} is in no chunk for data`);
    }
    if (chunk.parity || chunk.columns !== 1) throw new OutOfReach('its data is spread over several devices');
    return this.#mixed && meetsFixed(chunk, extent) ? undefined : chunk;
  }
}

/** True if a superblock, or what was never given to chunks, lies in the range of the chunk. */
function meetsFixed({ logical, stripes }: Chunk, { start, end }: Range): boolean {
  return stripes.some(({ physical }) => {
    const place = { offset: physical + start - logical, length: end - start };
    return FIXED.some((fixed) => overlaps(fixed, place));
  });
}

/** The bytes that a group's records are made of, one after the other; used again for each group. */
class Group {
  readonly #sectorSize: Bytes;
  readonly #checksumType: number;
  readonly #checksumSize: number;
  readonly #repairs: Buffer;
  readonly #commit: number;
  id = -1;
  bytes = Buffer.alloc(MiB);
  /** The same memory: numbers of 64 bits hold all addresses, and are quick to write. */
  #numbers = numbersOf(this.bytes);
  /** Where each record begins, and where the last one ends; in numbers. */
  #starts: number[] = [];
  #end = 0;

  constructor(
    { sectorSize, checksumType }: Superblock,
    checksumSize: number,
    { repairs, commit }: { repairs: Buffer; commit: number },
  ) {
    this.#sectorSize = sectorSize;
    this.#checksumType = checksumType;
    this.#checksumSize = checksumSize;
    this.#repairs = repairs;
    this.#commit = commit;
  }

  get isEmpty(): boolean {
    return this.#starts.length === 0;
  }

  begin(id: number): void {
    this.id = id;
    this.#starts = [];
    this.#end = 0;
  }

  /** Makes room for one more, which need not be added. Returns where in `bytes` its checksums belong. */
  prepare(extent: UsedExtent, { stripes }: Chunk): number {
    const at = this.#end + At.end + stripes.length;
    const end = at + this.#checksumsOf(extent);
    if (end > this.#numbers.length) {
      const { bytes } = this;
      this.bytes = Buffer.alloc(Math.max(end * NUMBER, 2 * bytes.length));
      bytes.copy(this.bytes, 0, 0, this.#end * NUMBER);
      this.#numbers = numbersOf(this.bytes);
    }
    // The checksums may not fill it.
    this.#numbers[end - 1] = 0;
    return at * NUMBER;
  }

  add(extent: UsedExtent, { logical, stripes }: Chunk, generation: number): void {
    const at = this.#end;
    const numbers = this.#numbers;
    numbers[at + At.address] = extent.start;
    numbers[at + At.length] = extent.end - extent.start;
    numbers[at + At.generation] = generation;
    numbers[at + At.places] = stripes.length;
    numbers[at + At.checksumType] = this.#checksumType;
    numbers[at + At.repairs] = 0;
    numbers[at + At.repairs + 1] = 0;
    // What lies once cannot be mended.
    if (stripes.length > 1) this.#repairs.copy(this.bytes, (at + At.repairs) * NUMBER);
    let end = at + At.end;
    for (const { physical } of stripes) {
      numbers[end] = physical + extent.start - logical;
      end += 1;
    }
    this.#starts.push(at);
    this.#end = end + this.#checksumsOf(extent);
  }

  finished(): RecordGroup {
    return {
      id: this.id,
      digest: digestOf(this.bytes.subarray(0, this.#end * NUMBER)),
      read: async () => ({ records: this.#records(), complete: true }),
    };
  }

  #checksumsOf({ start, end }: UsedExtent): number {
    return Math.ceil((((end - start) / this.#sectorSize) * this.#checksumSize) / NUMBER);
  }

  #records(): FileRecord[] {
    return this.#starts.map((start, index) => this.#record(start, this.#starts[index + 1] ?? this.#end));
  }

  #record(start: number, end: number): FileRecord {
    const number = (at: number): number => this.#numbers[start + at] ?? 0;
    const length = number(At.length);
    const extents: Extent[] = [];
    for (let index = 0; index < number(At.places); index += 1) extents.push({ offset: number(At.end + index), length });
    const digest = digestOf(this.bytes.subarray(start * NUMBER, end * NUMBER));
    const changedAt = number(At.generation) > this.#commit ? JUST_NOW : 0;
    return { id: number(At.address), digest, extents, changedAt };
  }
}

function numbersOf({ buffer, byteOffset, length }: Buffer): Float64Array {
  return new Float64Array(buffer, byteOffset, length / NUMBER);
}
