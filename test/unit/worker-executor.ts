// Worker threads and the permission to write: asked once a task, granted or refused by the main thread.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { createTally } from '../../src/engine/tally.js';
import type { Task } from '../../src/engine/task.js';
import { workerExecutor } from '../../src/engine/workers.js';
import { openDiskSource, openDiskTarget } from '../../src/source/disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const SIZE = 8 * MiB;

const task: Task = {
  kind: 'stretch',
  stretch: {
    extent: { offset: 0, length: SIZE },
    blockSize: 65536,
    used: [{ offset: 0, length: SIZE }],
    wiped: [],
    held: [],
    known: undefined,
    unknown: 'write',
    sink: 'write',
    discardFree: false,
  },
};

/** Runs several such tasks at once over files of their own; `permit` decides about the numbered one. */
async function runTasks(count: number, permit: (index: number) => Promise<void>) {
  const workers = workerExecutor(2);
  const asked: number[] = [];
  const content = randomFrom(SEED).bytes(SIZE);
  const results = await Promise.allSettled(
    Array.from({ length: count }, async (_, index) => {
      const paths = { source: join(scratch, `source-${index}`), target: join(scratch, `target-${index}`) };
      writeFileSync(paths.source, content);
      writeFileSync(paths.target, Buffer.alloc(SIZE));
      const source = openDiskSource(paths.source);
      const target = openDiskTarget(paths.target);
      try {
        return await workers.run(task, { source, target, tally: createTally() }, async () => {
          asked.push(index);
          await permit(index);
        });
      } finally {
        await source.close();
        await target.close();
      }
    }),
  );
  await workers.close();
  const written = results.map((_, index) => readFileSync(join(scratch, `target-${index}`)).equals(content));
  return { results, asked, written };
}

test('every task asks once and writes', async () => {
  const { results, asked, written } = await runTasks(5, async () => {});
  assert.equal(
    asked.sort((a, b) => a - b),
    [0, 1, 2, 3, 4],
  );
  assert.ok(results.every(({ status }) => status === 'fulfilled'));
  assert.ok(written.every((whole) => whole));
});

test('a refused task fails with the reason of the refusal and writes nothing; the others go on', async () => {
  const reason = new Error('not armed');
  const { results, written } = await runTasks(5, async (index) => {
    if (index === 2) throw reason;
  });
  assert.equal(written, [true, true, false, true, true]);
  const [refused] = results.filter((result): result is PromiseRejectedResult => result.status === 'rejected');
  assert.is(refused?.reason, reason);
  assert.ok(readFileSync(join(scratch, 'target-2')).equals(Buffer.alloc(SIZE)));
});

test.run();
