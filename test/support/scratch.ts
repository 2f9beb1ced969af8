// A folder for one test file, in memory where the machine has room for that, gone when the process ends.

import { accessSync, constants, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GiB } from '../../src/base/units.js';

/** Containers often get 64 MiB of shared memory. */
const ROOM = 3 * GiB;

function memoryFolder(): string {
  try {
    accessSync('/dev/shm', constants.W_OK);
    const { bavail, bsize } = statfsSync('/dev/shm');
    return bavail * bsize >= ROOM ? '/dev/shm' : tmpdir();
  } catch {
    return tmpdir();
  }
}

/** The path of a new empty folder. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(memoryFolder(), 'ectype-test-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
