// Loop devices of this process, detached when their work is done. Needs root.

import { run } from './run.js';

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

/** Whether loop devices can be made here at all. */
export const HAS_LOOP: boolean = process.getuid?.() === 0;
