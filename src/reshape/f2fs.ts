// F2FS by resize.f2fs, offline.
// Invariant: shrinking is the "safe" way, which leaves the metadata where it is.

import { resizeUnsupported } from '../base/errors/reshape.js';
import { FormatError } from '../base/u64.js';
import { MiB } from '../base/units.js';
import { readCheckpoint } from '../filesystem/f2fs/checkpoint.js';
import {
  BLOCK,
  parseSuperblock,
  SEGMENT_BLOCKS,
  SUPERBLOCK_LENGTH,
  SUPERBLOCK_OFFSET,
  type Superblock,
} from '../filesystem/f2fs/superblock.js';
import type { Source } from '../source/types.js';
import { LONG_LIMIT_SECONDS } from './program.js';
import type { Resizer } from './resizer.js';

/** The unit of resize.f2fs on plain files. */
const TOOL_SECTOR = 512;
/**
 * What valid blocks need around them: segments that are partly filled, the six open ones, and those that the file system
 * keeps for its own cleaning. Measured, a little generously; resize.f2fs names no minimum.
 */
const LOOSENESS = 1.3;
const SPARE_SEGMENTS = 24;

export const f2fs: Resizer = {
  async accept({ name, kind, source }) {
    const { hasMoreDevices } = await requireSuperblock(source);
    if (hasMoreDevices) throw resizeUnsupported(name, kind, 'part of it lies on other devices');
  },
  minimum: {
    by: 'reading',
    async find({ source, info }) {
      const superblock = await requireSuperblock(source);
      const { validBlocks } = await readCheckpoint(source, superblock);
      const blocks = superblock.mainBlock + validBlocks * LOOSENESS + SPARE_SEGMENTS * SEGMENT_BLOCKS;
      const minimum = Math.min(info.size, Math.ceil((blocks * BLOCK) / MiB) * MiB);
      return { minimum, reason: 'its files, its metadata and room for cleaning, estimated' };
    },
  },
  async resize({ info }, bench, size) {
    const way = size < info.size ? ['-s'] : [];
    await bench.run('resize.f2fs', [...way, '-t', `${Math.floor(size / TOOL_SECTOR)}`, bench.path], {
      purpose: `resize ${bench.volume}`,
      limitSeconds: LONG_LIMIT_SECONDS,
    });
    // It ends with 0 even where it did nothing, or too much.
    await bench.run('fsck.f2fs', ['-f', '--dry-run', bench.path], {
      purpose: `check ${bench.volume} after its size was changed`,
      limitSeconds: LONG_LIMIT_SECONDS,
    });
  },
};

async function requireSuperblock(source: Source): Promise<Superblock> {
  const bytes = Buffer.alloc(SUPERBLOCK_LENGTH);
  await source.read(bytes, SUPERBLOCK_OFFSET);
  const superblock = parseSuperblock(bytes);
  if (!superblock) throw new FormatError('no F2FS superblock');
  return superblock;
}
