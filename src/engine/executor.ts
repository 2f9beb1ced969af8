// Where tasks run: in this thread, or in worker threads when there is enough to do and both ends can be opened again.
// Invariant: blocking I/O in a few more workers than cores is the queue depth; nothing else is in flight.

import type { Source, Target } from '../source/types.js';
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

/** One under way and one waiting in the worker, so that it never waits for the main thread between two. */
export const TASKS_PER_WORKER = 2;

/** The inline executor where an end lives in this thread only, the given one elsewhere. */
export function executorFor(
  ends: Ends,
  { inline, workers }: { inline: Executor; workers: Executor | undefined },
): Executor {
  return workers && ends.source.spec && ends.target.spec ? workers : inline;
}
