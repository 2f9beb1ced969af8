// F2FS, as Linux makes it for pages of 4 KiB.
// Invariant: the geometry is read anew from the superblock each time; nothing is kept between calls.
// Format: kernel include/linux/f2fs_fs.h; each file here names its part.

import { DigestStream } from '../../base/digest.js';
import { FormatError } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import type { FilesystemPlugin } from '../plugin.js';
import { openF2fsAllocationMap } from './allocation-map.js';
import { readBlocks, readCheckpoint } from './checkpoint.js';
import { readF2fsState } from './state.js';
import {
  BLOCK,
  parseSuperblock,
  SEGMENT_BLOCKS,
  SUPERBLOCK_LENGTH,
  SUPERBLOCK_OFFSET,
  type Superblock,
} from './superblock.js';

export const f2fs: FilesystemPlugin = {
  name: 'f2fs',
  async probe(volume) {
    const superblock = await readSuperblock(volume);
    if (!superblock) return undefined;
    return {
      kind: 'f2fs',
      label: superblock.label,
      uuid: superblock.uuid,
      size: Math.min(superblock.blockCount * BLOCK, volume.size),
      blockSize: BLOCK,
      used: await usedBytes(volume, superblock),
      lastWritten: undefined,
    };
  },
  async readState(volume) {
    return readF2fsState(volume, await requireSuperblock(volume));
  },
  async openAllocationMap(volume) {
    return openF2fsAllocationMap(volume, await requireSuperblock(volume));
  },
  async token(volume) {
    return tokenOf(volume, await requireSuperblock(volume));
  },
};

/** Every writing mount and every repair ends with a checkpoint; a new label changes the superblock only. */
async function tokenOf(volume: Source, superblock: Superblock): Promise<Buffer> {
  await readCheckpoint(volume, superblock);
  const digest = new DigestStream();
  digest.add(superblock.raw);
  for (const pack of [0, 1]) {
    digest.add(await readBlocks(volume, superblock.checkpointBlock + pack * SEGMENT_BLOCKS, 1 + superblock.payload));
  }
  return digest.finish();
}

async function readSuperblock(volume: Source): Promise<Superblock | undefined> {
  if (volume.size < SUPERBLOCK_OFFSET + SUPERBLOCK_LENGTH) return undefined;
  const bytes = Buffer.alloc(SUPERBLOCK_LENGTH);
  await volume.read(bytes, SUPERBLOCK_OFFSET);
  return parseSuperblock(bytes);
}

async function requireSuperblock(volume: Source): Promise<Superblock> {
  const superblock = await readSuperblock(volume);
  if (!superblock) throw new FormatError('no F2FS superblock');
  return superblock;
}

/** As the checkpoint counts; undefined if there is none. */
async function usedBytes(volume: Source, superblock: Superblock): Promise<Bytes | undefined> {
  try {
    const { validBlocks } = await readCheckpoint(volume, superblock);
    const used = superblock.mainBlock + validBlocks;
    return used <= superblock.blockCount ? used * BLOCK : undefined;
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
