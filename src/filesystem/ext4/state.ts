// Whether an ext2/3/4 volume, as it lies there, is consistent.
// Invariant: with a journal the state word says nothing about a mount: `needs_recovery` does. Orphans waiting for the
// next mount are no damage.
// Source: kernel Documentation/filesystems/ext4/{super,mmp,orphan}.rst.

import { formatBytesExact } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { CLEAN, type FilesystemState } from '../plugin.js';
import { Compat, Incompat, unknownFeatures } from './features.js';
import { isTruncated, type Superblock } from './superblock.js';

const STATE_CLEAN = 0x1;
const STATE_ERRORS = 0x2;

const MMP_MAGIC = 0x004d4d50;
const MMP_SEQUENCE_AT = 4;
const MMP_NODE_AT = 16;
const MMP_NODE_LENGTH = 64;
const MMP_LENGTH = 1024;
const MMP_NOT_IN_USE = 0xff4d4d50;
const MMP_FSCK = 0xe24d4d50;

const CHECK = 'Check it with `e2fsck -f`';

/** True if the kernel found errors in it: what it says of itself may be wrong. */
export function hasErrors({ state }: Superblock): boolean {
  return (state & STATE_ERRORS) !== 0;
}

/** Counters and bitmaps are exact: it was unmounted, or frozen, in order. */
export function isCleanlyUnmounted({ incompat, state }: Superblock): boolean {
  return (incompat & Incompat.RECOVER) === 0 && (state & STATE_CLEAN) !== 0 && (state & STATE_ERRORS) === 0;
}

export async function stateOf(volume: Source, superblock: Superblock): Promise<FilesystemState> {
  const { state } = superblock;
  if (!superblock.intact) return dirty('the checksum of its superblock is wrong', CHECK);
  const unknown = unknownFeatures(superblock);
  if (unknown !== undefined) {
    return {
      kind: 'unsupported',
      reason: `it has features that this version does not know (${unknown})`,
      advice: 'Use a newer version',
    };
  }
  if (isTruncated(superblock, volume)) return truncated(volume, superblock);
  const inUse = await multipleMountState(volume, superblock);
  if (inUse) return inUse;
  if ((superblock.incompat & Incompat.RECOVER) !== 0) return unreplayed(superblock);
  if ((state & STATE_ERRORS) !== 0) return dirty('the kernel found errors in it and marked it', CHECK);
  if ((state & STATE_CLEAN) === 0) return dirty('it was not unmounted', 'Unmount it, or check it with `e2fsck -p`');
  return CLEAN;
}

function truncated(volume: Source, { blockCount, blockSize }: Superblock): FilesystemState {
  const claimed = formatBytesExact(blockCount * blockSize);
  return {
    kind: 'incomplete',
    reason: `it has ${claimed}, but its volume ends after ${formatBytesExact(volume.size)}`,
    advice: 'Bring the volume back to its old size, or check the partition table',
  };
}

function unreplayed({ compat, journalInode }: Superblock): FilesystemState {
  if ((compat & Compat.HAS_JOURNAL) === 0) return dirty('it asks for a journal replay but has no journal', CHECK);
  if (journalInode === 0) {
    return {
      kind: 'incomplete',
      reason: 'its journal lies on another device and was not replayed (needs_recovery is set)',
      advice: 'Mount it together with its journal device and unmount it',
    };
  }
  return {
    kind: 'needs-replay',
    reason: 'its journal was not replayed (needs_recovery is set)',
    advice: 'Mount it and unmount it',
  };
}

/** Multiple mount protection: the block where a node that has the volume mounted counts. */
async function multipleMountState(volume: Source, superblock: Superblock): Promise<FilesystemState | undefined> {
  const { incompat, mmpBlock, blockCount, blockSize } = superblock;
  if ((incompat & Incompat.MMP) === 0) return undefined;
  if (mmpBlock === 0 || mmpBlock >= blockCount) {
    return dirty('its multiple mount protection block lies outside it', CHECK);
  }
  const raw = Buffer.alloc(MMP_LENGTH);
  await volume.read(raw, mmpBlock * blockSize);
  if (raw.readUInt32LE(0) !== MMP_MAGIC) return dirty('its multiple mount protection block is damaged', CHECK);
  const sequence = raw.readUInt32LE(MMP_SEQUENCE_AT);
  if (sequence === MMP_NOT_IN_USE) return undefined;
  if (sequence === MMP_FSCK) return dirty('e2fsck is running on it, or was interrupted', CHECK);
  const name = raw.subarray(MMP_NODE_AT, MMP_NODE_AT + MMP_NODE_LENGTH);
  const end = name.indexOf(0);
  const node = name.toString('latin1', 0, end < 0 ? MMP_NODE_LENGTH : end).replace(/[^\x20-\x7e]/g, '?');
  return dirty(
    `it is in use by another node${node === '' ? '' : ` (${node})`}, or was not unmounted there (MMP)`,
    'Unmount it there, or clear the mark with `tune2fs -f -E clear_mmp`',
  );
}

function dirty(reason: string, advice: string): FilesystemState {
  return { kind: 'dirty', reason, advice };
}
