// What a table means for the disk around it: the bytes it occupies, the room between partitions, and the table that
// another disk gets. Invariant: partitions never move; what is neither partition nor structure is a gap.

import { unreachable } from '../base/assert.js';
import { noSuchPartition, sectorSizeChange } from '../base/errors/partition.js';
import type { Bytes } from '../base/units.js';
import { type Extent, gaps, intersect, normalise } from '../map/extent.js';
import { fitGpt } from './gpt-fit.js';
import { gptPieces } from './gpt-read.js';
import { fitMbr } from './mbr-fit.js';
import { mbrPieces } from './mbr-read.js';
import type { FitOptions, Partition, PartitionTable, TableImage } from './table.js';

/** What the table itself occupies on its disk, ascending: MBR, headers and entries of a GPT, records of logicals. */
export function structures(table: PartitionTable): Extent[] {
  return normalise(pieces(table).map(({ extent }) => extent));
}

/** The unallocated ranges of a disk of `diskSize` bytes, ascending: neither partition nor structure of the table. */
export function gapsOf(table: PartitionTable, diskSize: Bytes): Extent[] {
  const whole = { offset: 0, length: diskSize };
  const taken = [...structures(table), ...table.partitions.map(({ extent }) => extent)].flatMap(
    (extent) => intersect(extent, whole) ?? [],
  );
  return [...gaps(normalise(taken), whole)];
}

/**
 * The table for a target, with all partitions at their offsets. Throws `safety.target-too-small` with the missing
 * bytes, `safety.sector-size-differs`, and `usage.no-such-partition` if `only` names one that does not exist.
 */
export function fitTable(table: PartitionTable, { targetSize, sectorSize, only }: FitOptions): TableImage {
  if (sectorSize !== undefined && sectorSize !== table.sectorSize) {
    throw sectorSizeChange({ source: table.sectorSize, target: sectorSize });
  }
  const kept = keptPartitions(table, only);
  switch (table.kind) {
    case 'gpt':
      return fitGpt(table, kept, targetSize);
    case 'mbr':
      return fitMbr(table, kept, targetSize);
    default:
      return unreachable(table);
  }
}

function keptPartitions({ partitions }: PartitionTable, only: readonly number[] | undefined): readonly Partition[] {
  if (only === undefined) return partitions;
  const wanted = new Set(only);
  const kept = partitions.filter(({ number }) => wanted.delete(number));
  const [missing] = wanted;
  if (missing !== undefined) {
    throw noSuchPartition(
      missing,
      partitions.map(({ number }) => number),
    );
  }
  return kept;
}

function pieces(table: PartitionTable) {
  return table.kind === 'gpt' ? gptPieces(table.raw, table.sectorSize) : mbrPieces(table.raw, table.sectorSize);
}
