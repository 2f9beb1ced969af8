// Opens mounted file systems, to freeze and thaw them through a descriptor.
// Invariant: the descriptor belongs to the file system that was asked for, whatever was mounted over it since.

import { closeSync, constants, openSync, statSync } from 'node:fs';
import { cannotOpen } from '../base/errors/device.js';
import { mountOutOfReach } from '../base/errors/live.js';
import { mountIdOf, mounts } from './mount-table.js';
import type { MountedFilesystem } from './mounts.js';

/** A file system that a descriptor keeps mounted. */
export interface OpenMount {
  readonly fd: number;
  /** Where it is mounted: for messages. */
  readonly point: string;
}

/** All of them or none. The caller closes them. */
export function openMounts(filesystems: readonly MountedFilesystem[]): OpenMount[] {
  const open: OpenMount[] = [];
  try {
    for (const filesystem of filesystems) open.push(openMount(filesystem));
    return open;
  } catch (error) {
    closeMounts(open);
    throw error;
  }
}

export function closeMounts(open: readonly OpenMount[]): void {
  for (const { fd } of open) closeSync(fd);
}

function openMount({ device, points, places }: MountedFilesystem): OpenMount {
  for (const point of points) {
    const fd = openPoint(point);
    if (fd === undefined) continue;
    const id = mountIdOf(fd);
    if (mounts().some((mount) => mount.id === id && mount.device === device)) return { fd, point };
    closeSync(fd); // hidden: something else is mounted over it
  }
  throw mountOutOfReach(points[0] ?? places[0]?.path ?? device);
}

/** A folder or a file: single files are mounted, too (bind mounts of containers). Nothing else is opened. */
function openPoint(point: string): number | undefined {
  try {
    const stats = statSync(point);
    if (!stats.isDirectory() && !stats.isFile()) return undefined;
    return openSync(point, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw cannotOpen(point, cause);
  }
}
