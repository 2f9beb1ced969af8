// Runs the command line as a real process, with a state folder of its own.
// Invariant: the machine's own state folder is never touched.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import type { Ran } from './run.js';

export const MAIN: string = fileURLToPath(new URL('../../bundle/cli/main.js', import.meta.url));

/** One line of `--json`. */
export interface JsonEvent {
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface Ectype {
  readonly state: string;
  /** Without a terminal, whatever the test runs in. */
  run(args: readonly string[], env?: NodeJS.ProcessEnv): Ran;
  /** With `--json`: every line of stdout must be an object with an event, and stderr empty. */
  json(args: readonly string[]): { readonly status: number; readonly events: readonly JsonEvent[] };
  /** Digest of everything that is known between runs. */
  stateDigest(): string;
}

/** A command line with an empty state folder below `folder`. */
export function ectype(folder: string): Ectype {
  const state = join(mkdtempSync(join(folder, 'state-')), 'ectype');
  const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Ran => {
    const ran = spawnSync(process.execPath, [MAIN, ...args], {
      encoding: 'utf8',
      env: { ...process.env, ECTYPE_STATE: state, ...env },
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    if (ran.error) throw ran.error;
    return { status: ran.status ?? 128, stdout: ran.stdout, stderr: ran.stderr };
  };
  return {
    state,
    run,
    json(args) {
      const { status, stdout, stderr } = run([...args, '--json']);
      if (status !== 70) assert.is(stderr, '', 'stderr of --json');
      return { status, events: parseLines(stdout) };
    },
    stateDigest: () => treeDigest(state),
  };
}

function parseLines(stdout: string): JsonEvent[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const value: unknown = JSON.parse(line);
      if (typeof value !== 'object' || value === null || !('event' in value)) throw new Error(`no event: ${line}`);
      return value as JsonEvent;
    });
}

export function fileDigest(path: string): string {
  return existsSync(path) ? createHash('sha256').update(readFileSync(path)).digest('hex') : 'not there';
}

function treeDigest(folder: string): string {
  if (!existsSync(folder)) return 'not there';
  const hash = createHash('sha256');
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }).sort(byPath)) {
    const path = join(entry.parentPath, entry.name);
    hash.update(`${path}\0`);
    if (entry.isFile()) hash.update(readFileSync(path));
  }
  return hash.digest('hex');
}

function byPath(a: { parentPath: string; name: string }, b: { parentPath: string; name: string }): number {
  return join(a.parentPath, a.name).localeCompare(join(b.parentPath, b.name));
}

export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: RegExp;
  /** Files that must stay byte for byte as they are. */
  readonly untouched: readonly string[];
}

/** Runs a clone that must be refused, and proves that it wrote nothing: not to the target, not to the state. */
export function refuses(cli: Ectype, args: readonly string[], refusal: Refusal): JsonEvent {
  const look = () => [...refusal.untouched.map(fileDigest), cli.stateDigest()];
  const before = look();
  const { status, events } = cli.json(args);
  const error = events.at(-1);
  const told = `${args.join(' ')} ended with ${status}: ${JSON.stringify(error)}`;
  assert.is(error?.event, 'error', told);
  assert.is(error?.['code'], refusal.code, told);
  assert.is(status, refusal.status, told);
  assert.is(error?.['exitStatus'], refusal.status, told);
  assert.match(String(error?.['message']), refusal.message, told);
  assert.equal(look(), before, `${told}, but something was written`);
  return error as JsonEvent;
}

/** Runs a clone that must succeed; the result event. */
export function clones(cli: Ectype, args: readonly string[]): JsonEvent {
  const { status, events } = cli.json(['clone', '--yes', ...args]);
  const last = events.at(-1);
  assert.is(status, 0, `clone ${args.join(' ')}: ${JSON.stringify(last)}`);
  assert.is(last?.event, 'result');
  return last as JsonEvent;
}
