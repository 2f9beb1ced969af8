// Room for a note in free space: against a model that tries every block.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mapOfExtents } from '../../src/map/allocation-map.js';
import { type Extent, overlaps } from '../../src/map/extent.js';
import { firstFreeBlock } from '../../src/map/free-block.js';
import { type Random, randomFrom, SEED } from '../support/random.js';

function modelOf(
  used: readonly Extent[],
  { size, blockSize }: { size: number; blockSize: number },
): number | undefined {
  for (let offset = 0; offset + blockSize <= size; offset += blockSize) {
    if (!used.some((extent) => overlaps(extent, { offset, length: blockSize }))) return offset;
  }
  return undefined;
}

function someExtents(random: Random, size: number, most: number): Extent[] {
  return Array.from({ length: random.below(most) }, () => {
    const offset = random.below(size);
    return { offset, length: random.between(1, size - offset > 40 ? 40 : size - offset) };
  });
}

test('the first whole block that nothing uses or reserves', async () => {
  const random = randomFrom(SEED);
  const found = { none: 0, some: 0 };
  for (let round = 0; round < 2000; round += 1) {
    const grid = { size: random.between(1, 300), blockSize: random.pick([8, 16]) };
    const used = someExtents(random, grid.size, 12);
    const reserved = someExtents(random, grid.size, 4);
    const wanted = modelOf([...used, ...reserved], grid);
    assert.is(
      await firstFreeBlock(mapOfExtents(used, 1), grid, reserved),
      wanted,
      JSON.stringify({ grid, used, reserved }),
    );
    found[wanted === undefined ? 'none' : 'some'] += 1;
  }
  assert.ok(found.none > 100 && found.some > 100, JSON.stringify(found));
});

test.run();
