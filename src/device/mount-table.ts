// What is mounted where, and which swap areas are in use, as this process sees it (proc(5): mountinfo, fdinfo, swaps).
// Invariant: nothing is looked up on the mounted file systems themselves, but for names that a caller asks about.

import { closeSync, openSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { errnoOf } from '../base/tool-error.js';

export interface Mount {
  /** Number of the mount itself. */
  readonly id: string;
  /** How many mounts it lies in. */
  readonly depth: number;
  /** Number of the file system ("8:1"), made up for btrfs and FUSE. Two mounts of one file system have the same. */
  readonly device: string;
  /** The folder of the file system that is shown here: "/" unless it is a bind mount or a subvolume. */
  readonly root: string;
  readonly point: string;
  readonly type: string;
  readonly source: string;
  /** Of the file system: a mount of it may be read-only while another is not. */
  readonly options: readonly string[];
}

/** The number of links to follow, and of mounts inside mounts to count (path_resolution(7) stops there too). */
const MOST_LINKS = 40;
const DEEPEST = 1000;

/** open(2): a descriptor for the name only; nothing is opened, no device wakes up. */
const O_PATH = 0o10000000;

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(parseInt(code, 8)));
}

/** Mounts of this process's name space, in the kernel's order. */
export function mounts(): Mount[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' '));
  const parents = new Map(lines.map(([id = '', parent = '']) => [id, parent]));
  return lines.map((fields) => {
    const id = fields[0] ?? '';
    const dash = fields.indexOf('-', 6); // optional fields come before it
    return {
      id,
      depth: depthOf(id, parents),
      device: fields[2] ?? '',
      root: unescaped(fields[3] ?? ''),
      point: unescaped(fields[4] ?? ''),
      type: fields[dash + 1] ?? '',
      source: unescaped(fields[dash + 2] ?? ''),
      options: (fields[dash + 3] ?? '').split(',').map(unescaped),
    };
  });
}

function depthOf(id: string, parents: ReadonlyMap<string, string>): number {
  let depth = 0;
  for (let at = parents.get(id); at !== undefined && at !== id && depth < DEEPEST; at = parents.get(at)) depth += 1;
  return depth;
}

/** The number of the mount that an open file was reached through. */
export function mountIdOf(fd: number): string | undefined {
  return /^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
}

/** The mount that holds `path`, or that would hold it once it is made. Undefined if the mount is not in sight. */
export function mountHolding(path: string): Mount | undefined {
  const fd = openNearest(resolve(path));
  try {
    const id = mountIdOf(fd);
    return mounts().find((mount) => mount.id === id);
  } finally {
    closeSync(fd);
  }
}

/** A descriptor of `path`, or of the nearest folder above it that exists; a link to nothing counts as what it names. */
function openNearest(path: string): number {
  let at = path;
  for (let links = 0; ; ) {
    try {
      return openSync(at, O_PATH);
    } catch (error) {
      if (at === '/' || !['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw error;
    }
    const named = linkAt(at);
    if (named !== undefined && links < MOST_LINKS) {
      links += 1;
      at = resolve(dirname(at), named);
    } else at = dirname(at);
  }
}

function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Paths of the swap areas in use: devices and files. */
export function swaps(): string[] {
  try {
    return readFileSync('/proc/swaps', 'utf8')
      .split('\n')
      .slice(1)
      .flatMap((line) => unescaped(line.split(/\s+/)[0] ?? '') || []);
  } catch {
    return [];
  }
}
