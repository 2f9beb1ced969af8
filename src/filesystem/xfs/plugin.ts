// XFS, versions 4 and 5.
// Invariant: damage never makes the volume "not mine": a superblock with plausible numbers is recognised even if its
// checksum is wrong; then `readState` says dirty and `openAllocationMap` throws, so that the volume is copied whole.
// Source: "XFS Algorithms & Data Structures" (xfs-documentation), kernel fs/xfs/libxfs.

import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import type { FilesystemInfo, FilesystemPlugin } from '../plugin.js';
import { openMap } from './allocation-map.js';
import { findFile, listFolder } from './find-file.js';
import { recordsOf } from './records.js';
import { stateOf } from './state.js';
import { readSuperblock, type Superblock } from './superblock.js';
import { tokenOf } from './token.js';

export const xfs: FilesystemPlugin = {
  name: 'xfs',

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
    yield* recordsOf(volume, await demandSuperblock(volume));
  },

  async findFile(volume, _info, path) {
    return findFile(volume, await demandSuperblock(volume), path);
  },

  async listFolder(volume, _info, path) {
    return listFolder(volume, await demandSuperblock(volume), path);
  },
};

function infoOf({ blockCount, freeBlockCount, blockSize, label, uuid }: Superblock, volume: Source): FilesystemInfo {
  const size = Math.min(blockCount * blockSize, volume.size);
  return {
    kind: 'xfs',
    label,
    uuid: formatUuid(uuid),
    size,
    blockSize,
    used: freeBlockCount <= blockCount ? Math.min((blockCount - freeBlockCount) * blockSize, size) : undefined,
    // XFS does not say when it was last used.
    lastWritten: undefined,
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
  if (!superblock) throw new FormatError('the XFS superblock has gone');
  return superblock;
}
