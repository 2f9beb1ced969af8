// NTFS, as Windows and ntfs-3g write it.
// Invariant: the geometry is read anew from the boot sector each time; nothing is kept between calls.
// Format: ntfs-3g layout.h; each file here names its part.

import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import { attempt } from '../best-effort.js';
import { unknownOwners } from '../claims.js';
import type { FilesystemPlugin } from '../plugin.js';
import { openNtfsAllocationMap } from './allocation-map.js';
import { BOOT_SECTOR_LENGTH, type BootSector, parseBootSector } from './boot-sector.js';
import { findExcludable } from './excludable.js';
import { openMasterFileTable } from './master-file-table.js';
import { ownersOf } from './owners.js';
import { ntfsRecords } from './records.js';
import { readNtfsState } from './state.js';
import { ntfsToken } from './token.js';
import { readVolumeRecord } from './volume-record.js';

export const ntfs: FilesystemPlugin = {
  name: 'ntfs',
  async probe(volume) {
    const boot = await readBootSector(volume);
    if (!boot) return undefined;
    return {
      kind: 'ntfs',
      label: await readLabel(volume, boot),
      uuid: boot.serial,
      size: Math.min(boot.span, volume.size),
      blockSize: boot.clusterSize,
      used: undefined,
      lastWritten: undefined,
    };
  },
  async readState(volume) {
    return readNtfsState(volume, await requireBootSector(volume));
  },
  async openAllocationMap(volume) {
    return openNtfsAllocationMap(volume, await requireBootSector(volume));
  },
  async token(volume) {
    return ntfsToken(volume, await requireBootSector(volume));
  },
  async *records(volume) {
    yield* ntfsRecords(volume, await requireBootSector(volume));
  },
  /** `ntfscp` over a file of the same size. */
  tokenMissesTools: true,
  async ownersOf(volume, _info, extents) {
    const boot = await attempt(() => readBootSector(volume));
    return boot ? ownersOf(volume, boot, extents) : unknownOwners(extents);
  },
  async excludable(volume) {
    return findExcludable(volume, await requireBootSector(volume));
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
  if (!boot) throw new FormatError('no NTFS boot sector');
  return boot;
}

/** A label that cannot be read is no reason to call the volume something else. */
async function readLabel(source: Source, boot: BootSector): Promise<string> {
  const record = await attempt(async () => readVolumeRecord(await openMasterFileTable({ source, boot })));
  return record?.label ?? '';
}
