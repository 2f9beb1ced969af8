// Where a mapfile may be written: never over anything that is not one.

import { closeSync, existsSync, openSync, readSync, realpathSync, statSync } from 'node:fs';
import { badOption } from '../base/errors/usage.js';
import { refuseUnmakeable } from '../location/ends.js';
import { MAPFILE_HEAD } from '../state/mapfile.js';

/** Throws before anything else is done: after hours of reading it would be too late. */
export function refuseMapfile(path: string, ends: readonly string[]): void {
  refuseUnmakeable(path);
  if (!existsSync(path)) {
    if (ends.includes(path)) throw badOption('--mapfile', path, 'wanted is another file than source and target');
    return;
  }
  const isEnd = ends.some((end) => existsSync(end) && realpathSync(end) === realpathSync(path));
  if (isEnd || !isMapfile(path)) {
    throw badOption('--mapfile', path, 'wanted is a new file, or a mapfile of an earlier run (this is something else)');
  }
}

function isMapfile(path: string): boolean {
  if (!statSync(path).isFile()) return false;
  const head = Buffer.alloc(MAPFILE_HEAD.length);
  const fd = openSync(path, 'r');
  try {
    const got = readSync(fd, head, 0, head.length, 0);
    return got === 0 || head.toString('latin1', 0, got) === MAPFILE_HEAD;
  } finally {
    closeSync(fd);
  }
}
