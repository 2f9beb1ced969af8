// What a table means for the disk around it: the bytes it occupies, the room between partitions, and the table that
// another disk gets. Invariant: partitions move only where the caller says; what is neither partition nor structure
// is a gap.

import { unreachable } from '../base/assert.js';
import { sectorSizeChange } from '../base/errors/partition.js';
import type { Bytes } from '../base/units.js';
import { type Extent, gaps, intersect, normalise } from '../map/extent.js';
import { fitGpt } from './gpt-fit.js';
import { gptPieces } from './gpt-read.js';
import { fitMbr } from './mbr-fit.js';
import { mbrPieces } from './mbr-read.js';
import { resolveFit } from './places.js';
import type { FitOptions, PartitionTable, TableImage } from './table.js';

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
 * The table for a target, with all partitions at their offsets or where `places` says. Throws
 * `safety.target-too-small` with the missing bytes; `usage.no-such-partition` for a number that does not exist; without
 * `places` `safety.sector-size-differs`; with them `safety.place-not-aligned`, `safety.places-overlap`, and for an MBR
 * `safety.place-beyond-mbr`, `safety.no-room-for-record` and `safety.outside-container`.
 */
export function fitTable(table: PartitionTable, options: FitOptions): TableImage {
  const { sectorSize, places, container } = options;
  if (places === undefined && sectorSize !== undefined && sectorSize !== table.sectorSize) {
    throw sectorSizeChange({ source: table.sectorSize, target: sectorSize });
  }
  const fit = resolveFit(table, options);
  switch (table.kind) {
    case 'gpt':
      return fitGpt(table, fit);
    case 'mbr':
      return fitMbr(table, fit, container);
    default:
      return unreachable(table);
  }
}

function pieces(table: PartitionTable) {
  return table.kind === 'gpt' ? gptPieces(table.raw, table.sectorSize) : mbrPieces(table.raw, table.sectorSize);
}
