// Worker threads for whoever has enough to do. Invariant: no thread starts before somebody knows that it is needed.

import { availableParallelism } from 'node:os';
import { type Bytes, MiB } from '../base/units.js';
import { type Executor, TASKS_PER_WORKER } from './executor.js';

/** One more than cores: while one waits for its medium, another has work. Each costs start-up time and memory. */
export function workerCount(): number {
  return Math.min(8, availableParallelism() + 1);
}

/** Below this the start of worker threads costs more than they save. */
const WORTH_WORKERS = 64 * MiB;

/** Worker threads that start when they are needed: at the first task, or when somebody knows that there will be one. */
export interface Workers extends Executor {
  /** They take a moment to start, and it passes beside whatever the caller does meanwhile. */
  start(): void;
}

/** Worker threads if there is enough to do. */
export function workersFor(bytes: Bytes): Workers | undefined {
  return bytes >= WORTH_WORKERS ? workerExecutor() : undefined;
}

/** Runs tasks in worker threads. Both ends of every task must have a spec. */
export function workerExecutor(workers = workerCount()): Workers {
  let pool: Promise<Executor> | undefined;
  const started = (): Promise<Executor> => {
    pool ??= import('./worker-pool.js').then(({ workerPool }) => workerPool(workers));
    return pool;
  };
  return {
    concurrency: workers * TASKS_PER_WORKER,
    start: () => void started(),
    run: async (...task) => (await started()).run(...task),
    close: async () => (await pool)?.close(),
  };
}
