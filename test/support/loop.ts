// Loop devices of this process, and mounts through them, gone when their work is done. Needs root.

import { mkdirSync } from 'node:fs';
import { run } from './run.js';
import { emptyFile } from './sample-disk.js';

export interface LoopOptions {
  readonly sectorSize?: number;
  readonly readOnly?: boolean;
}

/** Runs `work` with a loop device over `path`. */
export function withLoopDevice<T>(path: string, work: (device: string) => T, options: LoopOptions = {}): T {
  const { sectorSize = 512, readOnly = false } = options;
  const flags = ['-f', '--show', '-b', String(sectorSize), ...(readOnly ? ['-r'] : [])];
  const device = run('losetup', [...flags, path]).trim();
  try {
    return work(device);
  } finally {
    run('losetup', ['-d', device]);
  }
}

/** Makes an ext4 in `image`, mounts it and unmounts it again. */
export function withExt4Mounted<T>(image: string, size: number, work: (folder: string) => T): T {
  emptyFile(image, size);
  run('mke2fs', ['-q', '-F', '-t', 'ext4', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image]);
  const folder = `${image}.mounted`;
  mkdirSync(folder);
  run('mount', ['-t', 'ext4', '-o', 'loop', image, folder]);
  try {
    return work(folder);
  } finally {
    run('umount', [folder]);
  }
}

/** Whether loop devices can be made here at all. */
export const HAS_LOOP: boolean = process.getuid?.() === 0;
