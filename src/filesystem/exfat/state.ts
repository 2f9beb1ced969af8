// Whether an exFAT volume may be copied as it lies there: its size, its flags, its boot region, its bitmap.
// Invariant: `clean` is said only after all of them were read; what cannot be read is not clean.
// The backup boot region is not asked: drivers do not read it, and it is copied as it is.

import { FormatError } from '../../base/u64.js';
import { formatBytesExact } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { CLEAN, type FilesystemState } from '../plugin.js';
import { openBitmaps } from './allocation-map.js';
import { type BootSector, bootRegionLength, isBootRegionWhole } from './boot-sector.js';

const CHECK = 'Unmount it (in Windows: "Safely remove") or run fsck.exfat on it';

/** Never throws on hostile content. */
export async function readExfatState(volume: Source, boot: BootSector): Promise<FilesystemState> {
  if (boot.span > volume.size) {
    return {
      kind: 'incomplete',
      reason: `the file system spans ${formatBytesExact(boot.span)}, the volume has ${formatBytesExact(volume.size)}`,
      advice: 'Give the whole volume as the source; if it was cut off, grow it back to its size',
    };
  }
  if (boot.mediaFailed) return dirty('it is marked as having had read or write errors');
  if (boot.isDirty) return dirty('it was not unmounted (its dirty mark is set)');
  try {
    if (!(await isMainRegionWhole(volume, boot))) return dirty('the checksum of its boot region is wrong');
    await openBitmaps(volume, boot);
    return CLEAN;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return dirty(`its metadata is damaged (${error.message})`);
  }
}

export async function isMainRegionWhole(volume: Source, boot: BootSector): Promise<boolean> {
  const region = Buffer.alloc(bootRegionLength(boot));
  await volume.read(region, 0);
  return isBootRegionWhole(region, boot.sectorSize);
}

function dirty(reason: string): FilesystemState {
  return { kind: 'dirty', reason, advice: CHECK };
}
