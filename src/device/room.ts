// How much a file system can still take: for targets that are files.

import { statfsSync, statSync } from 'node:fs';
import type { Bytes } from '../base/units.js';

/** st_blocks counts in these units whatever the file system's block is (POSIX, sys/stat.h on Linux). */
const STAT_UNIT = 512;

/** Bytes that this process may still fill on the file system that holds `path`. */
export function freeSpace(path: string): Bytes {
  const { bfree, bavail, bsize } = statfsSync(path);
  return (process.getuid?.() === 0 ? bfree : bavail) * bsize;
}

/** Bytes that a file occupies: less than its size if it has holes. */
export function occupiedBytes(path: string): Bytes {
  return statSync(path).blocks * STAT_UNIT;
}
