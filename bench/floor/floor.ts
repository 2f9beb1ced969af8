// The yardstick: the same job as a first clone (or a run that only reads), as bare as this language allows. No plan,
// no map, no safety. What ectype needs more than this is the price of everything it does besides moving bytes.
// Usage: node dist/bench/floor/floor.js copy SOURCE TARGET [--workers=N] | read SOURCE [--workers=N]

import { closeSync, constants, fdatasyncSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import xxhash from 'xxhash-addon';
import { allocateAligned } from '../../src/native/aligned.js';
import { deviceGeometry } from '../../src/native/syscalls.js';

const WINDOW = 2 * 1024 * 1024;
const BLOCK = 64 * 1024;

interface Job {
  readonly source: string;
  readonly target: string | undefined;
  readonly size: number;
  /** Number of the next window, shared by all workers. */
  readonly next: SharedArrayBuffer;
}

function openDirect(path: string, flags: number): number {
  try {
    return openSync(path, flags | constants.O_DIRECT);
  } catch {
    return openSync(path, flags); // an old tmpfs
  }
}

function sizeOf(path: string): number {
  const fd = openDirect(path, constants.O_RDONLY);
  try {
    const stats = fstatSync(fd);
    return stats.isBlockDevice() ? deviceGeometry(fd).size : stats.size;
  } finally {
    closeSync(fd);
  }
}

/** Each worker takes the next window until there is none. Sizes are whole sectors. */
function work({ source, target, size, next }: Job): void {
  const from = openDirect(source, constants.O_RDONLY);
  const to = target === undefined ? undefined : openDirect(target, constants.O_RDWR);
  const memory = allocateAligned(WINDOW);
  const counter = new Int32Array(next);
  const digests = Buffer.alloc((WINDOW / BLOCK) * 16);
  for (;;) {
    const offset = Atomics.add(counter, 0, 1) * WINDOW;
    if (offset >= size) break;
    const length = Math.min(WINDOW, size - offset);
    for (let done = 0; done < length; ) {
      const got = readSync(from, memory, done, length - done, offset + done);
      if (got === 0) throw new Error(`${source} ends at ${offset + done}`);
      done += got;
    }
    for (let at = 0; at < length; at += BLOCK) {
      digests.set(xxhash.XXHash128.hash(memory.subarray(at, Math.min(at + BLOCK, length))), (at / BLOCK) * 16);
    }
    if (to === undefined) continue;
    for (let done = 0; done < length; ) done += writeSync(to, memory, done, length - done, offset + done);
  }
  if (to !== undefined) closeSync(to);
  closeSync(from);
}

function finished(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', (status) => (status === 0 ? resolve() : reject(new Error(`a worker ended with ${status}`))));
  });
}

async function main(words: readonly string[]): Promise<void> {
  const [verb, source, target] = words.filter((word) => !word.startsWith('--'));
  const workers = Number(/--workers=(\d+)/.exec(words.join(' '))?.[1] ?? 4);
  if (source === undefined || (verb === 'copy' ? target === undefined : verb !== 'read')) {
    throw new Error('usage: floor copy SOURCE TARGET [--workers=N] | floor read SOURCE [--workers=N]');
  }
  const job: Job = { source, target, size: sizeOf(source), next: new SharedArrayBuffer(4) };
  const file = new URL(import.meta.url);
  await Promise.all(Array.from({ length: workers }, () => finished(new Worker(file, { workerData: job }))));
  if (target === undefined) return;
  const fd = openSync(target, constants.O_RDWR);
  fdatasyncSync(fd);
  closeSync(fd);
}

if (isMainThread) await main(process.argv.slice(2));
else work(workerData as Job);
