// Whether a FAT volume may be copied as it lies there: its size and its dirty and error marks.
// Invariant: a mark in either place (table entry 1, state byte) counts. FSInfo is a hint and says nothing of it.
// FAT has no journal: a volume that was not unmounted is repaired, not replayed.

import { FormatError } from '../../base/u64.js';
import { formatBytesExact } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { CLEAN, type FilesystemState } from '../plugin.js';
import type { BootSector } from './boot-sector.js';
import { openTable } from './table.js';

const STATE_DIRTY = 1;
const STATE_ERROR = 2;
/** Bits of entry 1 that are set while all is well; FAT12 has none. */
const ENTRY_BITS = {
  12: undefined,
  16: { clean: 0x8000, noError: 0x4000 },
  32: { clean: 0x08000000, noError: 0x04000000 },
} as const;

const CHECK = 'Unmount it (in Windows: "Safely remove") or run fsck.vfat on it';

/** Never throws on hostile content. */
export async function readFatState(volume: Source, boot: BootSector): Promise<FilesystemState> {
  if (boot.span > volume.size) {
    return {
      kind: 'incomplete',
      reason: `the file system spans ${formatBytesExact(boot.span)}, the volume has ${formatBytesExact(volume.size)}`,
      advice: 'Give the whole volume as the source; if it was cut off, grow it back to its size',
    };
  }
  try {
    return await readMarks(volume, boot);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return dirty(`its metadata is damaged (${error.message})`);
  }
}

async function readMarks(volume: Source, boot: BootSector): Promise<FilesystemState> {
  let isDirty = (boot.state & STATE_DIRTY) !== 0;
  let hadErrors = (boot.state & STATE_ERROR) !== 0;
  const bits = ENTRY_BITS[boot.bits];
  for (const number of bits ? boot.tablesInUse : []) {
    const entry = await openTable(volume, boot, number).entry(1);
    if (bits && (entry & bits.clean) === 0) isDirty = true;
    if (bits && (entry & bits.noError) === 0) hadErrors = true;
  }
  if (hadErrors) return dirty('it is marked as having had read or write errors');
  return isDirty ? dirty('it was not unmounted (its dirty mark is set)') : CLEAN;
}

function dirty(reason: string): FilesystemState {
  return { kind: 'dirty', reason, advice: CHECK };
}
