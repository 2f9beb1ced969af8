// Worker threads that run tasks: both ends of a task are opened again there.
// Invariant: blocking I/O in a few more workers than cores is the queue depth; nothing else is in flight.

import { Piscina } from 'piscina';
import { fromWire, type WireError } from '../base/tool-error.js';
import type { SourceSpec } from '../source/types.js';
import { type Executor, TASKS_PER_WORKER } from './executor.js';
import { answerPermission, createPermission, type PermissionRequest } from './permission.js';
import type { StretchResult } from './stretch.js';
import type { Task } from './task.js';

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

/** Starts the threads. Both ends of every task must have a spec. */
export function workerPool(workers: number): Executor {
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
