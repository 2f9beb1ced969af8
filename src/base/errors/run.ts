// How a run ends early: stopped by the user, or because the source moved under it.

import { ToolError } from '../tool-error.js';

export function interrupted(): ToolError {
  return new ToolError({
    code: 'interrupted.stopped',
    message: 'stopped before the end; the target is marked as unfinished',
    hint: 'Run the same command again: it goes on where it stopped',
  });
}

export function interruptedUntouched(): ToolError {
  return new ToolError({
    code: 'interrupted.untouched',
    message: 'stopped before anything was written to the target',
    hint: 'Run the same command again when you like',
  });
}

export function sourceChanged(volumes: readonly string[], { armed }: { armed: boolean }): ToolError {
  const left = armed ? 'the target is left marked as unfinished' : 'nothing was written to the target';
  return new ToolError({
    code: 'filesystem.source-changed',
    message: `the source changed while it was copied (${volumes.join(', ')}); ${left}`,
    hint: 'Stop what writes to the source, then run the same command again',
    details: { volumes },
  });
}

export function sourceChangedEarly(name: string): ToolError {
  return new ToolError({
    code: 'filesystem.source-changed-early',
    message: `${name} changed after it was looked at; nothing was written to the target`,
    hint: 'Stop what writes to the source, then run the same command again',
  });
}

export function verifyFailed(where: string, count: number, details: Readonly<Record<string, unknown>>): ToolError {
  return new ToolError({
    code: 'verify.differs',
    message: `${where} differs in ${count} ${count === 1 ? 'place' : 'places'}`,
    hint: 'Clone again with --detect compare; if it differs again, replace the target',
    details,
  });
}
