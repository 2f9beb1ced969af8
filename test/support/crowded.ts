// File systems in memory with hardly any room: where ENOSPC comes from. Needs root.

import { mkdirSync, rmdirSync } from 'node:fs';
import { run } from './run.js';

export interface CrowdedFolder {
  readonly path: string;
  /** Mounts it again with other options, such as `size=100m` or `ro`. */
  remount(options: string): void;
}

/** Runs `body` with a tmpfs of `size` at `path`; unmounts it whatever happens. */
export async function withCrowdedFolder<T>(
  path: string,
  size: string,
  body: (folder: CrowdedFolder) => Promise<T>,
): Promise<T> {
  mkdirSync(path);
  run('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path]);
  try {
    return await body({ path, remount: (options) => void run('mount', ['-o', `remount,${options}`, path]) });
  } finally {
    run('umount', [path]);
    rmdirSync(path);
  }
}
