// Which bytes an NTFS volume uses: the set bits of $Bitmap, and the tail with the backup boot sector.
// Invariant: a map is given out only if the system files' own clusters are marked used in it.
// The backup boot sector lies at sector `total_sectors`, which no bit of $Bitmap stands for.

import { FormatError } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import { type AllocationMap, joinNeighbours } from '../../map/allocation-map.js';
import { type Extent, extentEnd } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import type { BootSector } from './boot-sector.js';
import { type ClusterBitmap, openClusterBitmap } from './cluster-bitmap.js';
import { ATTRIBUTE } from './file-record.js';
import {
  type MasterFileTable,
  openMasterFileTable,
  openStream,
  RECORD,
  readRecord,
  UNNAMED_DATA,
} from './master-file-table.js';
import type { Stream } from './stream.js';

/** Throws FormatError if the metadata contradicts itself. */
export async function openNtfsAllocationMap(source: Source, boot: BootSector): Promise<AllocationMap> {
  if (boot.totalSectors * boot.sectorSize > source.size) {
    throw new FormatError('the file system is larger than its volume');
  }
  const mft = await openMasterFileTable({ source, boot });
  const bitmap = await openClusterBitmap(mft);
  await checkSystemFiles(mft, bitmap);
  const end = Math.min(boot.span, source.size);
  return {
    blockSize: boot.clusterSize,
    usedExtents: (within) => joinNeighbours(usedBytes(boot, bitmap, { within, end }), within),
  };
}

async function* usedBytes(
  { clusterSize, clusterCount }: BootSector,
  bitmap: ClusterBitmap,
  { within, end }: { within: Extent; end: Bytes },
): AsyncGenerator<Extent> {
  const first = Math.floor(within.offset / clusterSize);
  const last = Math.min(clusterCount, Math.ceil(extentEnd(within) / clusterSize));
  for await (const run of bitmap.used({ first, end: last })) {
    yield { offset: run.first * clusterSize, length: (run.end - run.first) * clusterSize };
  }
  const tail = clusterCount * clusterSize;
  yield { offset: tail, length: end - tail };
}

/** A bitmap that calls the file system's own structures free is not to be trusted with anything else. */
async function checkSystemFiles(mft: MasterFileTable, bitmap: ClusterBitmap): Promise<void> {
  await checkUsed(mft.stream, bitmap);
  await checkUsed(bitmap.stream, bitmap);
  const table = await readRecord(mft, RECORD.mft);
  await checkUsed(await openStream(mft, table, { type: ATTRIBUTE.bitmap, name: '' }), bitmap);
  for (const number of [RECORD.mirror, RECORD.logFile, RECORD.boot]) {
    const stream = await openStream(mft, await readRecord(mft, number), UNNAMED_DATA);
    await checkUsed(stream, bitmap);
    const start = number === RECORD.boot ? 0 : number === RECORD.mirror ? mft.boot.mirrorCluster : undefined;
    if (start !== undefined && stream?.runs[0]?.lcn !== start) {
      throw new FormatError(`MFT record ${number}: does not lie where the boot sector says`);
    }
  }
}

async function checkUsed(stream: Stream | undefined, bitmap: ClusterBitmap): Promise<void> {
  if (!stream || stream.size === 0) throw new FormatError('a system file has no content');
  for (const { lcn, count } of stream.runs) {
    if (lcn === undefined) continue;
    let used = 0;
    for await (const run of bitmap.used({ first: lcn, end: lcn + count })) used += run.end - run.first;
    if (used !== count) throw new FormatError(`${stream.what}: ${count - used} of its clusters are marked free`);
  }
}
