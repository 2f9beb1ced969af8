// btrfs by the kernel, mounted; only file systems of one device.
// Invariant: the kernel sees it under a temporary fsid only, and the finished view bears its own again.

import { programFailed, resizeUnsupported } from '../base/errors/reshape.js';
import { FormatError } from '../base/u64.js';
import { type Bytes, MiB } from '../base/units.js';
import { readSuperblock, type Superblock } from '../filesystem/btrfs/superblock.js';
import { disguise, restore } from './btrfs-identity.js';
import type { Workbench } from './overlay.js';
import { LONG_LIMIT_SECONDS } from './program.js';
import type { Minimum, Resizer, Volume } from './resizer.js';

const SEEDING = 1n << 32n;
/** The kernel makes no device smaller than this (fs/btrfs/ioctl.c, btrfs_ioctl_resize). */
const SMALLEST: Bytes = 256 * MiB;
/** No work of its own while it is mounted: no discards, no balance that was paused. */
const MOUNT_OPTIONS = 'skip_balance,nodiscard';

export const btrfs: Resizer = {
  async accept({ name, kind, source }) {
    const { deviceCount, flags } = await requireSuperblock(source);
    if (deviceCount !== 1) throw resizeUnsupported(name, kind, `it lies on ${deviceCount} devices`);
    if ((flags & SEEDING) !== 0n) throw resizeUnsupported(name, kind, 'it is a seed, which nobody may change');
  },
  minimum: { by: 'tool', find: findMinimum },
  async resize({ source }, bench, size) {
    const { deviceId } = await requireSuperblock(source);
    await disguised(bench, () =>
      bench.mounted('btrfs', MOUNT_OPTIONS, (folder) =>
        bench.run('btrfs', ['filesystem', 'resize', `${deviceId}:${size}`, folder], {
          purpose: `resize ${bench.volume}`,
          limitSeconds: LONG_LIMIT_SECONDS,
        }),
      ),
    );
  },
};

/** It counts whole chunks, and a place to move one to; what they hold is often much less. */
async function findMinimum({ source }: Volume, bench: Workbench): Promise<Minimum> {
  const { deviceId } = await requireSuperblock(source);
  const purpose = `find out how small ${bench.volume} can be`;
  const { stdout } = await disguised(bench, () =>
    bench.mounted('btrfs', MOUNT_OPTIONS, (folder) =>
      bench.run('btrfs', ['inspect-internal', 'min-dev-size', '--id', `${deviceId}`, folder], { purpose }),
    ),
  );
  const bytes = Number(/^(\d+) bytes/m.exec(stdout)?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(bytes)) throw programFailed('btrfs', purpose, { status: 0, said: [stdout.trim()] });
  return {
    minimum: Math.max(SMALLEST, Math.ceil(bytes / MiB) * MiB),
    reason: 'its chunks, which `btrfs balance` on the source may make fewer; never less than 256 MiB',
  };
}

/** Runs `work` while the file system in the view bears another name. */
export async function disguised<T>({ path }: Pick<Workbench, 'path'>, work: () => Promise<T>): Promise<T> {
  const names = await disguise(path);
  const result = await work();
  await restore(path, names);
  return result;
}

async function requireSuperblock(source: Volume['source']): Promise<Superblock> {
  const superblock = await readSuperblock(source);
  if (!superblock) throw new FormatError('no btrfs superblock');
  return superblock;
}
