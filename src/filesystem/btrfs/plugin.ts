// btrfs, one device at a time.
// Invariant: damage never makes the volume "not mine": a superblock with plausible numbers is recognised even if its
// checksum is wrong; then `readState` says dirty and `openAllocationMap` throws, so that the volume is copied whole.
// Source: btrfs on-disk format documentation (btrfs.readthedocs.io, On-disk Format); kernel btrfs_tree.h.

import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import type { FilesystemInfo, FilesystemPlugin } from '../plugin.js';
import { openMap } from './allocation-map.js';
import { recordsOf } from './records.js';
import { stateOf } from './state.js';
import { demandSuperblock, readSuperblock, type Superblock } from './superblock.js';
import { tokenOf } from './token.js';

export const btrfs: FilesystemPlugin = {
  name: 'btrfs',

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

  tokenMissesPaging: true,

  records(volume, info) {
    return recordsOf(volume, info);
  },
};

function infoOf(superblock: Superblock, volume: Source): FilesystemInfo {
  const { bytesUsed, deviceCount, deviceSize, sectorSize, root } = superblock;
  const size = Math.min(deviceSize, volume.size);
  return {
    kind: 'btrfs',
    label: superblock.label,
    uuid: formatUuid(superblock.fsid),
    size,
    blockSize: sectorSize,
    // With several devices nothing says how much of it lies on this one.
    used: deviceCount === 1 ? Math.min(bytesUsed, size) : undefined,
    lastWritten: undefined,
    commit: root.generation,
  };
}

function formatUuid(uuid: Buffer): string {
  const hex = uuid.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
