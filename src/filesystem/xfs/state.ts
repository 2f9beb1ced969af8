// Whether an XFS volume, as it lies there, is consistent.
// Invariant: `clean` is said only if the log's last record is an unmount; metadata that is in the log alone is in no map.
// Source: "XFS Algorithms & Data Structures", superblocks, journaling log.

import { formatBytesExact } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { CLEAN, type FilesystemState } from '../plugin.js';
import { Incompat, unknownFeatures } from './features.js';
import { readLogHead } from './log.js';
import { isTruncated, type Superblock } from './superblock.js';

const REPAIR = 'Repair it with `xfs_repair`';
const COPY_FILES = 'Copy its files instead';

export async function stateOf(volume: Source, superblock: Superblock): Promise<FilesystemState> {
  if (!superblock.intact) return { kind: 'dirty', reason: 'the checksum of its superblock is wrong', advice: REPAIR };
  const unknown = unknownFeatures(superblock);
  if (unknown !== undefined) {
    return {
      kind: 'unsupported',
      reason: `it has features that this version does not know (${unknown})`,
      advice: 'Use a newer version',
    };
  }
  return elsewhere(volume, superblock) ?? unfinished(superblock) ?? (await logState(volume, superblock));
}

/** Part of it lies elsewhere, or is cut off. */
function elsewhere(volume: Source, superblock: Superblock): FilesystemState | undefined {
  const { blockCount, blockSize, hasRealtime, log } = superblock;
  if (isTruncated(superblock, volume)) {
    const claimed = formatBytesExact(blockCount * blockSize);
    return {
      kind: 'incomplete',
      reason: `it has ${claimed}, but its volume ends after ${formatBytesExact(volume.size)}`,
      advice: 'Bring the volume back to its old size, or check the partition table',
    };
  }
  if (hasRealtime) {
    return { kind: 'incomplete', reason: 'part of its files lies on a realtime device', advice: COPY_FILES };
  }
  if (!log) return { kind: 'incomplete', reason: 'its log lies on another device', advice: COPY_FILES };
  return undefined;
}

function unfinished({ inProgress, incompat }: Superblock): FilesystemState | undefined {
  if (inProgress) return { kind: 'dirty', reason: 'mkfs.xfs did not finish making it', advice: 'Make it again' };
  if ((incompat & Incompat.NEEDS_REPAIR) !== 0) {
    return {
      kind: 'dirty',
      reason: 'it is marked as in need of repair (an xfs_repair was interrupted)',
      advice: REPAIR,
    };
  }
  return undefined;
}

async function logState(volume: Source, superblock: Superblock): Promise<FilesystemState> {
  const head = superblock.log && (await readLogHead(volume, superblock, superblock.log));
  if (!head) {
    return { kind: 'dirty', reason: 'its log is damaged: it holds no record of this file system', advice: REPAIR };
  }
  if (head.unmounted) return CLEAN;
  return {
    kind: 'needs-replay',
    reason: 'it was not unmounted: its log was not replayed',
    advice: 'Mount it and unmount it once; if that fails, run `xfs_repair`',
  };
}
