// Runs the real command line as its users do, in a process of its own, and reads its JSON.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ClonePlan, CloneRunResult } from '../../src/operation/clone-types.js';
import type { VerifyResult } from '../../src/operation/verify.js';
import { tryRun } from './run.js';

const MAIN = fileURLToPath(new URL('../../bundle/cli/main.js', import.meta.url));

export interface CliError {
  readonly code: string;
  readonly message: string;
  readonly exitStatus: number;
}

export interface Ended {
  readonly status: number;
  /** The objects on stdout, one a line. */
  readonly events: readonly { readonly event: string }[];
  readonly stderr: string;
}

/** What a clone said. */
export interface Cloned extends CloneRunResult {
  readonly plan: ClonePlan;
  /** The volumes that were prepared at another size, one message each. */
  readonly prepared: readonly string[];
}

/** A command line with a state folder of its own. */
export interface Ectype {
  readonly state: string;
  /** Ends with whatever status. */
  try(...words: string[]): Ended;
  /** Clones without asking. Throws unless it ends with 0. */
  clone(source: string, target: string, ...options: string[]): Cloned;
  /** Throws unless it ends with 0 or 7. */
  verify(source: string, target: string, ...options: string[]): VerifyResult;
  /** The error of a command that has to fail with `status`. */
  refused(status: number, ...words: string[]): CliError;
}

/** `env`: what the process gets beside the variables of this one. */
export function ectypeIn(folder: string, env: NodeJS.ProcessEnv = {}): Ectype {
  const state = join(folder, 'state');
  mkdirSync(state, { recursive: true });
  const attempt = (...words: string[]): Ended => {
    const { status, stdout, stderr } = tryRun(process.execPath, [MAIN, ...words, '--json'], {
      env: { ...env, ECTYPE_STATE: state },
    });
    const events = stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line): { event: string } => JSON.parse(line));
    return { status, events, stderr };
  };
  const demand = (statuses: readonly number[], words: string[]): Ended => {
    const ended = attempt(...words);
    if (statuses.includes(ended.status)) return ended;
    throw new Error(
      `ectype ${words.join(' ')} ended with ${ended.status}\n${JSON.stringify(ended.events.at(-1))}\n${ended.stderr}`,
    );
  };
  return {
    state,
    try: attempt,
    clone(source, target, ...options) {
      const { events } = demand([0], ['clone', '--yes', ...options, source, target]);
      const prepared = events.flatMap((event) =>
        'message' in event && /^prepare /.test(String(event.message)) ? [String(event.message)] : [],
      );
      return { plan: only<ClonePlan>(events, 'plan'), prepared, ...only<CloneRunResult>(events, 'result') };
    },
    verify(source, target, ...options) {
      return only<VerifyResult>(demand([0, 7], ['verify', ...options, source, target]).events, 'result');
    },
    refused: (status, ...words) => only<CliError>(demand([status], words).events, 'error'),
  };
}

function only<T>(events: Ended['events'], kind: string): T {
  const [found] = events.filter(({ event }) => event === kind);
  if (!found) throw new Error(`no ${kind} among ${JSON.stringify(events)}`);
  return found as T & { event: string };
}
