// A disk image with three file systems that are mounted inside each other while a test freezes them.
// Invariant: whatever a test does, nothing stays frozen: not after it, and not for longer than its safety timer.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MiB } from '../../src/base/units.js';
import { run, tryRun } from './run.js';

const SAFETY_SECONDS = 30;

export interface LivePart {
  readonly type: string;
  readonly offset: number;
  readonly loop: string;
  readonly point: string;
}

export interface LiveDisk {
  readonly image: string;
  /** ext4, in it xfs, in that btrfs: the order in which they are mounted. */
  readonly parts: readonly LivePart[];
}

const PARTS = [
  { type: 'ext4', offset: 1 * MiB, length: 64 * MiB, mkfs: ['mkfs.ext4', '-q', '-F'] },
  { type: 'xfs', offset: 70 * MiB, length: 320 * MiB, mkfs: ['mkfs.xfs', '-q', '-f'] },
  { type: 'btrfs', offset: 400 * MiB, length: 128 * MiB, mkfs: ['mkfs.btrfs', '-q', '-f'] },
] as const;

/** Runs `body` with the disk; unmounts and detaches whatever happens. */
export async function withLiveDisk(folder: string, body: (disk: LiveDisk) => Promise<void> | void): Promise<void> {
  const image = join(folder, 'live.img');
  const fd = openSync(image, 'w');
  ftruncateSync(fd, 540 * MiB);
  closeSync(fd);
  const parts: LivePart[] = [];
  const undo: (() => void)[] = [() => rmSync(image)];
  try {
    let point = join(folder, 'live');
    // All are made before one is mounted: mkfs.btrfs takes a device for mounted if another over its file is.
    for (const { type, offset, length, mkfs } of PARTS) {
      const where = ['-o', String(offset), '--sizelimit', String(length)];
      const loop = run('losetup', ['-f', '--show', ...where, image]).trim();
      undo.push(() => run('losetup', ['-d', loop]));
      const [program, ...options] = mkfs;
      run(program, [...options, loop]);
      parts.push({ type, offset, loop, point });
      point = join(point, 'inner');
    }
    for (const part of parts) {
      mkdirSync(part.point);
      run('mount', ['-t', part.type, part.loop, part.point]);
      undo.push(() => unmount(part.point));
    }
    await withSafety(
      parts.map((part) => part.point),
      () => body({ image, parts }),
    );
  } finally {
    for (const step of undo.reverse()) step();
    rmSync(join(folder, 'live'), { recursive: true, force: true });
  }
}

/** A mount name space that another test made meanwhile may hold a copy of a mount inside for a moment. */
function unmount(point: string): void {
  for (let tries = 0; tries < 100; tries += 1) {
    if (tryRun('umount', [point]).status === 0) return;
    run('sleep', ['0.1']);
  }
  run('umount', [point]);
}

/** Thaws at the end of `body`, and in any case after a time, from a process that outlives this one. */
export async function withSafety<T>(
  points: readonly string[],
  body: () => Promise<T> | T,
  seconds = SAFETY_SECONDS,
): Promise<T> {
  const script = `sleep ${seconds}; for p in "$@"; do fsfreeze -u "$p"; done`;
  const safety = spawn('sh', ['-c', script, 'safety', ...points], { detached: true, stdio: 'ignore' });
  safety.unref();
  try {
    return await body();
  } finally {
    thawAnyway(points);
    if (safety.pid !== undefined && safety.exitCode === null) process.kill(-safety.pid, 'SIGKILL');
  }
}

export function thawAnyway(points: readonly string[]): void {
  for (const point of points) tryRun('fsfreeze', ['-u', point]);
}

export interface Writer {
  /** When the write came through (performance.now()), or undefined as long as it waits. */
  readonly done: () => number | undefined;
  readonly ended: Promise<number>;
}

let writes = 0;

/** A process that writes to a new file of the folder: it hangs while the file system is frozen. */
export function writeIn(folder: string): Writer {
  writes += 1;
  const file = join(folder, `written-${process.pid}-${writes}`);
  const child = spawn('dd', ['if=/dev/zero', `of=${file}`, 'bs=4096', 'count=1', 'status=none'], { stdio: 'ignore' });
  let at: number | undefined;
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (status) => {
      at = performance.now();
      if (status === 0) resolve(at);
      else reject(new Error(`dd of=${file} ended with ${status}`));
    });
  });
  return { done: () => at, ended };
}

/** Long enough for a write that nobody holds up. */
export const WRITE_MS = 300;

/** Which of the folders let nobody write now. The writers go on waiting. */
export async function waitingIn(folders: readonly string[]): Promise<boolean[]> {
  const writers = folders.map(writeIn);
  for (const { ended } of writers) ended.catch(() => undefined);
  await sleep(WRITE_MS);
  return writers.map(({ done }) => done() === undefined);
}

/** Waits for a line of a process's stdout. */
export function lineOf(child: ChildProcess, wanted: RegExp, limitMs = 15_000): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => reject(new Error(`no ${wanted} in ${text}`)), limitMs);
    const hear = (data: Buffer): void => {
      text += data;
      const line = text.split('\n').find((each) => wanted.test(each));
      if (line === undefined) return;
      clearTimeout(timer);
      resolve(line);
    };
    child.stdout?.on('data', hear);
    child.stderr?.on('data', (data: Buffer) => {
      text += data;
    });
  });
}
