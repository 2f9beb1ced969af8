// All chunks of a file system: from logical addresses to places on this device.
// Invariant: chunks do not overlap, and neither do stripes on this device; all of them lie inside the volume.
// Source: btrfs on-disk format documentation (sys_chunk_array, chunk tree); kernel fs/btrfs/volumes.c
// (btrfs_read_sys_array, btrfs_read_chunk_tree).

import { FormatError } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { type Chunk, chunkItemLength, parseChunk, type Stripe, stripeCountAt } from './chunk.js';
import { KEY_LENGTH, KeyType, makeKey } from './key.js';
import { itemAt, keyAt, keyObjectid, keyOffset, keyType } from './node.js';
import { rangeInStripe } from './striping.js';
import type { Superblock } from './superblock.js';
import { leavesFrom, NodeReader, openTree, TreeId } from './tree.js';

const CHUNKS_OBJECTID = 256;
/** A pebibyte in chunks of a gibibyte; memory for them is what it limits. */
const MOST_CHUNKS = 2 ** 20;

/** A stripe on this device and the chunk that it belongs to. */
export interface PlacedStripe extends Stripe {
  readonly chunk: Chunk;
}

export class ChunkMap {
  /** By logical address. */
  readonly chunks: readonly Chunk[];
  /** Those on this device, by place. */
  readonly stripes: readonly PlacedStripe[];

  /** Throws FormatError if chunks overlap, or stripes leave the device. */
  constructor(chunks: Iterable<Chunk>, deviceSize: Bytes) {
    this.chunks = [...chunks].sort((a, b) => a.logical - b.logical);
    this.stripes = this.chunks
      .flatMap((chunk) => chunk.stripes.map((stripe) => ({ ...stripe, chunk })))
      .sort((a, b) => a.physical - b.physical);
    let end = 0;
    for (const { logical, length } of this.chunks) {
      if (logical < end) throw new FormatError(`chunk ${logical} overlaps another`);
      end = logical + length;
    }
    end = 0;
    for (const { physical, chunk } of this.stripes) {
      if (physical < end) throw new FormatError(`a stripe of chunk ${chunk.logical} overlaps another`);
      end = physical + chunk.stripeLength;
      if (end > deviceSize) throw new FormatError(`a stripe of chunk ${chunk.logical} lies outside the device`);
    }
  }

  /** Index of the chunk that holds the address; -1 if none does. */
  indexAt(logical: Bytes): number {
    let low = 0;
    let high = this.chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.chunks[middle]?.logical ?? 0) <= logical) low = middle + 1;
      else high = middle;
    }
    const chunk = this.chunks[low - 1];
    return chunk && logical < chunk.logical + chunk.length ? low - 1 : -1;
  }

  /** Where the range lies on this device, once for each copy; empty if not as a whole, or between parity. */
  locate(logical: Bytes, length: Bytes): Bytes[] {
    const chunk = this.chunks[this.indexAt(logical)];
    if (!chunk || logical + length > chunk.logical + chunk.length) {
      throw new FormatError(`address ${logical} is in no chunk`);
    }
    if (chunk.parity) return [];
    const range = { start: logical - chunk.logical, end: logical - chunk.logical + length };
    return chunk.stripes.flatMap(({ physical, column }) => {
      const { start, end } = rangeInStripe(chunk, column, range);
      return end - start === length ? physical + start : [];
    });
  }
}

/** Everything that the trees are read with. */
export interface Trees {
  readonly map: ChunkMap;
  readonly nodes: NodeReader;
}

/** Reads the chunk tree through the superblock's copy of the system chunks, which must agree with it. */
export async function readChunks(volume: Source, superblock: Superblock): Promise<Trees> {
  const deviceSize = Math.min(superblock.deviceSize, volume.size);
  const system = systemChunks(superblock);
  const bootstrap = new ChunkMap(system, deviceSize);
  const first = new NodeReader(volume, superblock, (logical, length) => bootstrap.locate(logical, length));
  const map = new ChunkMap(await chunksOf(first, superblock), deviceSize);
  for (const chunk of system) {
    const same = map.chunks[map.indexAt(chunk.logical)];
    if (!same || JSON.stringify(same) !== JSON.stringify(chunk)) {
      throw new FormatError(`the superblock and the chunk tree disagree on chunk ${chunk.logical}`);
    }
  }
  return { map, nodes: new NodeReader(volume, superblock, (logical, length) => map.locate(logical, length)) };
}

function systemChunks(superblock: Superblock): Chunk[] {
  const { systemChunks: bytes } = superblock;
  const chunks: Chunk[] = [];
  let at = 0;
  while (at < bytes.length) {
    const start = at + KEY_LENGTH;
    if (start + chunkItemLength(1) > bytes.length) throw new FormatError('the system chunk array is cut off');
    const key = { bytes, at };
    const length = chunkItemLength(stripeCountAt(bytes, start));
    if (keyType(key) !== KeyType.CHUNK_ITEM || start + length > bytes.length) {
      throw new FormatError('the system chunk array is damaged');
    }
    chunks.push(parseChunk({ bytes, start, length }, keyOffset(key), superblock));
    at = start + length;
  }
  return chunks;
}

async function chunksOf(nodes: NodeReader, superblock: Superblock): Promise<Chunk[]> {
  const tree = openTree(nodes, TreeId.CHUNK, superblock.chunkRoot);
  const chunks: Chunk[] = [];
  const from = makeKey({ objectid: CHUNKS_OBJECTID, type: KeyType.CHUNK_ITEM, offset: 0 });
  for await (const { leaf, first } of leavesFrom(tree, from)) {
    for (let index = first; index < leaf.count; index += 1) {
      const key = keyAt(leaf, index);
      if (keyObjectid(key) !== CHUNKS_OBJECTID || keyType(key) !== KeyType.CHUNK_ITEM) {
        throw new FormatError('the chunk tree has an item of an unknown type');
      }
      chunks.push(parseChunk({ bytes: leaf.bytes, ...itemAt(leaf, index) }, keyOffset(key), superblock));
    }
    if (chunks.length > MOST_CHUNKS) throw new FormatError(`it has more than ${MOST_CHUNKS} chunks`);
  }
  return chunks;
}
