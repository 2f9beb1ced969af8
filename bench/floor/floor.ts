// The yardstick: the same job as a first clone (or a run that only reads), as bare as this language allows. No plan,
// no map, no safety. What ectype needs more than this is the price of everything it does besides moving bytes.
// Usage: node dist/bench/floor/floor.js copy SOURCE TARGET [options] | read SOURCE [options]
//   --workers=N   threads, one a core if missing
//   --used=FILE   extents as bench/floor/used prints them: only these are read; a copy discards everything else

import { closeSync, constants, fdatasyncSync, fstatSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import xxhash from 'xxhash-addon';
import { type Extent, extentEnd, gaps } from '../../src/map/extent.js';
import { allocateAligned } from '../../src/native/aligned.js';
import { blockDiscard, deviceGeometry, punchHole } from '../../src/native/syscalls.js';

const WINDOW = 2 * 1024 * 1024;
const BLOCK = 64 * 1024;

/** Of which one worker discards at once. */
const DISCARD = 1024 * 1024 * 1024;

interface Job {
  readonly source: string;
  readonly target: string | undefined;
  /** Windows to copy, and free stretches to discard. */
  readonly pieces: readonly (Extent & { readonly free: boolean })[];
  /** Number of the next piece, shared by all workers. */
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

function piecesOf(used: readonly Extent[], { size, discard }: { size: number; discard: boolean }): Job['pieces'] {
  const cut = (extents: Iterable<Extent>, length: number, free: boolean): Job['pieces'] =>
    [...extents].flatMap((extent) =>
      Array.from({ length: Math.ceil(extent.length / length) }, (_, index) => {
        const offset = extent.offset + index * length;
        return { offset, length: Math.min(length, extentEnd(extent) - offset), free };
      }),
    );
  const free = discard ? cut(gaps(used, { offset: 0, length: size }), DISCARD, true) : [];
  return [...free, ...cut(used, WINDOW, false)];
}

/** Each worker takes the next piece until there is none. Sizes are whole sectors. */
function work({ source, target, pieces, next }: Job): void {
  const from = openDirect(source, constants.O_RDONLY);
  const to = target === undefined ? undefined : openDirect(target, constants.O_RDWR);
  const discard = to !== undefined && fstatSync(to).isBlockDevice() ? blockDiscard : punchHole;
  const memory = allocateAligned(WINDOW);
  const counter = new Int32Array(next);
  const digests = Buffer.alloc((WINDOW / BLOCK) * 16);
  for (let piece = pieces[Atomics.add(counter, 0, 1)]; piece; piece = pieces[Atomics.add(counter, 0, 1)]) {
    const { offset, length, free } = piece;
    if (free) {
      if (to !== undefined) discard(to, piece);
      continue;
    }
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
  const workers = Number(/--workers=(\d+)/.exec(words.join(' '))?.[1] ?? Math.max(2, availableParallelism()));
  if (source === undefined || (verb === 'copy' ? target === undefined : verb !== 'read')) {
    throw new Error('usage: floor copy SOURCE TARGET [--workers=N] | floor read SOURCE [--workers=N]');
  }
  const size = sizeOf(source);
  const file = /--used=(\S+)/.exec(words.join(' '))?.[1];
  const used: readonly Extent[] = file ? JSON.parse(readFileSync(file, 'utf8')) : [{ offset: 0, length: size }];
  const pieces = piecesOf(used, { size, discard: target !== undefined });
  const job: Job = { source, target, pieces, next: new SharedArrayBuffer(4) };
  const program = new URL(import.meta.url);
  await Promise.all(Array.from({ length: workers }, () => finished(new Worker(program, { workerData: job }))));
  if (target === undefined) return;
  const fd = openSync(target, constants.O_RDWR);
  fdatasyncSync(fd);
  closeSync(fd);
}

if (isMainThread) await main(process.argv.slice(2));
else work(workerData as Job);
