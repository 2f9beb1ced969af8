// ext2/3/4 by resize2fs, offline.
// Invariant: the tools' clock stands still at the file system's own last change, so the same source gives the same view.

import { programFailed, resizeUnsupported } from '../base/errors/reshape.js';
import { MiB } from '../base/units.js';
import { checkExt, clockOf, requireExt } from './ext-tools.js';
import type { Workbench } from './overlay.js';
import { LONG_LIMIT_SECONDS } from './program.js';
import type { Minimum, Resizer, Volume } from './resizer.js';

const HAS_JOURNAL = 0x4;
/** The unit of resize2fs's suffix "s", whatever the disk's sectors are. */
const TOOL_SECTOR = 512;

export const ext: Resizer = {
  async accept(volume, wanted) {
    const superblock = await requireExt(volume.source);
    const refuse = (reason: string): never => {
      throw resizeUnsupported(volume.name, volume.kind, reason);
    };
    if ((superblock.compat & HAS_JOURNAL) !== 0 && superblock.journalInode === 0) {
      refuse('its journal lies on another device');
    }
    if (superblock.blocksPerCluster > 1 && wanted < volume.info.size) {
      refuse('resize2fs does not shrink file systems with clusters of several blocks (bigalloc)');
    }
  },
  minimum: { by: 'tool', find: findMinimum },
  async resize(volume, bench, size) {
    const env = clockOf(await requireExt(volume.source));
    await checkExt(bench, { env, before: 'its size is changed' });
    await bench.run('resize2fs', [bench.path, `${Math.floor(size / TOOL_SECTOR)}s`], {
      purpose: `resize ${bench.volume}`,
      env,
      limitSeconds: LONG_LIMIT_SECONDS,
    });
  },
};

/** An estimate of resize2fs, which errs to the safe side; what it asks for is rounded up. */
async function findMinimum(volume: Volume, bench: Workbench): Promise<Minimum> {
  const { blockSize } = await requireExt(volume.source);
  const { stdout, stderr } = await bench.run('resize2fs', ['-P', bench.path], {
    purpose: `find out how small ${bench.volume} can be`,
    limitSeconds: LONG_LIMIT_SECONDS,
  });
  const blocks = Number(/minimum size of the filesystem: (\d+)/i.exec(stdout)?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(blocks)) {
    throw programFailed('resize2fs', `find out how small ${bench.volume} can be`, { status: 0, said: [stderr.trim()] });
  }
  return { minimum: Math.ceil((blocks * blockSize) / MiB) * MiB, reason: 'what resize2fs needs for its files' };
}
