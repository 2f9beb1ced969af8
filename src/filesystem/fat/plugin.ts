// FAT12, FAT16 and FAT32.
// Invariant: the geometry is read anew from the boot sector each time; nothing is kept between calls.
// Format: Microsoft "FAT: General Overview of On-Disk Format" 1.03.

import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import { attempt } from '../best-effort.js';
import { unknownOwners } from '../claims.js';
import type { FilesystemPlugin } from '../plugin.js';
import { openFatAllocationMap } from './allocation-map.js';
import { BOOT_SECTOR_LENGTH, type BootSector, parseBootSector } from './boot-sector.js';
import { ownersOf } from './owners.js';
import { readLabel } from './root-label.js';
import { readFatState } from './state.js';
import { fatToken } from './token.js';

export const fat: FilesystemPlugin = {
  name: 'fat',
  async probe(volume) {
    const boot = await readBootSector(volume);
    if (!boot) return undefined;
    return {
      kind: `fat${boot.bits}`,
      label: await readLabel(volume, boot),
      uuid: boot.serial,
      size: Math.min(boot.span, volume.size),
      blockSize: boot.clusterSize,
      used: undefined,
      lastWritten: undefined,
    };
  },
  async readState(volume) {
    return readFatState(volume, await requireBootSector(volume));
  },
  async openAllocationMap(volume) {
    return openFatAllocationMap(volume, await requireBootSector(volume));
  },
  async token(volume) {
    return fatToken(volume, await requireBootSector(volume));
  },
  async ownersOf(volume, _info, extents) {
    const boot = await attempt(() => readBootSector(volume));
    return boot ? ownersOf(volume, boot, extents) : unknownOwners(extents);
  },
};

async function readBootSector(volume: Source): Promise<BootSector | undefined> {
  if (volume.size < BOOT_SECTOR_LENGTH) return undefined;
  const bytes = Buffer.alloc(BOOT_SECTOR_LENGTH);
  await volume.read(bytes, 0);
  return parseBootSector(bytes);
}

async function requireBootSector(volume: Source): Promise<BootSector> {
  const boot = await readBootSector(volume);
  if (!boot) throw new FormatError('no FAT boot sector');
  return boot;
}
