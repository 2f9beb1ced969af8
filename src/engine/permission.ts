// How a worker asks the main thread whether it may write: a message there, one number in shared memory back.
// Invariant: the worker blocks until it has the answer; it has nothing else to do, and its event loop is not needed.

import { parentPort } from 'node:worker_threads';

/** What a worker posts: which of the tasks under way wants to write. */
export interface PermissionRequest {
  readonly wantsToWrite: number;
}

const ASKED = 0;
const GRANTED = 1;
const REFUSED = 2;

/** Crosses to the worker as it is. */
export function createPermission(): SharedArrayBuffer {
  return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
}

/** The main thread's side: wakes the worker. */
export function answerPermission(memory: SharedArrayBuffer, { granted }: { granted: boolean }): void {
  const cell = new Int32Array(memory);
  Atomics.store(cell, 0, granted ? GRANTED : REFUSED);
  Atomics.notify(cell, 0);
}

/** The worker's side: asks, and waits for the answer. */
export function askPermission(memory: SharedArrayBuffer, task: number): boolean {
  const cell = new Int32Array(memory);
  if (Atomics.load(cell, 0) !== ASKED) return Atomics.load(cell, 0) === GRANTED; // answered before it was asked
  parentPort?.postMessage({ wantsToWrite: task } satisfies PermissionRequest);
  while (Atomics.load(cell, 0) === ASKED) Atomics.wait(cell, 0, ASKED);
  return Atomics.load(cell, 0) === GRANTED;
}
