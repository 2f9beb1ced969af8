// Which bytes an F2FS volume uses: everything before the main area, and the valid blocks of its segments.
// Invariant: the valid blocks of all segments are as many as the checkpoint says, or there is no map. Without the mark
// of a clean unmount there is none either: what fsync wrote after the checkpoint is in no table.

import { FormatError } from '../../base/u64.js';
import { type AllocationMap, joinNeighbours } from '../../map/allocation-map.js';
import { type Extent, extentEnd } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import { countSet, setBits, setRuns } from '../bitmap.js';
import { type Checkpoint, FLAG, readCheckpoint } from './checkpoint.js';
import { openSegmentTable, PIECE_SEGMENTS, type SegmentTable } from './segment-table.js';
import { BLOCK, SEGMENT_BLOCKS, type Superblock } from './superblock.js';

const PIECE_BITS = PIECE_SEGMENTS * SEGMENT_BLOCKS;

/** Throws FormatError if the metadata contradicts itself. Reads the whole segment table once. */
export async function openF2fsAllocationMap(volume: Source, superblock: Superblock): Promise<AllocationMap> {
  if (superblock.blockCount * BLOCK > volume.size) throw new FormatError('the file system is larger than its volume');
  if (!superblock.isWhole) throw new FormatError('the checksum of the superblock is wrong');
  if (superblock.hasMoreDevices) throw new FormatError('its segments lie on several devices');
  const checkpoint = await readCheckpoint(volume, superblock);
  if ((checkpoint.flags & FLAG.unmounted) === 0) throw new FormatError('the checkpoint is not of an unmount');
  const table = await openSegmentTable(volume, superblock, checkpoint);
  const valid = await countValid(table);
  if (valid !== checkpoint.validBlocks) {
    throw new FormatError(`${valid} valid blocks, the checkpoint says ${checkpoint.validBlocks}`);
  }
  return {
    blockSize: BLOCK,
    usedExtents: (within) => joinNeighbours(usedExtents({ superblock, checkpoint, table }, within), within),
  };
}

async function countValid(table: SegmentTable): Promise<number> {
  let valid = 0;
  for (let index = 0; index < table.pieceCount; index += 1) {
    const bits = await table.piece(index);
    valid += countSet(bits, bits.length * 8);
  }
  return valid;
}

interface OpenVolume {
  readonly superblock: Superblock;
  readonly checkpoint: Checkpoint;
  readonly table: SegmentTable;
}

async function* usedExtents({ superblock, checkpoint, table }: OpenVolume, within: Extent): AsyncGenerator<Extent> {
  const main = superblock.mainBlock * BLOCK;
  yield { offset: 0, length: main };
  const bitAt = (offset: number): number => Math.max(0, (offset - main) / BLOCK);
  const end = Math.min(superblock.mainSegments * SEGMENT_BLOCKS, Math.ceil(bitAt(extentEnd(within))));
  let bit = Math.floor(bitAt(within.offset));
  while (bit < end) {
    const index = Math.floor(bit / PIECE_BITS);
    const base = index * PIECE_BITS;
    const bits = await table.piece(index);
    addNodeLogs(bits, checkpoint, index);
    const range = { start: bit - base, end: Math.min(end - base, bits.length * 8) };
    for (const run of setRuns(bits, range)) {
      yield { offset: main + (base + run.start) * BLOCK, length: (run.end - run.start) * BLOCK };
    }
    bit = base + range.end;
  }
}

/** A mount reads where the node logs go on. What an older copy left on a target must not lie there. */
function addNodeLogs(bits: Buffer, { nodeLogs }: Checkpoint, index: number): void {
  for (const { segment, block } of nodeLogs) {
    const inPiece = segment - index * PIECE_SEGMENTS;
    const start = inPiece * SEGMENT_BLOCKS + block;
    if (block < SEGMENT_BLOCKS && inPiece >= 0 && start < bits.length * 8) setBits(bits, { start, end: start + 1 });
  }
}
