// Whether an F2FS volume may be copied as it lies there: its devices and features, and its checkpoint's flags.
// Invariant: `clean` is said only after all of them were read; what cannot be read is not clean.
// Rules: kernel fs/f2fs/checkpoint.c and recovery.c; fsck.f2fs.

import { FormatError } from '../../base/u64.js';
import { formatBytesExact } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { CLEAN, type FilesystemState } from '../plugin.js';
import { FLAG, readCheckpoint } from './checkpoint.js';
import { BLOCK, type Superblock } from './superblock.js';

const CHECK = 'Run fsck.f2fs on it';

/** Never throws on hostile content. */
export async function readF2fsState(volume: Source, superblock: Superblock): Promise<FilesystemState> {
  const span = superblock.blockCount * BLOCK;
  if (superblock.hasMoreDevices) {
    return {
      kind: 'incomplete',
      reason: 'part of it lies on other devices',
      advice: 'Copy its files instead, or copy all of its devices',
    };
  }
  if (span > volume.size) {
    return {
      kind: 'incomplete',
      reason: `the file system spans ${formatBytesExact(span)}, the volume has ${formatBytesExact(volume.size)}`,
      advice: 'Give the whole volume as the source; if it was cut off, grow it back to its size',
    };
  }
  if (superblock.unsupported !== 0) {
    return {
      kind: 'unsupported',
      reason: `it has features that ectype does not know (0x${superblock.unsupported.toString(16)})`,
      advice: 'Copy its files instead',
    };
  }
  if (!superblock.isWhole) return dirty('the checksum of its superblock is wrong');
  try {
    return stateOf((await readCheckpoint(volume, superblock)).flags);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return dirty(`its metadata is damaged (${error.message})`);
  }
}

function stateOf(flags: number): FilesystemState {
  if ((flags & FLAG.error) !== 0) return dirty('it is marked as having errors');
  if ((flags & FLAG.needsFsck) !== 0) return dirty('it is marked to be checked');
  if ((flags & FLAG.resizing) !== 0) return dirty('resizing it did not end');
  if ((flags & FLAG.disabled) !== 0) {
    return {
      kind: 'needs-replay',
      reason: 'its checkpoints are switched off',
      advice: 'Mount it once with "checkpoint=enable" and unmount it',
    };
  }
  if ((flags & FLAG.unmounted) !== 0) return CLEAN;
  return {
    kind: 'needs-replay',
    reason: 'it was not unmounted: what was written after its last checkpoint is not in its tables',
    advice: 'Mount it once and unmount it',
  };
}

function dirty(reason: string): FilesystemState {
  return { kind: 'dirty', reason, advice: CHECK };
}
