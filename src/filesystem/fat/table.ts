// The file allocation table: one entry a cluster, read a piece at a time.
// Invariant: memory does not depend on the size of the table; only entries of clusters that exist are looked at.
// Format: Microsoft "FAT: General Overview of On-Disk Format" 1.03, "FAT Data Structure".

import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import type { BootSector, FatBits } from './boot-sector.js';

/** Even, so that a piece of FAT12 begins on a byte. */
const PIECE_ENTRIES = 16384;
/** Random walks along chains come back to the same pieces. */
const PIECES_KEPT = 32;
export const FIRST_CLUSTER = 2;

const WIDTH = {
  12: { mask: 0x0fff, bad: 0x0ff7 },
  16: { mask: 0xffff, bad: 0xfff7 },
  32: { mask: 0x0fffffff, bad: 0x0ffffff7 },
} as const;

/** Clusters [first, end). */
export interface ClusterRange {
  readonly first: number;
  readonly end: number;
}

export interface Table {
  /** The entry of a cluster below `clusterCount + 2`, without the bits that do not count. */
  entry(cluster: number): Promise<number>;
  /** The cluster after `cluster`; 'end' at the end of the chain, 'broken' if it leads nowhere. */
  next(cluster: number): Promise<number | 'end' | 'broken'>;
  /** Clusters that are neither free nor bad inside `within`, ascending; a run is cut where a piece ends. */
  used(within: ClusterRange): AsyncGenerator<ClusterRange>;
}

/** Throws FormatError if the table has fewer entries than there are clusters. Reads nothing yet. */
export function openTable(volume: Source, boot: BootSector, number: number): Table {
  const { bits, clusterCount } = boot;
  const entryCount = clusterCount + FIRST_CLUSTER;
  if (Math.ceil((entryCount * bits) / 8) > boot.tableSize) {
    throw new FormatError(`the FAT has ${boot.tableSize} bytes for ${clusterCount} clusters of ${bits} bits`);
  }
  const offset = boot.tableOffset + number * boot.tableSize;
  const { bad } = WIDTH[bits];
  const piece = keepPieces(volume, { offset, bits, entryCount });
  const entry = async (cluster: number): Promise<number> =>
    entryAt(await piece(Math.floor(cluster / PIECE_ENTRIES)), cluster % PIECE_ENTRIES, bits);
  return {
    entry,
    async next(cluster) {
      const value = await entry(cluster);
      if (value > bad) return 'end';
      return value >= FIRST_CLUSTER && value < entryCount && value !== bad ? value : 'broken';
    },
    async *used(within) {
      let position = within.first;
      while (position < within.end) {
        const index = Math.floor(position / PIECE_ENTRIES);
        const base = index * PIECE_ENTRIES;
        const end = Math.min(within.end, base + PIECE_ENTRIES);
        for (const run of usedEntries(await piece(index), { first: position - base, end: end - base }, bits)) {
          yield { first: base + run.first, end: base + run.end };
        }
        position = end;
      }
    },
  };
}

/** The loop that a large volume spends its time in: no generator step and no call of `entryAt` for a free entry. */
function* usedEntries(bytes: Buffer, { first, end }: ClusterRange, bits: FatBits): Generator<ClusterRange> {
  const find = bits === 32 ? findWide : findNarrow;
  for (let from = first; from < end; ) {
    const start = find(bytes, { first: from, end }, { used: true, bits });
    if (start === end) return;
    from = find(bytes, { first: start, end }, { used: false, bits });
    yield { first: start, end: from };
  }
}

interface Wanted {
  readonly used: boolean;
  readonly bits: FatBits;
}

/** Index of the first entry that is used, or is not; `end` if there is none. */
function findNarrow(bytes: Buffer, { first, end }: ClusterRange, { used, bits }: Wanted): number {
  const { bad } = WIDTH[bits];
  for (let index = first; index < end; index += 1) {
    const value = entryAt(bytes, index, bits);
    if ((value !== 0 && value !== bad) === used) return index;
  }
  return end;
}

function findWide(bytes: Buffer, { first, end }: ClusterRange, { used }: Wanted): number {
  const { mask, bad } = WIDTH[32];
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let index = first; index < end; index += 1) {
    const value = words.getUint32(index * 4, true) & mask;
    if ((value !== 0 && value !== bad) === used) return index;
  }
  return end;
}

function entryAt(bytes: Buffer, index: number, bits: FatBits): number {
  if (bits === 32) return bytes.readUInt32LE(index * 4) & WIDTH[32].mask;
  if (bits === 16) return bytes.readUInt16LE(index * 2);
  const pair = bytes.readUInt16LE(index + (index >>> 1));
  return index % 2 === 0 ? pair & WIDTH[12].mask : pair >>> 4;
}

/** Reads pieces and keeps the last few. */
function keepPieces(
  volume: Source,
  { offset, bits, entryCount }: { offset: number; bits: FatBits; entryCount: number },
): (index: number) => Promise<Buffer> {
  const pieceLength = (PIECE_ENTRIES * bits) / 8;
  const tableLength = Math.ceil((entryCount * bits) / 8);
  const kept = new Map<number, Promise<Buffer>>();
  const readPiece = async (index: number): Promise<Buffer> => {
    const start = index * pieceLength;
    const bytes = Buffer.alloc(Math.min(pieceLength, tableLength - start));
    if (offset + start + bytes.length > volume.size) throw new FormatError('the FAT lies beyond the end of the volume');
    await volume.read(bytes, offset + start);
    return bytes;
  };
  return (index) => {
    const known = kept.get(index);
    if (known) return known;
    const bytes = readPiece(index);
    kept.set(index, bytes);
    bytes.catch(() => kept.delete(index));
    const oldest = kept.keys().next();
    if (kept.size > PIECES_KEPT && !oldest.done) kept.delete(oldest.value);
    return bytes;
  };
}
