// A swap file whose pages can be found in the image of its file system: paging writes there, past every inode.

import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { KiB, MiB } from '../../src/base/units.js';
import type { Random } from './random.js';
import { run, tryRun } from './run.js';

export const SWAP_FILE = 'swap/file';
const PAGE = 4 * KiB;
const PAGES = 96;
/** Pages begin wherever blocks do. */
const SECTOR = 512;
const MARK = Buffer.from('a page that somebody swapped out');

/** Where pages may be swapped to; `named`: an fstab names the file, so that clones may leave it out. */
export function makeSwap(folder: string, named: boolean): void {
  const path = join(folder, SWAP_FILE);
  mkdirSync(join(folder, 'swap'));
  writeFileSync(path, '');
  tryRun('chattr', ['+C', path]); // btrfs takes no other, and the rest knows no such thing
  const content = Buffer.alloc(PAGES * PAGE, '.');
  for (let page = 0; page < PAGES; page += 1) MARK.copy(content, page * PAGE);
  writeFileSync(path, content);
  chmodSync(path, 0o600);
  run('mkswap', ['-q', path]);
  if (!named) return;
  mkdirSync(join(folder, 'etc'));
  writeFileSync(join(folder, 'etc/fstab'), '/swap/file none swap sw 0 0\n');
}

export function hasSwap(folder: string): boolean {
  return existsSync(join(folder, SWAP_FILE));
}

/** The kernel takes the file for a moment, if it may. Returns what happened. */
export function useSwap(folder: string): string {
  const path = join(folder, SWAP_FILE);
  if (tryRun('swapon', [path]).status !== 0) return 'swapon refused';
  run('swapoff', [path]);
  return 'swapon';
}

/** Writes pages as the kernel does: to the blocks of the file, wherever they lie. Returns how many. */
export function pageOut(image: string, random: Random): number {
  const fd = openSync(image, 'r+');
  let count = 0;
  try {
    const { size } = fstatSync(fd);
    const piece = Buffer.alloc(MiB);
    for (let offset = 0; offset < size; offset += MiB) {
      const length = readSync(fd, piece, 0, MiB, offset);
      for (let at = 0; at < length; at += SECTOR) {
        if (MARK.compare(piece, at, at + MARK.length) !== 0 || random.chance(0.5)) continue;
        writeSync(fd, random.bytes(64), 0, 64, offset + at + MARK.length);
        count += 1;
      }
    }
  } finally {
    closeSync(fd);
  }
  return count;
}
