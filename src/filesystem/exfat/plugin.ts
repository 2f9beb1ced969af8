// exFAT.
// Invariant: the geometry is read anew from the boot sector each time; nothing is kept between calls. A wrong checksum
// does not make the volume "not mine": then `readState` says dirty and `openAllocationMap` throws.
// Format: Microsoft "exFAT file system specification".

import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import type { FilesystemPlugin } from '../plugin.js';
import { openExfatAllocationMap } from './allocation-map.js';
import { BOOT_SECTOR_LENGTH, type BootSector, parseBootSector } from './boot-sector.js';
import { readRoot } from './root-directory.js';
import { isMainRegionWhole, readExfatState } from './state.js';
import { exfatToken } from './token.js';

export const exfat: FilesystemPlugin = {
  name: 'exfat',
  async probe(volume) {
    const boot = await readBootSector(volume);
    if (!boot) return undefined;
    return {
      kind: 'exfat',
      label: await readLabel(volume, boot),
      uuid: boot.serial,
      size: Math.min(boot.span, volume.size),
      blockSize: boot.clusterSize,
      used: undefined,
      lastWritten: undefined,
    };
  },
  async readState(volume) {
    return readExfatState(volume, await requireBootSector(volume));
  },
  async openAllocationMap(volume) {
    const boot = await requireBootSector(volume);
    if (!(await isMainRegionWhole(volume, boot))) throw new FormatError('the checksum of the boot region is wrong');
    return openExfatAllocationMap(volume, boot);
  },
  async token(volume) {
    return exfatToken(volume, await requireBootSector(volume));
  },
};

/** Both boot regions have to be there: 24 sectors. */
async function readBootSector(volume: Source): Promise<BootSector | undefined> {
  if (volume.size < BOOT_SECTOR_LENGTH) return undefined;
  const bytes = Buffer.alloc(BOOT_SECTOR_LENGTH);
  await volume.read(bytes, 0);
  const boot = parseBootSector(bytes);
  return boot && boot.tableOffset <= volume.size ? boot : undefined;
}

async function requireBootSector(volume: Source): Promise<BootSector> {
  const boot = await readBootSector(volume);
  if (!boot) throw new FormatError('no exFAT boot sector');
  return boot;
}

/** A label that cannot be read is no reason to call the volume something else. */
async function readLabel(volume: Source, boot: BootSector): Promise<string> {
  for (const number of boot.tablesInUse) {
    try {
      return (await readRoot(volume, boot, number)).label ?? '';
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
  }
  return '';
}
