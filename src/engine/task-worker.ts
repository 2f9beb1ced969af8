// The worker's side of the pool: opens each medium once, keeps its buffers, performs one task at a time.
// Invariant: errors travel as plain data, because a thrown one loses its class on the way.

import { interrupted } from '../base/errors/run.js';
import { toWire } from '../base/tool-error.js';
import { openSource, openTarget } from '../source/open.js';
import { readOnlyTarget } from '../source/read-only.js';
import type { Source, SourceSpec, Target } from '../source/types.js';
import { askPermission } from './permission.js';
import { tallyOver } from './tally.js';
import { perform } from './task.js';
import { createBuffers } from './window.js';
import type { WorkerAnswer, WorkerTask } from './worker-pool.js';

const buffers = createBuffers();
const sources = new Map<string, Source>();
const targets = new Map<string, Target>();

function openEnd({ target, writable }: { target: SourceSpec; writable: boolean }): Target {
  return writable ? openTarget(target) : readOnlyTarget(openSource(target));
}

/** The medium of `spec`, opened at its first use and kept until the thread ends. */
function opened<S, T>(cache: Map<string, T>, spec: S, open: (spec: S) => T): T {
  const key = JSON.stringify(spec);
  const found = cache.get(key) ?? open(spec);
  cache.set(key, found);
  return found;
}

let last: Promise<unknown> = Promise.resolve();

/** One task at a time: they share the buffers. */
export default function work(order: WorkerTask): Promise<WorkerAnswer> {
  const answer = last.then(() => workAlone(order));
  last = answer;
  return answer;
}

async function workAlone({ task, source, target, tally, id, permission }: WorkerTask): Promise<WorkerAnswer> {
  try {
    let permitted = false;
    const permit = async (): Promise<void> => {
      permitted ||= askPermission(permission, id);
      if (!permitted) throw interrupted(); // the main thread knows why, and says so
    };
    const writable = task.kind === 'discard' || task.stretch.sink === 'write';
    const result = await perform(task, {
      source: opened(sources, source, openSource),
      target: opened(targets, { target, writable }, openEnd),
      buffers,
      tally: tallyOver(tally),
      permit,
    });
    return { result };
  } catch (error) {
    return { error: toWire(error) };
  }
}
