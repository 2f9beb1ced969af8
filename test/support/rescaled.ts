// Clones whose partitions lie elsewhere, or are larger or smaller: the judgement of clone-judge.ts, at their new places.

import * as assert from 'uvu/assert';
import { readTable } from '../../src/partition/read.js';
import { openDiskSource } from '../../src/source/disk.js';
import { demandSameFiles, demandSoundTable } from './clone-judge.js';
import type { BuiltDisk, BuiltPartition } from './disk-builder.js';
import type { Listing } from './partition-content.js';

/** The target as a disk of its own: what `disk` holds, at the places that the target's own table names. */
export async function targetDisk(disk: BuiltDisk, target: string): Promise<BuiltDisk> {
  const medium = openDiskSource(target);
  try {
    const table = await readTable(medium);
    assert.ok(table, 'the target has a table');
    assert.is(table.kind, disk.table);
    const partitions = table.partitions.map(({ number, extent }): BuiltPartition => {
      const original = disk.partitions.find((partition) => partition.number === number);
      assert.ok(original, `partition ${number} is of the source`);
      return { number, extent, content: original.content };
    });
    return { path: target, size: medium.size, table: table.kind, sectorSize: disk.sectorSize, partitions };
  } finally {
    await medium.close();
  }
}

/** Sound table, checkers clean, every file equal, but those that `without` takes out. Returns the target as a disk. */
export async function demandRescaled(
  disk: BuiltDisk,
  target: string,
  wanted: ReadonlyMap<number, Listing>,
  without: (files: ReadonlyMap<number, Listing>) => ReadonlyMap<number, Listing> = (files) => files,
): Promise<BuiltDisk> {
  const rescaled = await targetDisk(disk, target);
  demandSoundTable(rescaled, target);
  await demandSameFiles(rescaled, target, wanted, without);
  return rescaled;
}
