// Which bytes a FAT volume uses: everything before the first cluster, and the clusters the table does not call free.
// Invariant: a cluster is free only if every table that a driver may go by says so.
// Bad clusters hold nothing, and reading them may fail: they are left out. So is what lies behind the last cluster.

import { FormatError } from '../../base/u64.js';
import { type AllocationMap, joinNeighbours } from '../../map/allocation-map.js';
import { type Extent, extentEnd } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import type { BootSector } from './boot-sector.js';
import { type ClusterRange, FIRST_CLUSTER, openTable, type Table } from './table.js';

/** Entry 0 is all ones but for the low byte, which repeats the media byte (0xF0 at least). */
const ENTRY_0_LEAST = { 12: 0x0ff0, 16: 0xfff0, 32: 0x0ffffff0 } as const;
/** How many clusters two tables are united at a time. */
const UNITED = 16384;

/** Throws FormatError if the metadata contradicts itself. */
export async function openFatAllocationMap(volume: Source, boot: BootSector): Promise<AllocationMap> {
  if (boot.span > volume.size) throw new FormatError('the file system is larger than its volume');
  const tables = boot.tablesInUse.map((number) => openTable(volume, boot, number));
  for (const table of tables) {
    if ((await table.entry(0)) < ENTRY_0_LEAST[boot.bits]) throw new FormatError('the FAT does not begin as one');
  }
  const [first, second] = tables;
  if (!first) throw new FormatError('no FAT in use');
  if (boot.bits === 32 && (await first.entry(boot.rootCluster)) === 0) {
    throw new FormatError('the root directory is marked free');
  }
  const used = second ? united(first, second) : first.used;
  return {
    blockSize: boot.clusterSize,
    usedExtents: (within) => joinNeighbours(usedBytes(boot, used, within), within),
  };
}

type UsedClusters = Table['used'];

async function* usedBytes(
  { dataOffset, clusterSize, clusterCount }: BootSector,
  used: UsedClusters,
  within: Extent,
): AsyncGenerator<Extent> {
  yield { offset: 0, length: dataOffset };
  const index = (offset: number): number => Math.max(0, (offset - dataOffset) / clusterSize);
  const first = FIRST_CLUSTER + Math.floor(index(within.offset));
  const end = FIRST_CLUSTER + Math.min(clusterCount, Math.ceil(index(extentEnd(within))));
  for await (const run of used({ first, end })) {
    const offset = dataOffset + (run.first - FIRST_CLUSTER) * clusterSize;
    yield { offset, length: (run.end - run.first) * clusterSize };
  }
}

/** Clusters that either table calls used. */
function united(one: Table, other: Table): UsedClusters {
  return async function* (within) {
    for (let first = within.first; first < within.end; first += UNITED) {
      const piece: ClusterRange = { first, end: Math.min(within.end, first + UNITED) };
      const runs: ClusterRange[] = [];
      for await (const run of one.used(piece)) runs.push(run);
      for await (const run of other.used(piece)) runs.push(run);
      yield* mergeRuns(runs);
    }
  };
}

function mergeRuns(runs: readonly ClusterRange[]): ClusterRange[] {
  const merged: ClusterRange[] = [];
  for (const run of [...runs].sort((a, b) => a.first - b.first)) {
    const last = merged.at(-1);
    if (last && last.end >= run.first) {
      merged[merged.length - 1] = { first: last.first, end: Math.max(last.end, run.end) };
    } else {
      merged.push(run);
    }
  }
  return merged;
}
