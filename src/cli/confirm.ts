// The one question before the first write. A target that holds anything but an earlier clone of this source asks for
// its name to be typed. Invariant: only the exact answer counts; Ctrl-C and the end of input mean no.

import { createInterface, type Interface } from 'node:readline/promises';
import type { Readable, Writable } from 'node:stream';
import { interruptedUntouched } from '../base/errors/run.js';
import { cannotAsk } from '../base/errors/safety.js';
import type { ClonePlan } from '../operation/clone-types.js';

export interface Terminal {
  readonly stdin: Readable;
  readonly stderr: Writable;
  /** Ctrl-C where the terminal leaves it to the process. */
  readonly signal: AbortSignal;
}

/** Throws `safety.cannot-ask` where nobody can answer, `interrupted.untouched` after Ctrl-C. */
export async function confirmPlan({ target }: ClonePlan, terminal: Terminal): Promise<boolean> {
  const { stdin, stderr } = terminal;
  if (!('isTTY' in stdin) || stdin.isTTY !== true) throw cannotAsk(target.path);
  const lines = createInterface({ input: stdin, output: stderr });
  try {
    if (target.standby) return isYes(await ask(lines, `Bring ${target.path} up to date? [y/N] `, terminal));
    if (target.blank) return isYes(await ask(lines, `Write to ${target.path}? [y/N] `, terminal));
    const question = `Everything on ${target.path} will be lost. Type ${target.path} to go on: `;
    return (await ask(lines, question, terminal)).trim() === target.path;
  } finally {
    lines.close();
  }
}

function isYes(answer: string): boolean {
  return /^y(es)?$/i.test(answer.trim());
}

/** The answer; empty at the end of input (Ctrl-D). */
function ask(lines: Interface, question: string, { stderr, signal }: Terminal): Promise<string> {
  return new Promise((resolve, reject) => {
    const onStop = (): void => {
      stderr.write('\n');
      reject(interruptedUntouched());
    };
    lines.once('SIGINT', onStop);
    lines.once('close', () => resolve(''));
    if (signal.aborted) onStop();
    signal.addEventListener('abort', onStop, { once: true });
    lines.question(question).then(resolve, () => resolve(''));
  });
}
