// NTFS by ntfsresize.
// Invariant: the copy is left as ntfsresize wants it, marked for a check by Windows: its authors count on that check.

import { programFailed } from '../base/errors/reshape.js';
import { type Bytes, MiB } from '../base/units.js';
import { BOOT_SECTOR_LENGTH, parseBootSector } from '../filesystem/ntfs/boot-sector.js';
import { openDiskTarget } from '../source/disk.js';
import type { Workbench } from './overlay.js';
import { LONG_LIMIT_SECONDS } from './program.js';
import type { Minimum, Resizer } from './resizer.js';

/** ntfsresize counts clusters in use; what it moves may need longer run lists and a record more. */
const MARGIN = 1 / 100;

export const ntfs: Resizer = {
  minimum: { by: 'tool', find: (_, bench) => findMinimum(bench) },
  async resize(_, bench, size) {
    const args = ['--force', '--no-progress-bar', '--size', `${size}`, bench.path];
    const limitSeconds = LONG_LIMIT_SECONDS;
    // It finds most obstacles in the run that changes nothing.
    await bench.run('ntfsresize', ['--no-action', ...args], { purpose: `resize ${bench.volume}`, limitSeconds });
    await bench.run('ntfsresize', args, { purpose: `resize ${bench.volume}`, limitSeconds });
    await writeBackupBootSector(bench.path, size);
    bench.note(
      'Windows checks it (chkdsk) once when it is used for the first time: that is due after a change of size',
    );
  },
};

async function findMinimum(bench: Workbench): Promise<Minimum> {
  const purpose = `find out how small ${bench.volume} can be`;
  const { stdout, status } = await bench.run('ntfsresize', ['--force', '--info', '--no-progress-bar', bench.path], {
    purpose,
    limitSeconds: LONG_LIMIT_SECONDS,
  });
  const bytes = Number(/You might resize at (\d+) bytes/.exec(stdout)?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(bytes)) {
    throw programFailed('ntfsresize', purpose, { status, said: ['it named no size'] });
  }
  const minimum = Math.ceil((bytes * (1 + MARGIN)) / MiB + 1) * MiB;
  return { minimum, reason: 'what ntfsresize needs for its files, and 1 % to move them' };
}

/** Right behind the last sector that the file system counts, and in the volume's last one, where Windows puts it. */
async function writeBackupBootSector(path: string, size: Bytes): Promise<void> {
  const view = openDiskTarget(path, { direct: false });
  try {
    const head = Buffer.alloc(BOOT_SECTOR_LENGTH);
    await view.read(head, 0);
    const boot = parseBootSector(head);
    if (!boot) return; // the look at the finished view will say so
    const { sectorSize, totalSectors } = boot;
    const sector = Buffer.alloc(sectorSize);
    await view.read(sector, 0);
    const places = new Set([totalSectors * sectorSize, (Math.floor(size / sectorSize) - 1) * sectorSize]);
    for (const place of places) {
      if (place >= totalSectors * sectorSize && place + sectorSize <= size) await view.write(sector, place);
    }
    await view.flush();
  } finally {
    await view.close();
  }
}
