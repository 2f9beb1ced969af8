// Loop devices with direct I/O to their backing file where its file system allows that. Each is detached by its owner.

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { run, tryRun } from './run.js';

/** Runs `body` with a loop device over `path`; detaches it whatever happens. */
export function attachLoop<T>(path: string, sectorSize: number, body: (device: string) => T): T {
  const device = run('losetup', ['-f', '--show', '-b', `${sectorSize}`, path]).trim();
  try {
    tryRun('losetup', ['--direct-io=on', device]);
    return body(device);
  } finally {
    run('losetup', ['-d', device]);
  }
}

/** What was given to a device to write since it was made: sectors of 512 bytes, and requests to discard. */
export function writeCounters(device: string): { sectors: number; discards: number } {
  const stat = readFileSync(`/sys/block/${basename(device)}/stat`, 'utf8')
    .trim()
    .split(/\s+/)
    .map(Number);
  return { sectors: stat[6] ?? 0, discards: stat[11] ?? 0 };
}
