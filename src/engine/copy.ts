// The copy loop: every volume's stretches, bounded in flight, digests handed to the ledger. There is no other loop.
// Invariant: it returns only when every task has ended, whether they succeeded or not: nobody writes behind its back.

import { DIGEST_LENGTH } from '../base/digest.js';
import { interrupted } from '../base/errors/run.js';
import { isZero } from '../base/zeros.js';
import { type Executor, executorFor } from './executor.js';
import type { Ledger } from './ledger.js';
import { mergedDigests, type RescueOptions, rescuePasses, type VolumeItem } from './rescue-passes.js';
import { classify, HELD, runsOf, type Stretch, type StretchResult } from './stretch.js';
import { type VolumeCopy, type WorkItem, workItems } from './volume-copy.js';

export interface CopyOptions {
  readonly sink: Stretch['sink'];
  readonly inline: Executor;
  readonly workers: Executor | undefined;
  readonly ledger: Ledger;
  readonly signal: AbortSignal;
  /** Goes on over unreadable sectors of volumes that say what then. */
  readonly rescue?: RescueOptions | undefined;
  /** Told of blocks that differed, with the byte offset of each in its volume. */
  readonly onDiffering?: (volume: VolumeCopy, offsets: readonly number[]) => void;
}

/** Brings the target's volumes up to date (or reports what differs). Throws the first error of any task. */
export async function copy(volumes: readonly VolumeCopy[], options: CopyOptions): Promise<void> {
  const { ledger, signal } = options;
  const running = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  const fail = (error: unknown): void => {
    failure ??= { error };
    for (const { tally } of volumes) tally.stop(); // the other tasks end at their next window
  };
  const abort = (): void => fail(interrupted());
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  const run = async (items: AsyncIterable<VolumeItem>, atOnce: number): Promise<void> => {
    for await (const { volume, item } of items) {
      if (failure) break;
      const executor = executorFor(volume, options);
      while (running.size >= Math.min(atOnce, executor.concurrency)) await Promise.race(running);
      const task: Promise<void> = execute(volume, item, executor, options)
        .catch(fail)
        .finally(() => running.delete(task));
      running.add(task);
      ledger.tick();
    }
    await Promise.all(running);
  };
  try {
    await run(firstPass(volumes, options.sink), Number.POSITIVE_INFINITY);
    const passes = options.rescue && rescuePasses(volumes, options.rescue);
    for (
      let pass = failure ? undefined : passes?.next();
      pass && !pass.done;
      pass = failure ? undefined : passes?.next()
    ) {
      await ledger.finish(); // late items go on from the digests in the maps
      await run(pass.value, 1); // a failing disk answers best to one request at a time
    }
  } catch (error) {
    fail(error);
  } finally {
    await Promise.all(running);
    signal.removeEventListener('abort', abort);
  }
  // What is complete is kept, also after a failure: the next run goes on from there.
  await ledger.finish().catch(fail);
  if (failure) throw failure.error;
}

async function* firstPass(volumes: readonly VolumeCopy[], sink: Stretch['sink']): AsyncGenerator<VolumeItem> {
  for (const volume of volumes) {
    for await (const item of workItems(volume, sink)) yield { volume, item };
  }
}

async function execute(
  volume: VolumeCopy,
  { page, task }: WorkItem,
  executor: Executor,
  options: CopyOptions,
): Promise<void> {
  const { map } = volume;
  const permit = async (): Promise<void> => options.ledger.permit(map, page);
  // What will be written in any case need not ask: a worker that asks waits, and its disk with it.
  const granted = options.sink === 'write' && volume.discardFree && volume.unknown === 'write';
  if (granted) await permit();
  const result = await executor.run(task, volume, permit, granted);
  if (page === undefined || task.kind !== 'stretch') return;
  if (result.differing.length > 0 && options.onDiffering) {
    const { extent, blockSize } = task.stretch;
    const offsets = result.differing.flatMap(({ first, end }) =>
      Array.from({ length: end - first }, (_, index) => extent.offset + (first + index) * blockSize),
    );
    options.onDiffering(volume, offsets);
  }
  if (options.sink !== 'write') return;
  volume.rescue?.damage.note(page, task.stretch, result);
  const { pass } = task.stretch.rescue ?? {};
  const isLate = pass === 'split' || pass === 'again';
  const digests = isLate ? mergedDigests(volume, task.stretch, result.digests) : result.digests;
  // A write has voided the page, even if its digests turn out to be the known ones: blocks with holes have none.
  const isVoid = result.differing.length > 0;
  if (isVoid || changes(task.stretch, { ...result, digests })) options.ledger.complete(map, page, digests);
}

/** True if the page's digests are no longer the known ones. Held blocks do not count: their digests are the commit's. */
function changes(stretch: Stretch, result: StretchResult): boolean {
  const digests = Buffer.from(result.digests.buffer, result.digests.byteOffset, result.digests.length);
  if (stretch.known === undefined) return !isZero(digests);
  const known = Buffer.from(stretch.known.subarray(0, digests.length)); // a copy: the result has zeros for held blocks
  const states = classify(stretch);
  for (const { first, end } of runsOf(states, HELD, { first: 0, end: states.length })) {
    known.fill(0, first * DIGEST_LENGTH, end * DIGEST_LENGTH);
  }
  return !known.equals(digests);
}
