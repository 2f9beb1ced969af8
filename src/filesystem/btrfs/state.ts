// Whether a copy of the volume, as it lies there, is a consistent file system.
// Invariant: a btrfs is consistent at every commit; what is not in a commit is in the log tree, and says so.
// One device of several is no file system: the copies of all of them are one only if they were taken together. So it is
// `incomplete`, though its map may be readable; who clones the whole set says so with --forensic.

import { formatBytesExact } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { CLEAN, type FilesystemState } from '../plugin.js';
import { halfChanged, hasErrors, unknownFeatures } from './features.js';
import { isTruncated, type Superblock } from './superblock.js';

const CHECK = 'Check it with `btrfs check`';

export function stateOf(volume: Source, superblock: Superblock): FilesystemState {
  const unknown = unknownFeatures(superblock);
  if (unknown !== undefined) {
    return {
      kind: 'unsupported',
      reason: `it has features that this version does not know (${unknown})`,
      advice: 'Use a newer version',
    };
  }
  if (!superblock.intact) return dirty('its superblock is damaged', 'Repair it with `btrfs rescue super-recover`');
  if (isTruncated(superblock, volume)) return truncated(volume, superblock);
  const changed = halfChanged(superblock);
  if (changed !== undefined) {
    return dirty(`a change of its ${changed} was interrupted`, 'Finish it with the same `btrfstune` command');
  }
  if (hasErrors(superblock)) return dirty('the kernel found errors in it and marked it', CHECK);
  if (superblock.deviceCount > 1) return oneOfSeveral(superblock);
  if (superblock.logRoot !== 0) {
    return {
      kind: 'needs-replay',
      reason: 'its log tree was not replayed (what was written with fsync before a crash)',
      advice: 'Mount it and unmount it',
    };
  }
  return CLEAN;
}

function oneOfSeveral({ deviceCount }: Superblock): FilesystemState {
  return {
    kind: 'incomplete',
    reason: `it is one of the ${deviceCount} devices of its file system`,
    advice: `Clone all ${deviceCount} devices while none of them is mounted, each with --forensic`,
  };
}

function truncated(volume: Source, { deviceSize }: Superblock): FilesystemState {
  return {
    kind: 'incomplete',
    reason: `it has ${formatBytesExact(deviceSize)}, but its volume ends after ${formatBytesExact(volume.size)}`,
    advice: 'Bring the volume back to its old size, or check the partition table',
  };
}

function dirty(reason: string, advice: string): FilesystemState {
  return { kind: 'dirty', reason, advice };
}
