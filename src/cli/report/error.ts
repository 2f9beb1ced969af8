// An error on its way to a person or a program: stderr in words, or one JSON object on stdout.

import type { Writable } from 'node:stream';
import { EXIT_BUG, ToolError } from '../../base/tool-error.js';

/** Tells it and returns the exit status. What is not a ToolError is a bug of ours. */
export function tellError(
  error: unknown,
  { json, stdout, stderr }: { json: boolean; stdout: Writable; stderr: Writable },
): number {
  const printJson = (value: object): void => {
    stdout.write(`${JSON.stringify({ event: 'error', ...value })}\n`);
  };
  if (error instanceof ToolError) {
    const { code, message, hint, exitStatus, details } = error;
    if (json) printJson({ code, message, hint, exitStatus, details });
    else stderr.write(`error: ${message}\n${hint === undefined ? '' : `hint: ${hint}\n`}`);
    return exitStatus;
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  if (json) printJson({ code: 'bug', message, exitStatus: EXIT_BUG });
  else stderr.write(`error: this is a bug in ectype, please report it\n${message}\n`);
  return EXIT_BUG;
}
