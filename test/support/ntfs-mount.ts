// Mounts an NTFS image through ntfs-3g (FUSE) for the time of one action.
// Invariant: when it returns, the file system is unmounted and ntfs-3g has written everything and ended.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, tryRun } from './run.js';

const WAIT_MS = 10;
const WAITS = 1000;

/**
 * Runs `action` on the mounted volume. `killed`: ends ntfs-3g with SIGKILL instead of unmounting properly. `device`: through
 * which the image is mounted, if not directly.
 */
export async function withNtfsMounted<T>(
  image: string,
  action: (folder: string) => T | Promise<T>,
  { options = '', killed = false, device = image }: { options?: string; killed?: boolean; device?: string } = {},
): Promise<T> {
  const folder = mkdtempSync(`${image}-mount-`);
  const driver = spawn('ntfs-3g', ['-o', `no_detach,${options || 'rw'}`, device, folder], { stdio: 'pipe' });
  let said = '';
  driver.stderr.on('data', (piece: Buffer) => {
    said += piece.toString();
  });
  const ended = new Promise<void>((resolve) => driver.on('close', () => resolve()));
  try {
    await mounted(
      folder,
      () => driver.exitCode,
      () => said,
    );
    try {
      return await action(folder);
    } finally {
      if (killed) driver.kill('SIGKILL');
      else await unmount(folder);
      await ended;
      if (killed) run('fusermount', ['-uz', folder]);
    }
  } finally {
    rmdirSync(folder);
  }
}

/** On a crowded machine somebody else may look at the folder just now. */
async function unmount(folder: string): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    if (tryRun('fusermount', ['-u', folder]).status === 0) return;
    await sleep(WAIT_MS);
  }
  run('fusermount', ['-u', folder]);
}

async function mounted(folder: string, exitCode: () => number | null, said: () => string): Promise<void> {
  for (let wait = 0; wait < WAITS; wait += 1) {
    if (readFileSync('/proc/self/mounts', 'utf8').includes(` ${folder} `)) return;
    if (exitCode() !== null) break;
    await sleep(WAIT_MS);
  }
  throw new Error(`ntfs-3g did not mount: ${said()}`);
}

/** Makes a file of a mounted volume what Windows makes its own files: hidden, system, archive. */
export function asWindowsOwn(path: string): void {
  run('setfattr', ['-n', 'system.ntfs_attrib_be', '-v', '0x00000026', path]);
}

/** Path and sha256 of every file below `folder`. */
export function hashTree(folder: string): Map<string, string> {
  const hashes = new Map<string, string>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    hashes.set(relative(folder, path), createHash('sha256').update(readFileSync(path)).digest('hex'));
  }
  return hashes;
}
