// ext2/3/4 by resize2fs, offline.
// Invariant: the tools' clock stands still at the file system's own last change, so the same source gives the same view.

import { programFailed, resizeUnsupported } from '../base/errors/reshape.js';
import { FormatError } from '../base/u64.js';
import { MiB } from '../base/units.js';
import { readSuperblock, type Superblock } from '../filesystem/ext4/superblock.js';
import type { Workbench } from './overlay.js';
import { LONG_LIMIT_SECONDS } from './program.js';
import type { Minimum, Resizer, Volume } from './resizer.js';

/** s_lastcheck, and the high byte of it (kernel Documentation/filesystems/ext4/super.rst). */
const LAST_CHECK = 0x40;
const LAST_CHECK_HIGH = 0x277;
const HAS_JOURNAL = 0x4;
/** The unit of resize2fs's suffix "s", whatever the disk's sectors are. */
const TOOL_SECTOR = 512;
/** e2fsck: 0 sound, 1 small things put right; from 2 on somebody has to look at it. */
const SOUND = [0, 1];

export const ext: Resizer = {
  async accept(volume, wanted) {
    const superblock = await requireSuperblock(volume);
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
    const env = clockOf(await requireSuperblock(volume));
    await check(bench, env);
    await bench.run('resize2fs', [bench.path, `${Math.floor(size / TOOL_SECTOR)}s`], {
      purpose: `resize ${bench.volume}`,
      env,
      limitSeconds: LONG_LIMIT_SECONDS,
    });
  },
};

/** resize2fs demands that it was just checked. What e2fsck may not put right by itself ends the run. */
async function check(bench: Workbench, env: Readonly<Record<string, string>>): Promise<void> {
  const { status } = await bench.run('e2fsck', ['-f', '-p', bench.path], {
    purpose: `check ${bench.volume} before its size is changed`,
    env,
    accept: SOUND,
    limitSeconds: LONG_LIMIT_SECONDS,
  });
  if (status !== 0) bench.note('e2fsck put small things right in the copy; the source keeps them');
}

/** An estimate of resize2fs, which errs to the safe side; what it asks for is rounded up. */
async function findMinimum(volume: Volume, bench: Workbench): Promise<Minimum> {
  const { blockSize } = await requireSuperblock(volume);
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

function clockOf({ raw, lastWritten }: Superblock): Record<string, string> {
  const checked = raw.readUInt32LE(LAST_CHECK) + raw.readUInt8(LAST_CHECK_HIGH) * 2 ** 32;
  const now = `${Math.max(1, Math.floor((lastWritten?.getTime() ?? 0) / 1000), checked)}`;
  // Which of them counts depends on the version of e2fsprogs.
  return { E2FSPROGS_FAKE_TIME: now, E2FSCK_TIME: now, SOURCE_DATE_EPOCH: now };
}

async function requireSuperblock({ source }: Volume): Promise<Superblock> {
  const superblock = await readSuperblock(source);
  if (!superblock) throw new FormatError('no ext superblock');
  return superblock;
}
