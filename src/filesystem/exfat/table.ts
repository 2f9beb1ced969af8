// The file allocation table: where a fragmented file, the root directory or the bitmap goes on.
// Invariant: a walk along a chain ends; memory does not depend on the size of the table.
// Format: Microsoft "exFAT file system specification", section 4 (file allocation table region).

import { FormatError } from '../../base/u64.js';
import { type Bytes, KiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { type BootSector, isCluster } from './boot-sector.js';

const ENTRY_LENGTH: Bytes = 4;
const PIECE: Bytes = 16 * KiB;
/** Directories lie close to each other: their chains come back to the same pieces. */
const PIECES_KEPT = 32;
const END_OF_CHAIN = 0xffffffff;

export interface Table {
  /** The cluster after `cluster`; 'end' at the end of the chain, 'broken' if it leads nowhere. */
  next(cluster: number): Promise<number | 'end' | 'broken'>;
}

/** Reads nothing yet. */
export function openTable(volume: Source, boot: BootSector, number: number): Table {
  const piece = keepPieces(volume, { offset: boot.tableOffset + number * boot.tableSize, length: boot.tableSize });
  return {
    async next(cluster) {
      const at = cluster * ENTRY_LENGTH;
      const value = (await piece(Math.floor(at / PIECE))).readUInt32LE(at % PIECE);
      if (value === END_OF_CHAIN) return 'end';
      return isCluster(boot, value) ? value : 'broken';
    },
  };
}

/** Clusters [first, first + count). */
export interface ClusterRun {
  readonly first: number;
  readonly count: number;
}

/** The first `clusters` clusters of a chain, neighbours joined. Throws FormatError if it is shorter or leads nowhere. */
export async function chainOf(
  table: Table,
  boot: BootSector,
  { first, clusters }: { first: number; clusters: number },
): Promise<ClusterRun[]> {
  if (clusters > boot.clusterCount) throw new FormatError(`a chain of ${clusters} clusters is longer than the volume`);
  const runs: ClusterRun[] = [];
  let cluster: number | 'end' | 'broken' = first;
  for (let left = clusters; left > 0; left -= 1) {
    if (typeof cluster !== 'number' || !isCluster(boot, cluster)) throw new FormatError('a cluster chain is too short');
    const last = runs.at(-1);
    if (last && last.first + last.count === cluster) {
      runs[runs.length - 1] = { first: last.first, count: last.count + 1 };
    } else {
      runs.push({ first: cluster, count: 1 });
    }
    cluster = left > 1 ? await table.next(cluster) : 'end';
  }
  return runs;
}

/** Reads pieces and keeps the last few. */
function keepPieces(
  volume: Source,
  { offset, length }: { offset: Bytes; length: Bytes },
): (index: number) => Promise<Buffer> {
  const kept = new Map<number, Promise<Buffer>>();
  const readPiece = async (index: number): Promise<Buffer> => {
    const start = index * PIECE;
    const bytes = Buffer.alloc(Math.min(PIECE, length - start));
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
