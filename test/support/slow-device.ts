// A loop device that takes writes slowly: over a file that qemu-storage-daemon shows through FUSE, over another file.
// Invariant: nothing of it is left, whatever the body does. The file itself is no target: the daemon makes up its times.

import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, truncateSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, tryRun } from './run.js';

const WAIT_MS = 20;
const WAITS = 500;

/** Blank, of `size` bytes; it takes so many bytes a second. `path` is free for its files. */
export async function withSlowDevice<T>(
  path: string,
  { size, bytesPerSecond }: { readonly size: number; readonly bytesPerSecond: number },
  body: (device: string) => Promise<T>,
): Promise<T> {
  const backing = `${path}.backing`;
  for (const each of [backing, path]) closeSync(openSync(each, 'w'));
  truncateSync(backing, size);
  const daemon = spawn(
    'qemu-storage-daemon',
    [
      ...['--object', `throttle-group,id=slow,x-bps-write=${bytesPerSecond}`],
      ...['--blockdev', `driver=file,filename=${backing},node-name=file,locking=off`],
      ...['--blockdev', 'driver=throttle,throttle-group=slow,file=file,node-name=throttle'],
      ...['--export', `type=fuse,id=shown,node-name=throttle,mountpoint=${path},writable=on`],
    ],
    { stdio: 'ignore' },
  );
  const ended = new Promise<void>((resolve) => daemon.on('close', () => resolve()));
  try {
    await shown(path);
    const device = run('losetup', ['-f', '--show', path]).trim();
    try {
      return await body(device);
    } finally {
      run('losetup', ['-d', device]);
    }
  } finally {
    daemon.kill();
    await ended;
    tryRun('fusermount', ['-uz', path]);
  }
}

async function shown(path: string): Promise<void> {
  for (let wait = 0; wait < WAITS; wait += 1) {
    if (readFileSync('/proc/self/mounts', 'utf8').includes(` ${path} fuse`)) return;
    await sleep(WAIT_MS);
  }
  throw new Error(`qemu-storage-daemon does not show ${path}`);
}
