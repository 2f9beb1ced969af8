// A folder for one test file, in memory where the machine allows it, gone when the process ends.

import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

function memoryFolder(): string {
  try {
    accessSync('/dev/shm', constants.W_OK);
    return '/dev/shm';
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
