// QEMU's machine protocol: one JSON object a line, an answer to each command, events in between.
// Invariant: when the connection ends, nobody waits for an answer any more.
// Specification: QEMU's docs/interop/qmp-spec.

import type { Duplex } from 'node:stream';
import { machineRefuses } from '../base/errors/machine.js';

export interface Control {
  /** Resolves when QEMU has done it. Throws `device.machine-refuses`, also when the machine has ended. */
  execute(command: string, parameters?: Readonly<Record<string, unknown>>): Promise<void>;
}

/** What a line may hold; QEMU's are far shorter. */
const LONGEST_LINE = 1 << 20;

interface Answer {
  readonly id?: unknown;
  readonly event?: unknown;
  readonly error?: { readonly desc?: unknown };
}

/** Begins the conversation on `stream`; `onEvent` gets the names of events: `RESET`, `SHUTDOWN`, ... */
export function openControl(stream: Duplex, onEvent: (name: string) => void): Control {
  const waiting = new Map<number, (error: string | undefined) => void>();
  let count = 0;
  let text = '';
  let isOver = false;
  const end = (): void => {
    isOver = true;
    for (const answer of waiting.values()) answer('the machine has ended');
    waiting.clear();
  };
  stream.setEncoding('utf8');
  stream.on('data', (piece: string) => {
    const lines = (text + piece).split('\n');
    text = (lines.pop() ?? '').slice(0, LONGEST_LINE);
    for (const line of lines) {
      const { id, event, error } = parse(line);
      if (typeof event === 'string') onEvent(event);
      if (typeof id !== 'number') continue;
      waiting.get(id)?.(error && String(error.desc));
      waiting.delete(id);
    }
  });
  stream.on('error', end);
  stream.on('close', end);
  const execute = (command: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<void> =>
    new Promise((resolve, reject) => {
      if (isOver) return reject(machineRefuses(command, 'the machine has ended'));
      count += 1;
      waiting.set(count, (error) => (error === undefined ? resolve() : reject(machineRefuses(command, error))));
      stream.write(`${JSON.stringify({ execute: command, arguments: parameters, id: count })}\n`);
    });
  execute('qmp_capabilities').catch(() => {}); // what fails here fails again in the first real command
  return { execute };
}

function parse(line: string): Answer {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}
