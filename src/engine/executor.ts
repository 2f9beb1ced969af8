// Where tasks run: in this thread, or in worker threads when there is enough to do and both ends can be opened again.
// Invariant: blocking I/O in a few more workers than cores is the queue depth; nothing else is in flight.

import { availableParallelism } from 'node:os';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { fromWire, toWire, type WireError } from '../base/tool-error.js';
import { type Bytes, MiB } from '../base/units.js';
import type { Source, SourceSpec, Target } from '../source/types.js';
import type { StretchResult } from './stretch.js';
import type { Tally } from './tally.js';
import { perform, type Task } from './task.js';
import { type Buffers, createBuffers } from './window.js';

/** What a task works on. */
export interface Ends {
  readonly source: Source;
  readonly target: Target;
  readonly tally: Tally;
}

export interface Executor {
  /** How many tasks are worth starting at once. */
  readonly concurrency: number;
  /** `permit` is called at most once, before the first write. */
  run(task: Task, ends: Ends, permit: () => Promise<void>): Promise<StretchResult>;
  close(): Promise<void>;
}

/** Runs tasks in this thread, one after the other. */
export function inlineExecutor(): Executor {
  let buffers: Buffers | undefined;
  let last: Promise<unknown> = Promise.resolve();
  return {
    concurrency: 1,
    run(task, { source, target, tally }, permit) {
      // One set of buffers: a task starts when the one before it has ended, however that ended.
      const result = last.then(async () => {
        buffers ??= createBuffers();
        return perform(task, { source, target, buffers, tally, permit });
      });
      last = result.catch(() => undefined);
      return result;
    },
    async close() {
      await last;
    },
  };
}

/** What a worker gets: everything plain, or transferred. */
export interface WorkerTask {
  readonly task: Task;
  readonly source: SourceSpec;
  readonly target: SourceSpec;
  readonly tally: SharedArrayBuffer;
  /** Asks for and answers permission to write. */
  readonly permitPort: MessagePort;
}

export type WorkerAnswer = { readonly result: StretchResult } | { readonly error: WireError };
export type PermitAnswer = { readonly granted: true } | { readonly denied: WireError };

/** Blocking I/O keeps a worker waiting most of the time, so more of them than cores pay. */
export function workerCount(): number {
  return Math.min(8, Math.max(4, availableParallelism()));
}

/** One under way and one waiting in the worker, so that it never waits for this thread between two. */
const TASKS_PER_WORKER = 2;

/** Below this the start of worker threads costs more than they save. */
const WORTH_WORKERS = 64 * MiB;

/** Worker threads if there is enough to do. They take a moment to start: ask early, the start goes on beside the caller. */
export function workersFor(bytes: Bytes): Executor | undefined {
  return bytes >= WORTH_WORKERS ? workerExecutor() : undefined;
}

/** Runs tasks in worker threads. Both ends of every task must have a spec. */
export function workerExecutor(workers = workerCount()): Executor {
  const pool = new Piscina<WorkerTask, WorkerAnswer>({
    filename: new URL('./worker.js', import.meta.url).href,
    minThreads: workers,
    maxThreads: workers,
    concurrentTasksPerWorker: TASKS_PER_WORKER,
    recordTiming: false,
  });
  return {
    concurrency: workers * TASKS_PER_WORKER,
    async run(task, { source, target, tally }, permit) {
      if (!source.spec || !target.spec) throw new Error('internal error: a worker needs specs');
      const { port1, port2 } = new MessageChannel();
      port1.on('message', () => {
        permit().then(
          () => port1.postMessage({ granted: true } satisfies PermitAnswer),
          (error: unknown) => port1.postMessage({ denied: toWire(error) } satisfies PermitAnswer),
        );
      });
      try {
        const answer = await pool.run(
          { task, source: source.spec, target: target.spec, tally: tally.memory, permitPort: port2 },
          { transferList: [port2] },
        );
        if ('error' in answer) throw fromWire(answer.error);
        return answer.result;
      } finally {
        port1.close();
      }
    },
    close: () => pool.close({ force: false }),
  };
}

/** The inline executor where an end lives in this thread only, the given one elsewhere. */
export function executorFor(
  ends: Ends,
  { inline, workers }: { inline: Executor; workers: Executor | undefined },
): Executor {
  return workers && ends.source.spec && ends.target.spec ? workers : inline;
}
