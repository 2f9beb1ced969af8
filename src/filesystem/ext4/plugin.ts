// ext2, ext3 and ext4 as one plugin.
// Invariant: damage never makes the volume "not mine": a superblock with plausible numbers is recognised even if its
// checksum is wrong; then `readState` says dirty and `openAllocationMap` throws, so that the volume is copied whole.
// Source: kernel Documentation/filesystems/ext4.

import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import { attempt } from '../best-effort.js';
import { unknownOwners } from '../claims.js';
import type { FilesystemInfo, FilesystemPlugin } from '../plugin.js';
import { openMap } from './allocation-map.js';
import { kindOf } from './features.js';
import { findFile, listFolder } from './find-file.js';
import { ownersOf } from './owners.js';
import { ext4Records } from './records.js';
import { stateOf } from './state.js';
import { readSuperblock, type Superblock } from './superblock.js';
import { tokenOf } from './token.js';

export const ext4: FilesystemPlugin = {
  name: 'ext4',

  async probe(volume) {
    try {
      const superblock = await readSuperblock(volume);
      return superblock && infoOf(superblock, volume);
    } catch (error) {
      if (error instanceof FormatError) return undefined;
      throw error;
    }
  },

  async readState(volume) {
    return stateOf(volume, await demandSuperblock(volume));
  },

  async openAllocationMap(volume) {
    return openMap(volume, await demandSuperblock(volume));
  },

  async token(volume) {
    return tokenOf(volume, await demandSuperblock(volume));
  },

  async *records(volume) {
    yield* ext4Records(volume, await demandSuperblock(volume));
  },
  async ownersOf(volume, _info, extents) {
    const superblock = await attempt(() => demandSuperblock(volume));
    return superblock ? ownersOf(volume, superblock, extents) : unknownOwners(extents);
  },
  async findFile(volume, _info, path) {
    return findFile(volume, await demandSuperblock(volume), path);
  },
  async listFolder(volume, _info, path) {
    return listFolder(volume, await demandSuperblock(volume), path);
  },
};

function infoOf(superblock: Superblock, volume: Source): FilesystemInfo {
  const { blockCount, freeBlockCount, blockSize, clusterSize } = superblock;
  const size = Math.min(blockCount * blockSize, volume.size);
  return {
    kind: kindOf(superblock),
    label: superblock.label,
    uuid: formatUuid(superblock.uuid),
    size,
    blockSize: clusterSize,
    used: freeBlockCount <= blockCount ? Math.min((blockCount - freeBlockCount) * blockSize, size) : undefined,
    lastWritten: superblock.lastWritten,
    made: superblock.made,
    mounts: superblock.mountCount,
  };
}

function formatUuid(uuid: Buffer): string {
  if (uuid.every((byte) => byte === 0)) return '';
  const hex = uuid.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** The superblock was there when the volume was probed; it may be gone now. */
async function demandSuperblock(volume: Source): Promise<Superblock> {
  const superblock = await readSuperblock(volume);
  if (!superblock) throw new FormatError('the ext superblock has gone');
  return superblock;
}
