// $Bitmap: one bit a cluster, read a piece at a time.
// Invariant: bits past the last cluster (writers set them) are never looked at; at most one piece is kept.

import { FormatError } from '../../base/u64.js';
import { type Bytes, KiB } from '../../base/units.js';
import { checkSolid, type MasterFileTable, openStream, RECORD, readRecord, UNNAMED_DATA } from './master-file-table.js';
import { type NtfsVolume, readStream, type Stream } from './stream.js';

const PIECE: Bytes = 64 * KiB;
const PIECE_CLUSTERS = PIECE * 8;

/** Clusters [first, end). */
export interface ClusterRange {
  readonly first: number;
  readonly end: number;
}

export interface ClusterBitmap {
  readonly stream: Stream;
  /** Used clusters inside `within`, ascending; a run is cut where a piece ends. */
  used(within: ClusterRange): AsyncGenerator<ClusterRange>;
}

/** Throws FormatError if $Bitmap does not cover the volume. */
export async function openClusterBitmap(mft: MasterFileTable): Promise<ClusterBitmap> {
  const stream = await openStream(mft, await readRecord(mft, RECORD.bitmap), UNNAMED_DATA);
  if (!stream) throw new FormatError('$Bitmap: no $DATA');
  if (stream.initializedSize * 8 < mft.boot.clusterCount) {
    throw new FormatError(`$Bitmap: ${stream.initializedSize} bytes for ${mft.boot.clusterCount} clusters`);
  }
  checkSolid(stream);
  return clusterBitmap(mft, stream);
}

function clusterBitmap(volume: NtfsVolume, stream: Stream): ClusterBitmap {
  let kept: { index: number; bytes: Promise<Buffer> } | undefined;
  const piece = (index: number): Promise<Buffer> => {
    if (kept?.index === index) return kept.bytes;
    const bytes = readPiece(volume, stream, index);
    const mine = { index, bytes };
    kept = mine;
    bytes.catch(() => {
      if (kept === mine) kept = undefined;
    });
    return bytes;
  };
  return {
    stream,
    async *used(within) {
      let position = within.first;
      while (position < within.end) {
        const index = Math.floor(position / PIECE_CLUSTERS);
        const base = index * PIECE_CLUSTERS;
        const end = Math.min(within.end, base + PIECE_CLUSTERS);
        for (const run of setBits(await piece(index), { first: position - base, end: end - base })) {
          yield { first: base + run.first, end: base + run.end };
        }
        position = end;
      }
    },
  };
}

async function readPiece(volume: NtfsVolume, stream: Stream, index: number): Promise<Buffer> {
  const offset = index * PIECE;
  const bytes = Buffer.alloc(Math.min(PIECE, stream.size - offset));
  await readStream(volume, stream, bytes, offset);
  return bytes;
}

function* setBits(bits: Buffer, { first, end }: ClusterRange): Generator<ClusterRange> {
  let from = first;
  for (;;) {
    const start = findBit(bits, { first: from, end }, 1);
    if (start === end) return;
    from = findBit(bits, { first: start, end }, 0);
    yield { first: start, end: from };
  }
}

/** First bit of `value` in the range, `end` if there is none. */
function findBit(bits: Buffer, { first, end }: ClusterRange, value: 0 | 1): number {
  const uniform = value === 1 ? 0x00 : 0xff;
  let bit = first;
  while (bit < end) {
    const byte = bits[bit >>> 3] ?? 0xff;
    if ((bit & 7) === 0 && byte === uniform) {
      bit += 8;
      continue;
    }
    if (((byte >>> (bit & 7)) & 1) === value) return bit;
    bit += 1;
  }
  return end;
}
