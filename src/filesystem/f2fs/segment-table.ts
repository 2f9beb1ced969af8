// The segment information table: which blocks of each segment are valid. Each of its blocks has two copies, and a few
// entries in the checkpoint's journal are newer than both.
// Invariant: memory does not depend on the number of segments; a piece is read from the copies that count.
// Format: kernel include/linux/f2fs_fs.h (f2fs_sit_entry, f2fs_summary_block), fs/f2fs/segment.c (build_sit_entries).

import { FormatError } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { type Checkpoint, FLAG, readBlocks } from './checkpoint.js';
import { BLOCK, SEGMENT_BLOCKS, type Superblock } from './superblock.js';

const ENTRY_LENGTH: Bytes = 74;
const ENTRIES_PER_BLOCK = 55;
const ENTRY = { count: 0, countMask: 0x3ff, map: 2 } as const;
const MAP_LENGTH: Bytes = 64;
/** Table blocks that are read at once. */
const PIECE_BLOCKS = 64;
export const PIECE_SEGMENTS = PIECE_BLOCKS * ENTRIES_PER_BLOCK;

/** The journal of a summary block begins behind its 512 entries of 7 bytes; compact ones begin with two journals. */
const JOURNAL = { normal: 3584, compact: 507, maxEntries: 6, entryLength: 4 + ENTRY_LENGTH } as const;
/** Blocks of summaries of hot, warm and cold data follow each other; the journal is in the last. */
const COLD_DATA = 2;

export interface SegmentTable {
  /**
   * The validity of the blocks of PIECE_SEGMENTS segments (fewer at the end), one bit a block, lowest bit first.
   * Throws FormatError if an entry contradicts itself.
   */
  piece(index: number): Promise<Buffer>;
  readonly pieceCount: number;
}

/** Throws FormatError if the table is too small or its journal is damaged. */
export async function openSegmentTable(
  volume: Source,
  superblock: Superblock,
  checkpoint: Checkpoint,
): Promise<SegmentTable> {
  const { mainSegments, sitSegments } = superblock;
  const copyBlocks = (sitSegments / 2) * SEGMENT_BLOCKS;
  if (Math.ceil(mainSegments / ENTRIES_PER_BLOCK) > copyBlocks) {
    throw new FormatError(`the segment table has no room for ${mainSegments} segments`);
  }
  const journal = await readJournal(volume, superblock, checkpoint);
  return {
    pieceCount: Math.ceil(mainSegments / PIECE_SEGMENTS),
    async piece(index) {
      const first = index * PIECE_SEGMENTS;
      const count = Math.min(PIECE_SEGMENTS, mainSegments - first);
      const table = await readTable(volume, { superblock, checkpoint, copyBlocks, index, count });
      const bits = Buffer.alloc(count * MAP_LENGTH);
      for (let block = 0; block * BLOCK < table.length; block += 1) {
        if (table.compare(NOTHING, 0, BLOCK, block * BLOCK, (block + 1) * BLOCK) === 0) continue;
        const segment = block * ENTRIES_PER_BLOCK;
        for (let entry = 0; entry < ENTRIES_PER_BLOCK && segment + entry < count; entry += 1) {
          if (journal.has(first + segment + entry)) continue;
          addEntry(bits, { bytes: table, at: block * BLOCK + entry * ENTRY_LENGTH, segment: segment + entry, first });
        }
      }
      for (const [segment, bytes] of journal) {
        const inside = segment >= first && segment < first + count;
        if (inside) addEntry(bits, { bytes, at: 0, segment: segment - first, first });
      }
      return bits;
    },
  };
}

interface PlacedEntry {
  readonly bytes: Buffer;
  readonly at: Bytes;
  /** In the piece, whose first one is `first`. */
  readonly segment: number;
  readonly first: number;
}

/** Adds an entry's bits, which are kept highest bit first. */
function addEntry(bits: Buffer, { bytes, at, segment, first }: PlacedEntry): void {
  const expected = bytes.readUInt16LE(at + ENTRY.count) & ENTRY.countMask;
  const from = at + ENTRY.map;
  const to = segment * MAP_LENGTH;
  let found = 0;
  for (let index = 0; index < MAP_LENGTH; index += 1) {
    const byte = bytes[from + index] ?? 0xff;
    if (byte === 0) continue;
    bits[to + index] = REVERSED[byte] ?? 0xff;
    found += ONES[byte] ?? 0;
  }
  if (found !== expected) {
    throw new FormatError(`segment ${first + segment} has ${found} valid blocks, its count is ${expected}`);
  }
}

const NOTHING = Buffer.alloc(BLOCK);
const BYTES = Array.from({ length: 256 }, (_, byte) => byte);
const REVERSED = Uint8Array.from(BYTES, (byte) => {
  let reversed = 0;
  for (let bit = 0; bit < 8; bit += 1) reversed |= ((byte >>> bit) & 1) << (7 - bit);
  return reversed;
});
const ONES = Uint8Array.from(BYTES, (byte) => {
  let ones = 0;
  for (let bit = 0; bit < 8; bit += 1) ones += (byte >>> bit) & 1;
  return ones;
});

interface TablePiece {
  readonly superblock: Superblock;
  readonly checkpoint: Checkpoint;
  readonly copyBlocks: number;
  readonly index: number;
  readonly count: number;
}

/** The blocks of a piece, each from the copy that counts. */
async function readTable(
  volume: Source,
  { superblock, checkpoint, copyBlocks, index, count }: TablePiece,
): Promise<Buffer> {
  const first = index * PIECE_BLOCKS;
  const blocks = Math.ceil(count / ENTRIES_PER_BLOCK);
  const copy = (number: 0 | 1): Promise<Buffer> =>
    readBlocks(volume, superblock.sitBlock + number * copyBlocks + first, blocks);
  const isSecond = (block: number): boolean => {
    const byte = checkpoint.sitBitmap[(first + block) >>> 3] ?? 0;
    return ((byte >>> (7 - ((first + block) & 7))) & 1) === 1;
  };
  const seconds = Array.from({ length: blocks }, (_, block) => isSecond(block));
  const table = await copy(seconds.every((second) => second) ? 1 : 0);
  if (!seconds.includes(true) || !seconds.includes(false)) return table;
  const other = await copy(1);
  for (const [block, second] of seconds.entries()) {
    if (second) other.copy(table, block * BLOCK, block * BLOCK, (block + 1) * BLOCK);
  }
  return table;
}

async function readJournal(
  volume: Source,
  superblock: Superblock,
  checkpoint: Checkpoint,
): Promise<Map<number, Buffer>> {
  const isCompact = (checkpoint.flags & FLAG.compactSummaries) !== 0;
  const block = checkpoint.firstSummaryBlock + (isCompact ? 0 : COLD_DATA);
  if (block >= checkpoint.lastBlock) throw new FormatError('the checkpoint has no summary of cold data');
  const bytes = await readBlocks(volume, block, 1);
  const at = isCompact ? JOURNAL.compact : JOURNAL.normal;
  const count = bytes.readUInt16LE(at);
  if (count > JOURNAL.maxEntries) throw new FormatError(`${count} segments in the journal of the checkpoint`);
  const entries = new Map<number, Buffer>();
  for (let index = 0; index < count; index += 1) {
    const entry = at + 2 + index * JOURNAL.entryLength;
    const segment = bytes.readUInt32LE(entry);
    if (segment >= superblock.mainSegments) throw new FormatError(`the journal names segment ${segment}`);
    entries.set(segment, bytes.subarray(entry + 4, entry + JOURNAL.entryLength));
  }
  return entries;
}
