// Thousands of rounds of damage: each ends in bounded time, all of them together in bounded memory.
// Time is that of the processor: on a busy machine a round waits for others, and nothing here waits for a medium.

import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { SEED } from './random.js';

const MAX_MS = 4000;
const MAX_GROWTH = 300 * MiB;

/** `round` does one; what it throws is told with the round and the seed. */
export async function manyRounds(name: string, count: number, round: (index: number) => Promise<void>): Promise<void> {
  const before = process.memoryUsage().rss;
  let slowest = 0;
  let most = before;
  for (let index = 0; index < count; index += 1) {
    const started = process.cpuUsage();
    try {
      await round(index);
    } catch (error) {
      const told = error instanceof Error ? error.stack : error;
      throw new Error(`${name}: round ${index} of seed ${SEED}: ${told}`, { cause: error });
    }
    const { user, system } = process.cpuUsage(started);
    slowest = Math.max(slowest, (user + system) / 1000);
    if (index % 100 === 0) most = Math.max(most, process.memoryUsage().rss);
  }
  const growth = Math.max(most, process.memoryUsage().rss) - before;
  console.log(`${name}: ${count} rounds, slowest ${slowest.toFixed(0)} ms, ${(growth / MiB).toFixed(0)} MiB more`);
  assert.ok(slowest < MAX_MS, `${name}: a round took ${slowest} ms`);
  assert.ok(growth < MAX_GROWTH, `${name}: memory grew by ${growth} bytes`);
}
