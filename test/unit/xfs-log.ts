// XFS logs by hand: fresh, half full, round the ring, over its end, torn, and large ones with their head anywhere.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readLogHead } from '../../src/filesystem/xfs/log.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import { parseSuperblock } from '../../src/filesystem/xfs/superblock.js';
import { memoryTarget } from '../../src/source/memory.js';
import { randomFrom, SEED } from '../support/random.js';
import { buildXfs, firstTreeBlock, flatten, logRecord, unmountRecord, type XfsShape } from '../support/xfs-builder.js';

const SMALL: XfsShape = {
  version: 4,
  blockSize: 512,
  groupBlocks: 4096,
  groupCount: 1,
  treeStart: firstTreeBlock(512),
  free: () => [{ start: 100, count: 3000 }],
};

/** The state of a volume whose log holds these records at these blocks; each block carries its round's number. */
async function stateWithLog(rounds: readonly number[], records: readonly Buffer[]): Promise<string> {
  const built = buildXfs(SMALL);
  const bytes = flatten(built);
  for (const [block, _cycle] of rounds.entries())
    bytes.fill(0, built.logOffset + block * 512, built.logOffset + (block + 1) * 512);
  for (const [block, cycle] of rounds.entries()) bytes.writeUInt32BE(cycle, built.logOffset + block * 512);
  for (const record of records) {
    const block = record.readUInt32BE(20);
    record.copy(bytes, built.logOffset + block * 512, 0, Math.min(1024, (16 - block) * 512));
    if (block === 15) {
      record.copy(bytes, built.logOffset, 512);
      bytes.writeUInt32BE(record.readUInt32BE(4) + 1, built.logOffset);
    }
  }
  const volume = memoryTarget(bytes);
  const info = await xfs.probe(volume);
  assert.ok(info);
  return (await xfs.readState(volume, info)).kind;
}

test('logs: fresh, half full, round the ring, over its end, torn', async () => {
  const fill = (cycle: number, count: number, before: number): number[] =>
    Array.from({ length: 16 }, (_, block) => (block < count ? cycle : before));
  const written = (cycle: number, block: number): Buffer => logRecord({ cycle, block, operations: 7 });
  const unmounted = (cycle: number, block: number): Buffer => unmountRecord({ cycle, block });
  assert.is(await stateWithLog(fill(1, 2, 0), [unmounted(1, 0)]), 'clean');
  assert.is(await stateWithLog(fill(1, 6, 0), [unmounted(1, 0), written(1, 2), unmounted(1, 4)]), 'clean');
  assert.is(await stateWithLog(fill(1, 4, 0), [unmounted(1, 0), written(1, 2)]), 'needs-replay');
  assert.is(
    await stateWithLog(fill(9, 4, 8), [written(9, 0), unmounted(9, 2), written(8, 4), unmounted(8, 10)]),
    'clean',
  );
  assert.is(await stateWithLog(fill(9, 2, 8), [written(9, 0), unmounted(8, 4)]), 'needs-replay');
  assert.is(await stateWithLog(fill(9, 16, 8), [written(9, 0), unmounted(9, 14)]), 'clean');
  assert.is(await stateWithLog(fill(9, 1, 8), [unmounted(8, 3), unmounted(8, 15)]), 'clean');
  assert.is(await stateWithLog(fill(9, 1, 8), [unmounted(8, 3), written(8, 15)]), 'needs-replay');
  // Only the header of the unmount record got through.
  const torn = unmounted(9, 2);
  torn.writeUInt32BE(8, 512);
  assert.is(await stateWithLog(fill(9, 3, 8), [written(9, 0), torn]), 'needs-replay');
  // The block before it never arrived: it is not the last record of an unbroken log.
  const holed = [...fill(9, 6, 8)];
  holed[3] = 8;
  assert.is(await stateWithLog(holed, [written(9, 0), unmounted(9, 4)]), 'needs-replay');
  // A record that lies where it does not belong is none.
  const moved = unmounted(9, 6);
  const elsewhere = Buffer.from(moved);
  elsewhere.writeUInt32BE(7, 20);
  assert.is(await stateWithLog(fill(9, 2, 8), []), 'dirty');
  assert.is(await stateWithLog(fill(0, 0, 0), []), 'dirty');
});

test('large logs with their head anywhere', async () => {
  const random = randomFrom(SEED);
  const superblock = parseSuperblock(flatten(buildXfs(SMALL)).subarray(0, 512));
  assert.ok(superblock);
  const blocks = 40_000;
  const log = Buffer.alloc(blocks * 512);
  for (const head of [
    2,
    3,
    100,
    5000,
    20_000,
    blocks - 3,
    blocks - 2,
    ...Array.from({ length: 8 }, () => random.between(2, blocks - 2)),
  ]) {
    for (let block = 0; block < blocks; block += 1) log.writeUInt32BE(block < head ? 7 : 6, block * 512);
    // Records of the round before end with an unmount too, wherever the ring was cut.
    for (let block = head; block + 2 <= blocks; block += 300) unmountRecord({ cycle: 6, block }).copy(log, block * 512);
    for (let block = 0; block + 4 <= head; block += 500)
      logRecord({ cycle: 7, block, operations: 3 }).copy(log, block * 512);
    const unmounted = random.chance(0.5);
    const last = unmounted
      ? unmountRecord({ cycle: 7, block: head - 2 })
      : logRecord({ cycle: 7, block: head - 2, operations: 1 });
    last.copy(log, (head - 2) * 512);
    const found = await readLogHead(memoryTarget(log), superblock, { group: 0, start: 0, blocks });
    assert.is(found?.header.readUInt32BE(20), head - 2);
    assert.is(found?.unmounted, unmounted, `head at ${head}`);
  }
});

test.run();
