// Keeps the machine awake while a clone writes, where systemd-logind is there: a laptop that sleeps, or a desktop that is
// shut down, leaves an unfinished target. Invariant: it can only help. Whatever fails here, the clone goes on without it.

import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

export interface InhibitOptions {
  /** Is there where systemd runs the machine (sd_booted(3)). */
  readonly runtimeFolder?: string;
  /** Where `systemd-inhibit` is looked for. */
  readonly searchPath?: string | undefined;
}

/** Holds sleep and shutdown off until the result is called, or this process ends, however it ends. */
export function inhibitSleep(
  why: string,
  { runtimeFolder = '/run/systemd/system', searchPath = process.env['PATH'] }: InhibitOptions = {},
): () => void {
  const program = existsSync(runtimeFolder) ? find('systemd-inhibit', searchPath ?? '') : undefined;
  const holder = program === undefined ? undefined : start(program, why);
  return () => {
    holder?.stdin?.end();
  };
}

function find(name: string, searchPath: string): string | undefined {
  return searchPath
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** `cat` reads from us and ends when we close the pipe or are gone; with it goes the lock. */
function start(program: string, why: string): ChildProcess | undefined {
  const words = ['--what=sleep:shutdown', '--who=ectype', `--why=${why}`, '--mode=block', 'cat'];
  try {
    // A session of its own: Ctrl-C must not end it before we have come to a safe point.
    const holder = spawn(program, words, { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    holder.on('error', ignore);
    holder.stdin.on('error', ignore);
    holder.unref();
    if ('unref' in holder.stdin && typeof holder.stdin.unref === 'function') holder.stdin.unref();
    return holder;
  } catch {
    return undefined;
  }
}

function ignore(): void {}
