// Where tasks run: in this thread, or in worker threads when there is enough to do and both ends can be opened again.
// Invariant: blocking I/O in a few more workers than cores is the queue depth; nothing else is in flight.

import { availableParallelism } from 'node:os';
import { Piscina } from 'piscina';
import { fromWire, type WireError } from '../base/tool-error.js';
import { type Bytes, MiB } from '../base/units.js';
import type { Source, SourceSpec, Target } from '../source/types.js';
import { answerPermission, createPermission, type PermissionRequest } from './permission.js';
import type { Buffers } from './read.js';
import type { StretchResult } from './stretch.js';
import type { Tally } from './tally.js';
import { perform, type Task } from './task.js';
import { createBuffers } from './window.js';

/** What a task works on. */
export interface Ends {
  readonly source: Source;
  readonly target: Target;
  readonly tally: Tally;
}

export interface Executor {
  /** How many tasks are worth starting at once. */
  readonly concurrency: number;
  /** `permit` is called at most once, before the first write; not by a worker if it is `granted` already. */
  run(task: Task, ends: Ends, permit: () => Promise<void>, granted?: boolean): Promise<StretchResult>;
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

/** What a worker gets: everything plain, or shared. */
export interface WorkerTask {
  readonly task: Task;
  readonly source: SourceSpec;
  readonly target: SourceSpec;
  readonly tally: SharedArrayBuffer;
  /** Tells it from the other tasks under way. */
  readonly id: number;
  /** Where the answer to its wish to write will be. */
  readonly permission: SharedArrayBuffer;
}

export type WorkerAnswer = { readonly result: StretchResult } | { readonly error: WireError };

/** One more than cores: while one waits for its medium, another has work. Each costs start-up time and memory. */
export function workerCount(): number {
  return Math.min(8, availableParallelism() + 1);
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
    filename: new URL('./task-worker.js', import.meta.url).href,
    minThreads: workers,
    maxThreads: workers,
    concurrentTasksPerWorker: TASKS_PER_WORKER,
    recordTiming: false,
  });
  const underWay = new Map<number, () => Promise<void>>();
  let count = 0;
  pool.on('message', ({ wantsToWrite }: PermissionRequest) => void underWay.get(wantsToWrite)?.());
  return {
    concurrency: workers * TASKS_PER_WORKER,
    async run(task, { source, target, tally }, permit, granted = false) {
      if (!source.spec || !target.spec) throw new Error('internal error: a worker needs specs');
      count += 1;
      const id = count;
      const permission = createPermission();
      if (granted) answerPermission(permission, { granted });
      let refusal: { error: unknown } | undefined;
      underWay.set(id, async () => {
        try {
          await permit();
        } catch (error) {
          refusal = { error };
        }
        answerPermission(permission, { granted: refusal === undefined });
      });
      try {
        const ends = { source: source.spec, target: target.spec, tally: tally.memory };
        const answer = await pool.run({ task, ...ends, id, permission });
        if (refusal) throw refusal.error;
        if ('error' in answer) throw fromWire(answer.error);
        return answer.result;
      } finally {
        underWay.delete(id);
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
