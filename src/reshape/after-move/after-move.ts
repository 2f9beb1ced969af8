// What must change inside a volume because it comes to lie elsewhere, or on a disk with other sectors.
// Invariant: reads the volume, returns patches, writes nothing. Addresses in ext, XFS, btrfs, F2FS, swap and encrypted
// volumes count from their own beginning: a move alone changes nothing in them.

import { adaptExfat } from './exfat.js';
import { adaptFat } from './fat.js';
import { type Adaptation, changesSectors, type Move, UNCHANGED } from './move.js';
import { adaptNtfs } from './ntfs.js';
import { checkSectorSize } from './sector-size.js';

/** Throws ToolError if the volume cannot live at its new place (`filesystem.sector-size-stays`), or is damaged. */
export async function afterMove(move: Move): Promise<Adaptation> {
  switch (move.filesystem?.kind) {
    case 'ntfs':
      return adaptNtfs(move);
    case 'fat12':
    case 'fat16':
    case 'fat32':
      return adaptFat(move);
    case 'exfat':
      return adaptExfat(move);
    default:
      return changesSectors(move) ? checkSectorSize(move) : UNCHANGED;
  }
}
