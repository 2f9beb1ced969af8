// XFS by the kernel: it grows while it is mounted, and does not shrink.
// Invariant: it is mounted with `nouuid`, because the source with the same UUID may be mounted elsewhere one day.

import { resizeUnsupported } from '../base/errors/reshape.js';
import { FormatError } from '../base/u64.js';
import { readSuperblock } from '../filesystem/xfs/superblock.js';
import { LONG_LIMIT_SECONDS } from './program.js';
import { PRESENT_SIZE, type Resizer } from './resizer.js';

export const xfs: Resizer = {
  async accept({ name, kind, source }) {
    const superblock = await readSuperblock(source);
    if (!superblock) throw new FormatError('no XFS superblock');
    if (!superblock.log) throw resizeUnsupported(name, kind, 'its log lies on another device');
    if (superblock.hasRealtime) throw resizeUnsupported(name, kind, 'part of its files lies on a realtime device');
  },
  minimum: PRESENT_SIZE,
  async resize({ info }, bench, size) {
    const blocks = Math.floor(size / info.blockSize);
    await bench.mounted('xfs', 'nouuid', (folder) =>
      bench.run('xfs_growfs', ['-D', `${blocks}`, folder], {
        purpose: `resize ${bench.volume}`,
        limitSeconds: LONG_LIMIT_SECONDS,
      }),
    );
  },
};
