// $MFT of a failing disk: as much of it as can be found and read.
// Invariant: never throws on what lies on the disk; the table that comes out of here has no holes, so it ends.

import { FormatError } from '../../base/u64.js';
import { type Bytes, MiB } from '../../base/units.js';
import { attempt, readPossible } from '../best-effort.js';
import { ATTRIBUTE } from './file-record.js';
import { type MasterFileTable, openMasterFileTable, readTableRecord } from './master-file-table.js';
import { decodeRuns } from './run-list.js';
import { type NtfsVolume, readStream, type Stream } from './stream.js';

/** Largest read of the table. */
const PIECE: Bytes = MiB;

/** The whole table, by its record or the copy in $MFTMirr; else its first part; undefined if nothing is left. */
export async function openSurvivingTable(volume: NtfsVolume): Promise<MasterFileTable | undefined> {
  const places = [volume.boot.mftCluster, volume.boot.mirrorCluster];
  for (const open of [openMasterFileTable, openFirstPart]) {
    for (const at of places) {
      const table = await attempt(() => open(volume, at));
      if (table) return table;
    }
  }
  return undefined;
}

/** What the record itself maps: all, unless the table is so fragmented that other records map the rest. */
async function openFirstPart(volume: NtfsVolume, at: number): Promise<MasterFileTable> {
  const { boot } = volume;
  const record = await readTableRecord(volume, at);
  const data = record.attributes.find(({ type, name }) => type === ATTRIBUTE.data && name === '');
  if (!data || data.resident || !data.sizes || !data.plain || data.lowestVcn !== 0) {
    throw new FormatError('$MFT: no $DATA in its record');
  }
  const runs = decodeRuns(data.runs, { firstVcn: 0, clusterCount: boot.clusterCount, what: '$MFT' });
  const hole = runs.findIndex(({ lcn }) => lcn === undefined);
  const solid = hole < 0 ? runs : runs.slice(0, hole);
  const covered = solid.reduce((sum, { count }) => sum + count, 0) * boot.clusterSize;
  const size = Math.min(data.sizes.data, covered);
  const initializedSize = Math.min(data.sizes.initialized, covered);
  const stream: Stream = { what: '$MFT', size, initializedSize, plain: true, runs: solid, resident: undefined };
  return { ...volume, stream };
}

/** Records in a row; `bytes` is overwritten by the next piece. */
export interface RecordPiece {
  readonly first: number;
  readonly count: number;
  readonly bytes: Buffer;
  /** Records that could not be read, counted from `first`. */
  readonly lost: ReadonlySet<number>;
}

/** All records, in order; pieces that are not `wanted` are not read. */
export async function* recordPieces(
  mft: MasterFileTable,
  wanted: (first: number) => boolean = () => true,
): AsyncGenerator<RecordPiece> {
  const { recordSize } = mft.boot;
  const records = Math.floor(mft.stream.initializedSize / recordSize);
  const perPiece = PIECE / recordSize;
  const piece = Buffer.alloc(Math.min(perPiece, records) * recordSize);
  for (let first = 0; first < records; first += perPiece) {
    if (!wanted(first)) continue;
    const count = Math.min(perPiece, records - first);
    const bytes = piece.subarray(0, count * recordSize);
    const read = async (part: Buffer, at: Bytes): Promise<boolean> =>
      (await attempt(() => readStream(mft, mft.stream, part, first * recordSize + at).then(() => true))) ?? false;
    yield { first, count, bytes, lost: await readPossible(bytes, recordSize, read) };
  }
}
