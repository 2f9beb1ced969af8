// The table that the target gets: the source's, fitted to its new places, with new IDs for a twin, or a GPT in place of an MBR.

import type { Bytes } from '../base/units.js';
import { fitTable } from '../partition/layout.js';
import { convertToGpt } from '../partition/mbr-to-gpt.js';
import type { NewIdentity, PartitionTable, TableImage } from '../partition/table.js';
import type { Arrangement, NewIds } from './arrangement.js';

export interface TargetTableOptions {
  readonly target: { readonly size: Bytes; readonly sectorSize: Bytes | undefined };
  readonly only: readonly number[] | undefined;
  readonly arrangement: Arrangement;
}

export interface TargetTable {
  readonly kind: PartitionTable['kind'];
  readonly image: TableImage;
}

/** Throws as `fitTable` and `convertToGpt` do. */
export function targetTable(
  table: PartitionTable,
  { target: { size, sectorSize }, only, arrangement }: TargetTableOptions,
): TargetTable {
  const { places, container, identity, converted } = arrangement;
  if (converted && table.kind === 'mbr') {
    const { diskId: diskGuid, partitionIds: partitionGuids } = idsByNumber(converted);
    const wish = { targetSize: size, sectorSize, only, places, diskGuid, partitionGuids };
    return { kind: 'gpt', image: convertToGpt(table, wish) };
  }
  const moved = places.size === 0 ? {} : { places, container };
  const ids = identity && identity.diskId !== '' ? idsByNumber(identity) : undefined;
  return { kind: table.kind, image: fitTable(table, { targetSize: size, sectorSize, only, ...moved, identity: ids }) };
}

function idsByNumber({ diskId, partitionIds }: Pick<NewIds, 'diskId' | 'partitionIds'>): NewIdentity {
  return { diskId, partitionIds: new Map(Object.entries(partitionIds).map(([number, id]) => [Number(number), id])) };
}
