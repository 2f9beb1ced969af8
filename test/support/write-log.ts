// Records everything this process does to the files below some folders: the raw material of simulated power cuts.
// Import it before anything that imports node:fs; src/ calls the recorded functions without knowing.
// Invariant: nothing that writes escapes: an unknown way to change a file would have to be added here.

import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { resolve } from 'node:path';
import { binding } from '../../src/native/binding.js';

/** One change, or one promise of durability. Files are named by their inode, names by their path. */
export type Operation =
  | { readonly kind: 'write'; readonly inode: number; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: 'zero'; readonly inode: number; readonly offset: number; readonly length: number }
  | { readonly kind: 'resize'; readonly inode: number; readonly length: number }
  | { readonly kind: 'sync'; readonly inode: number }
  | { readonly kind: 'sync-folder'; readonly path: string }
  | { readonly kind: 'name'; readonly path: string; readonly inode: number }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }
  | { readonly kind: 'remove'; readonly path: string };

interface Opened {
  readonly path: string;
  readonly inode: number;
  readonly folder: boolean;
}

const opened = new Map<number, Opened>();
let log: Operation[] | undefined;
let roots: readonly string[] = [];

/** Runs `work` and returns what it did to the files below `folders`; also if it throws. */
export async function recorded(folders: readonly string[], work: () => Promise<void>): Promise<Operation[]> {
  const operations: Operation[] = [];
  roots = folders;
  log = operations;
  try {
    await work();
  } finally {
    log = undefined;
  }
  return operations;
}

const watched = (path: string): boolean => roots.some((root) => path === root || path.startsWith(`${root}/`));

function note(operation: Operation): void {
  log?.push(operation);
}

function noteFile(fd: number, make: (inode: number) => Operation): void {
  const file = opened.get(fd);
  if (file) note(make(file.inode));
}

const real = { ...fs };

function truncates(flags: unknown): boolean {
  return typeof flags === 'number' ? (flags & fs.constants.O_TRUNC) !== 0 : String(flags).startsWith('w');
}

function openSync(path: string, flags: string | number, mode?: number): number {
  const full = resolve(path);
  if (!log || !watched(full)) return real.openSync(path, flags, mode);
  const existed = real.existsSync(full);
  const fd = real.openSync(path, flags, mode);
  const stats = real.fstatSync(fd);
  opened.set(fd, { path: full, inode: stats.ino, folder: stats.isDirectory() });
  if (!existed) note({ kind: 'name', path: full, inode: stats.ino });
  else if (truncates(flags)) note({ kind: 'resize', inode: stats.ino, length: 0 });
  return fd;
}

function writeSync(fd: number, from: Buffer, start?: number, length?: number, offset?: number | null): number {
  const done = real.writeSync(fd, from, start, length, offset);
  const first = start ?? 0;
  const at = offset ?? first; // without an offset a file is written from its first byte on
  noteFile(fd, (inode) => ({
    kind: 'write',
    inode,
    offset: at,
    bytes: Buffer.from(from.subarray(first, first + done)),
  }));
  return done;
}

function sync(fd: number): void {
  const file = opened.get(fd);
  if (file) note(file.folder ? { kind: 'sync-folder', path: file.path } : { kind: 'sync', inode: file.inode });
}

function removed(path: string): void {
  if (!log || !watched(path) || !real.existsSync(path)) return;
  if (real.lstatSync(path).isDirectory()) for (const name of real.readdirSync(path)) removed(`${path}/${name}`);
  else note({ kind: 'remove', path });
}

Object.assign(fs, {
  openSync,
  writeSync,
  closeSync(fd: number): void {
    opened.delete(fd);
    real.closeSync(fd);
  },
  ftruncateSync(fd: number, length: number): void {
    real.ftruncateSync(fd, length);
    noteFile(fd, (inode) => ({ kind: 'resize', inode, length }));
  },
  fsyncSync: sync,
  fdatasync(fd: number, done: (error: Error | null) => void): void {
    sync(fd);
    setImmediate(done, null);
  },
  renameSync(from: string, to: string): void {
    real.renameSync(from, to);
    if (log && watched(resolve(to))) note({ kind: 'rename', from: resolve(from), to: resolve(to) });
  },
  rmSync(path: string, options?: fs.RmOptions): void {
    removed(resolve(path));
    real.rmSync(path, options);
  },
});
for (const name of ['writeFileSync', 'writevSync', 'truncateSync', 'copyFileSync'] as const) {
  const original = real[name] as (...args: unknown[]) => unknown;
  Object.assign(fs, {
    [name]: (...args: unknown[]): unknown => {
      if (log) throw new Error(`${name} is not recorded`);
      return original(...args);
    },
  });
}
syncBuiltinESMExports();

const { punchHole, zeroRange } = binding;
binding.punchHole = (fd, offset, length) => {
  punchHole(fd, offset, length);
  noteFile(fd, (inode) => ({ kind: 'zero', inode, offset, length }));
};
binding.zeroRange = (fd, offset, length) => {
  zeroRange(fd, offset, length);
  noteFile(fd, (inode) => ({ kind: 'zero', inode, offset, length }));
};
