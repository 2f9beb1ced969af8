// Outside programs: started here and nowhere else in this layer, with arguments as lists and no shell.
// Invariant: a program dies with us, even when we are killed; so nothing goes on writing into a view that nobody owns.

import { type ChildProcess, spawn } from 'node:child_process';
import { delimiter } from 'node:path';
import { programFailed, programMissing, programTooSlow, reshapeInterrupted } from '../base/errors/reshape.js';
import { findProgram, searchPath } from '../device/program.js';

/** Every program of this layer, with its Debian package. */
export const PACKAGES = {
  'qemu-img': 'qemu-utils',
  'qemu-storage-daemon': 'qemu-system-common',
  e2fsck: 'e2fsprogs',
  resize2fs: 'e2fsprogs',
  tune2fs: 'e2fsprogs',
  ntfsresize: 'ntfs-3g',
  xfs_growfs: 'xfsprogs',
  xfs_db: 'xfsprogs',
  btrfs: 'btrfs-progs',
  'resize.f2fs': 'f2fs-tools',
  'fsck.f2fs': 'f2fs-tools',
  mkswap: 'util-linux',
  mount: 'mount',
  umount: 'mount',
  losetup: 'mount',
  setpriv: 'util-linux',
  'mkfs.fat': 'dosfstools',
  mcopy: 'mtools',
  mmd: 'mtools',
} as const;

export type Program = keyof typeof PACKAGES;

export interface RunOptions {
  /** What it is run for, in the user's words, behind "cannot": "resize partition 2". */
  readonly purpose: string;
  /** Whose size is being changed; named when the run is stopped. */
  readonly volume: string;
  readonly signal?: AbortSignal | undefined;
  readonly env?: Readonly<Record<string, string>>;
  /** Exit statuses that are no failure. Default: 0. */
  readonly accept?: readonly number[];
  readonly limitSeconds?: number;
}

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Moving the files of a large disk takes hours; a program that takes longer than this hangs. */
export const LONG_LIMIT_SECONDS = 24 * 3600;
const LIMIT_SECONDS = 300;
const LAST_LINES = 3;

/**
 * Runs a program to its end. Throws ToolError: missing, failed (with its last lines), too slow, interrupted.
 * The signal kills it.
 */
export async function runProgram(program: Program, args: readonly string[], options: RunOptions): Promise<Ran> {
  const { purpose, volume, signal, accept = [0], limitSeconds = LIMIT_SECONDS } = options;
  if (signal?.aborted) throw reshapeInterrupted(volume);
  const child = startProgram(program, args, options.env);
  let isLate = false;
  const kill = (): void => void child.kill('SIGKILL');
  const timer = setTimeout(() => {
    isLate = true;
    kill();
  }, limitSeconds * 1000);
  signal?.addEventListener('abort', kill);
  try {
    const ran = await ended(child);
    if (signal?.aborted) throw reshapeInterrupted(volume);
    if (isLate) throw programTooSlow(program, purpose, limitSeconds);
    if (typeof ran.status !== 'number' || !accept.includes(ran.status)) {
      throw programFailed(program, purpose, { status: ran.status, said: lastLines(ran.stderr, ran.stdout) });
    }
    return { status: ran.status, stdout: ran.stdout, stderr: ran.stderr };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', kill);
  }
}

/** Starts a program in a session of its own (Ctrl-C is ours to handle) that the kernel ends when this thread ends. */
export function startProgram(
  program: Program,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  const path = findProgram(program);
  if (path === undefined) throw programMissing(program, PACKAGES[program]);
  const guard = findProgram('setpriv');
  const words = guard === undefined ? [path, ...args] : [guard, '--pdeathsig', 'KILL', path, ...args];
  return spawn(words[0] ?? path, words.slice(1), {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: { ...process.env, ...env, PATH: searchPath().join(delimiter), LC_ALL: 'C' },
  });
}

/** Resolves when the program has ended and everything it printed has been read. */
export function ended(child: ChildProcess): Promise<{ status: number | string; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    child.on('error', reject);
    child.on('close', (status, signal) =>
      resolve({ status: status ?? signal ?? 'no status', stdout: stdout(), stderr: stderr() }),
    );
  });
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  const pieces: Buffer[] = [];
  stream?.on('data', (piece: Buffer) => pieces.push(piece));
  return () => Buffer.concat(pieces).toString();
}

/** What it said last: errors if there are any. Progress is overwritten by \r on a terminal, and is no line. */
export function lastLines(stderr: string, stdout: string): string[] {
  const linesOf = (text: string): string[] =>
    text
      .split('\n')
      .map((line) => (line.split('\r').at(-1) ?? '').trim())
      .filter((line) => line !== '');
  const errors = linesOf(stderr);
  return (errors.length > 0 ? errors : linesOf(stdout)).slice(-LAST_LINES);
}
