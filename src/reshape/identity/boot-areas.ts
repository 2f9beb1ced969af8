// Boot loaders that lie outside file systems: in the gap before the first partition, or in a partition of their own.
// Invariant: reads only and changes nothing: GRUB's image is compressed, and its Reed-Solomon codes would undo a change.

import { type Bytes, MiB } from '../../base/units.js';
import type { Extent } from '../../map/extent.js';
import type { PartitionTable } from '../../partition/table.js';
import type { Source } from '../../source/types.js';
import { finderOf, type Rename } from './renames.js';
import type { Leftover } from './twin-identity.js';

/** BIOS boot, and PReP boot of POWER computers. */
const BOOT_TYPES = ['21686148-6449-6E6F-744E-656564454649', '9E1A2D38-C612-4316-AA26-8B49521E5A8B', '0x41'];
/** Longer than any boot loader. */
const LONGEST_AREA: Bytes = 16 * MiB;
const BOOT_CODE: Bytes = 440;

interface Area {
  readonly name: string;
  readonly extent: Extent;
}

export interface BootAreas {
  readonly unresolved: readonly Leftover[];
  readonly listed: readonly Leftover[];
}

/** What boot loaders there name, or may name. Throws ToolError on read errors. */
export async function referencesInBootAreas(
  disk: Source,
  table: PartitionTable,
  renames: readonly Rename[],
): Promise<BootAreas> {
  const find = finderOf(renames);
  const unresolved: Leftover[] = [];
  const listed: Leftover[] = [];
  for (const { name, extent } of areasOf(table, disk.size)) {
    const bytes = Buffer.alloc(Math.min(extent.length, LONGEST_AREA));
    await disk.read(bytes, extent.offset);
    const count = find(bytes).length;
    const why = `boot code that names old IDs in ${count} places and cannot be changed in place; install the boot loader anew`;
    if (count > 0) unresolved.push({ volume: name, place: 'boot code', why });
    if (extent.offset === 0 && bytes.subarray(0, BOOT_CODE).includes('GRUB')) {
      const reason = 'its image is compressed: if it has a UUID built in, run grub-install on the twin; most have none';
      listed.push({ volume: name, place: 'GRUB for BIOS', why: reason });
    }
  }
  return { unresolved, listed };
}

function areasOf({ partitions }: PartitionTable, diskSize: Bytes): Area[] {
  const first = Math.min(diskSize, ...partitions.map(({ extent }) => extent.offset));
  const own = partitions
    .filter(({ type }) => BOOT_TYPES.includes(type))
    .map(({ number, extent }) => ({ name: `partition ${number}`, extent }));
  return [{ name: 'before the first partition', extent: { offset: 0, length: first } }, ...own];
}
