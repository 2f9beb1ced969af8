// The real command line in a process of its own that is ended at a chosen moment: killed, or asked to stop.

import { type ChildProcess, spawn } from 'node:child_process';
import { type JsonEvent, MAIN } from './cli.js';

export interface Ended {
  /** Exit status; undefined if a signal ended it. */
  readonly status: number | undefined;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
  /** The objects that --json printed. */
  readonly events: readonly JsonEvent[];
}

export interface EndingOptions {
  readonly state: string;
  /** Sends a signal when this says so; asked at every line of --json, and after `afterMs`. */
  readonly end?: {
    readonly signal: NodeJS.Signals;
    readonly afterMs?: number;
    readonly when?: (event: JsonEvent) => boolean;
  };
  /** Told of every line of --json, while the process runs. */
  readonly onEvent?: (event: JsonEvent, child: ChildProcess) => void;
}

function parsed(line: string): JsonEvent[] {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && 'event' in value ? [value as JsonEvent] : [];
  } catch {
    return []; // the process died in the middle of a line
  }
}

/** Runs `ectype ...words` until it ends, however it ends. */
export function ectypeUntil(words: readonly string[], { state, end, onEvent }: EndingOptions): Promise<Ended> {
  const env = { ...process.env, ECTYPE_STATE: state, NO_COLOR: '1' };
  const child = spawn(process.execPath, [MAIN, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = end?.afterMs === undefined ? undefined : setTimeout(() => child.kill(end.signal), end.afterMs);
  const events: JsonEvent[] = [];
  let stdout = '';
  let stderr = '';
  let line = '';
  let ended = false; // a second Ctrl-C means something else
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (text: string) => {
    stdout += text;
    const lines = `${line}${text}`.split('\n');
    line = lines.pop() ?? '';
    for (const event of lines.flatMap(parsed)) {
      events.push(event);
      onEvent?.(event, child);
      if (!ended && end?.when?.(event)) ended = child.kill(end.signal);
    }
  });
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      resolve({ status: status ?? undefined, signal: signal ?? undefined, stdout, stderr, events });
    });
  });
}

/** A number of the last `result` event's amounts, such as `written`. */
export function amount({ events }: Ended, name: string): number {
  const result = events.findLast(({ event }) => event === 'result');
  const amounts = result?.['amounts'] as Record<string, number> | undefined;
  return amounts?.[name] ?? Number.NaN;
}

/** The error event of a failed --json run. */
export function errorOf({ events }: Ended): { code: string; message: string } {
  const error = events.findLast(({ event }) => event === 'error');
  return { code: String(error?.['code']), message: String(error?.['message']) };
}
