// Where ectype keeps what it knows between runs, one folder a target.
// Invariant: a file here is either complete or not there: temporary file, fsync, rename, fsync of the folder.

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { stateUnusable } from '../base/errors/state.js';
import { errnoOf } from '../base/tool-error.js';

/** ECTYPE_STATE, else /var/lib/ectype for root, else the user's XDG state folder. */
export function stateFolder(): string {
  const chosen = process.env['ECTYPE_STATE'];
  if (chosen) return chosen;
  if (process.getuid?.() === 0) return '/var/lib/ectype';
  return join(process.env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'ectype');
}

/** Makes the folder and its parents durable. Throws ToolError if that is impossible. */
export function makeFolder(folder: string): void {
  try {
    makeMissing(folder);
  } catch (cause) {
    throw stateUnusable(folder, cause);
  }
}

/** One by one: mkdir's own recursion answers ENOENT where the file system is read-only. */
function makeMissing(folder: string): void {
  if (existsSync(folder)) return;
  makeMissing(dirname(folder));
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (cause) {
    if (errnoOf(cause) !== 'EEXIST') throw cause; // another run was faster
  }
  syncFolder(dirname(folder));
}

/** Makes names in a folder durable. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Replaces the file `path` by `value` as JSON, durably and at once. */
export function saveJson(path: string, value: unknown): void {
  const temporary = `${path}.${process.pid}.new`; // another run may save the same file at the same time
  try {
    const fd = openSync(temporary, 'w', 0o600);
    try {
      const text = Buffer.from(`${JSON.stringify(value, null, 1)}\n`);
      for (let done = 0; done < text.length; ) done += writeSync(fd, text, done);
      fsyncSync(fd); // the content must be on the disk before the name points to it
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
    syncFolder(dirname(path));
  } catch (cause) {
    throw stateUnusable(path, cause);
  }
}

/** What `saveJson` wrote; undefined if it is not there or not readable as JSON: nothing is known then. */
export function loadJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
