// The one question before the first write. A target that holds data asks for its name to be typed.

import { createInterface } from 'node:readline/promises';
import type { Readable, Writable } from 'node:stream';
import { cannotAsk } from '../base/errors/safety.js';
import type { ClonePlan } from '../operation/clone-types.js';

/** Throws `safety.cannot-ask` where nobody can answer: without a terminal. */
export async function confirmPlan(
  { target }: ClonePlan,
  { stdin, stderr }: { stdin: Readable; stderr: Writable },
): Promise<boolean> {
  if (!('isTTY' in stdin) || stdin.isTTY !== true) throw cannotAsk(target.path);
  const lines = createInterface({ input: stdin, output: stderr });
  try {
    if (target.blank) {
      const answer = await lines.question(`Write to ${target.path}? [y/N] `);
      return /^y(es)?$/i.test(answer.trim());
    }
    const answer = await lines.question(`Everything on ${target.path} will be lost. Type ${target.path} to go on: `);
    return answer.trim() === target.path;
  } finally {
    lines.close();
  }
}
