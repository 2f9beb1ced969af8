// The boot loader of a BIOS, which knows its own place by sector numbers: it follows the partitions that move.
// Invariant: what is not understood stays as it is, and the plan says so.

import { grubCoreOffset, moveGrub } from '../partition/grub-embedding.js';
import type { PartitionTable, TableImage } from '../partition/table.js';
import type { Source } from '../source/types.js';
import type { TargetTable } from './target-table.js';

/** Bytes of the target's disk that are to differ from those of the source. */
export interface DiskPatch {
  readonly offset: number;
  readonly bytes: Buffer;
}

export interface BootLoader {
  /** The table with the boot code for the target. */
  readonly image: TableImage;
  readonly patches: readonly DiskPatch[];
  /** Empty if all is well. */
  readonly warnings: readonly string[];
}

const SECTOR = 512;

/** Adapts GRUB to `image`, the table of the target. Reads the source; throws only if that cannot be read. */
export async function bootLoaderFor(
  source: Source,
  table: PartitionTable,
  { kind, image }: TargetTable,
): Promise<BootLoader> {
  const unchanged = { image, patches: [], warnings: [] };
  const first = image.writes.find(({ offset }) => offset === 0);
  const coreOffset = first && grubCoreOffset(first.bytes);
  if (coreOffset === undefined || coreOffset + SECTOR > source.size) return unchanged;
  const core = Buffer.alloc(SECTOR);
  await source.read(core, coreOffset);
  const sectorSize = first?.bytes.length ?? SECTOR;
  const target = { kind, sectorSize, partitions: image.partitions };
  const fate = moveGrub({ mbr: first?.bytes ?? core, core, source: table, target });
  switch (fate.kind) {
    case 'none':
    case 'stays':
      return unchanged;
    case 'left':
      return { ...unchanged, warnings: [`GRUB may not start a computer with a BIOS: ${fate.reason}; install it anew`] };
    default: {
      const { mbr, core: moved, coreOffset: offset } = fate;
      const writes = image.writes.map((write) => (write.offset === 0 ? { ...write, bytes: mbr } : write));
      return { image: { ...image, writes }, patches: [{ offset, bytes: moved }], warnings: [] };
    }
  }
}
