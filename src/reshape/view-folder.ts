// The folder of one view, and how everything in it ends: mounts, loop devices, programs, files.
// Invariant: the folder's name says which process owns it, so that what a killed run left is told from a living one's;
// and nothing is deleted while anything is still mounted below it.

import { spawnSync } from 'node:child_process';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { scratchUnusable, viewNotRemoved } from '../base/errors/reshape.js';
import { errnoOf } from '../base/tool-error.js';
import { PACKAGES } from './program.js';

const NAME = /^ectype-view-(\d+)-(\d+)-[^/]+$/;
/** Field 22 of /proc/PID/stat, in clock ticks since the start of the machine (proc(5)), counted behind the name. */
const START_FIELD = 19;
const WAIT_MS = 20;
const WAITS = 250;

/** Makes the folder of a new view: `ectype-view-PID-START-RANDOM`. Throws ToolError. */
export function makeViewFolder(scratch: string): string {
  const prefix = `ectype-view-${process.pid}-${startOf(process.pid) ?? 0}-`;
  try {
    return mkdtempSync(join(scratch, prefix));
  } catch (cause) {
    throw scratchUnusable(scratch, cause);
  }
}

/** The folders of views in `scratch` whose process is gone. What another user has named like that is none. */
export function abandonedFolders(scratch: string): string[] {
  return namesIn(scratch)
    .filter((name) => {
      const [, pid, start] = NAME.exec(name) ?? [];
      return pid !== undefined && startOf(Number(pid)) !== Number(start);
    })
    .map((name) => join(scratch, name))
    .filter(isOwnFolder);
}

function isOwnFolder(path: string): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats?.isDirectory() === true && stats.uid === process.getuid?.();
}

/**
 * Ends everything that the folder's view has started, and removes it. Blocks this thread: it also runs when the process
 * ends. Throws `device.view-not-removed` if something below is in use by others.
 */
export function dismantle(folder: string): void {
  const isView = (path: string): boolean => path === folder || path.startsWith(`${folder}/`);
  const mounted = (): MountPoint[] => mountPoints().filter(({ path }) => isView(path));
  // File systems inside the view while its daemon may still live: their last writes go somewhere then.
  for (const { path } of mounted().filter(({ isFuse }) => !isFuse)) unmount(path);
  for (const device of loopsOver(folder)) spawnTool('losetup', ['-d', device]);
  endPrograms(folder);
  for (const { path } of mounted()) unmount(path);
  const [left] = mounted();
  if (left) throw viewNotRemoved(folder, `${left.path} cannot be unmounted`);
  const [loop] = loopsOver(folder);
  if (loop !== undefined) throw viewNotRemoved(folder, `${loop} cannot be detached`);
  rmSync(folder, { recursive: true, force: true });
}

/** Programs that work on the folder, found by their words: it is named there, and its name is nobody else's. */
export function programsOf(folder: string): number[] {
  return namesIn('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid > 0 && pid !== process.pid)
    .filter((pid) => {
      const words = read(`/proc/${pid}/cmdline`).split('\0');
      const isTool = words.slice(0, 4).some((word) => Object.hasOwn(PACKAGES, basename(word)));
      return isTool && words.some((word) => word.includes(folder));
    });
}

/** Loop devices whose file lies in the folder. */
export function loopsOver(folder: string): string[] {
  return namesIn('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .filter((name) => read(`/sys/block/${name}/loop/backing_file`).startsWith(`${folder}/`))
    .map((name) => `/dev/${name}`);
}

interface MountPoint {
  readonly path: string;
  readonly isFuse: boolean;
}

/** Of this mount namespace, the latest first. */
export function mountPoints(): MountPoint[] {
  return read('/proc/self/mountinfo')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [before = '', after = ''] = line.split(' - ');
      const path = (before.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      );
      return { path: Buffer.from(path, 'latin1').toString('utf8'), isFuse: after.startsWith('fuse ') };
    })
    .reverse();
}

function endPrograms(folder: string): void {
  for (let wait = 0; wait < WAITS; wait += 1) {
    const found = programsOf(folder);
    if (found.length === 0) return;
    for (const pid of found) kill(pid);
    pause(WAIT_MS);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (cause) {
    if (errnoOf(cause) !== 'ESRCH') throw cause;
  }
}

function unmount(path: string): void {
  const isRoot = process.getuid?.() === 0;
  for (let wait = 0; wait < WAITS / 10; wait += 1) {
    const done = isRoot ? spawnTool('umount', [path]) : spawnTool('fusermount3', ['-u', path]);
    if (done || !mountPoints().some((each) => each.path === path)) return;
    pause(WAIT_MS * 5); // somebody looks at it: an indexer, a desktop
  }
}

function spawnTool(program: string, args: readonly string[]): boolean {
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' };
  return spawnSync(program, args, { stdio: 'ignore', env }).status === 0;
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/** Undefined: there is no such process. */
function startOf(pid: number): number | undefined {
  const stat = read(`/proc/${pid}/stat`);
  const field = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[START_FIELD];
  return field === undefined ? undefined : Number(field);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
