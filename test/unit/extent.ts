// Arithmetic of byte ranges against the simplest model there is: one boolean a byte.

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type AllocationMap, everythingUsed, joinNeighbours, mapOfExtents } from '../../src/map/allocation-map.js';
import {
  type Extent,
  extentEnd,
  gaps,
  intersect,
  normalise,
  overlaps,
  totalLength,
  widen,
} from '../../src/map/extent.js';

const SIZE = 64;
const extent = fc
  .tuple(fc.nat(SIZE), fc.nat(SIZE))
  .map(([a, b]): Extent => ({ offset: Math.min(a, b), length: Math.abs(a - b) }));
const extents = fc.array(extent, { maxLength: 12 });

function bitmap(parts: Iterable<Extent>): boolean[] {
  const bits = new Array<boolean>(SIZE).fill(false);
  for (const { offset, length } of parts) bits.fill(true, offset, offset + length);
  return bits;
}

function isNormal(parts: readonly Extent[]): void {
  let end = -1;
  for (const part of parts) {
    assert.ok(part.length > 0 && part.offset > end, JSON.stringify(parts));
    end = extentEnd(part);
  }
}

const clipped = (bits: boolean[], { offset, length }: Extent): boolean[] =>
  bits.map((bit, at) => bit && at >= offset && at < offset + length);

async function collect(map: AllocationMap, within: Extent): Promise<Extent[]> {
  const found: Extent[] = [];
  for await (const part of map.usedExtents(within)) found.push(part);
  return found;
}

test('intersect and overlaps', () => {
  fc.assert(
    fc.property(extent, extent, (a, b) => {
      const part = intersect(a, b);
      assert.equal(bitmap(part ? [part] : []), clipped(bitmap([a]), b));
      if (part) assert.ok(part.length > 0);
      if (a.length > 0 && b.length > 0) assert.is(overlaps(a, b), part !== undefined);
    }),
  );
});

test('normalise keeps the bytes and leaves the shortest list', () => {
  fc.assert(
    fc.property(extents, (parts) => {
      const before = JSON.stringify(parts);
      const normal = normalise(parts);
      isNormal(normal);
      assert.equal(bitmap(normal), bitmap(parts));
      assert.is(totalLength(normal), bitmap(parts).filter(Boolean).length);
      assert.equal(normalise(normal), normal);
      assert.is(JSON.stringify(parts), before, 'the argument stays as it was');
    }),
  );
});

test('gaps are exactly the rest', () => {
  fc.assert(
    fc.property(extents, extent, (parts, within) => {
      const taken = normalise(parts);
      const free = [...gaps(taken, within)];
      isNormal(free);
      const expected = clipped(
        bitmap(taken).map((bit) => !bit),
        within,
      );
      assert.equal(bitmap(free), expected);
    }),
  );
});

test('widen goes outwards to whole units and stays below the limit', () => {
  fc.assert(
    fc.property(extent, fc.integer({ min: 1, max: 16 }), fc.nat(SIZE), (inner, unit, more) => {
      const limit = Math.max(extentEnd(inner), more);
      const outer = widen(inner, { unit, limit });
      assert.ok(outer.offset <= inner.offset && extentEnd(outer) >= extentEnd(inner));
      assert.ok(outer.offset % unit === 0 && inner.offset - outer.offset < unit);
      assert.ok(extentEnd(outer) === limit || (extentEnd(outer) % unit === 0 && extentEnd(outer) < limit));
      assert.ok(extentEnd(outer) - extentEnd(inner) < unit);
    }),
  );
});

test('a map of extents answers every question like the bitmap', async () => {
  await fc.assert(
    fc.asyncProperty(extents, extent, async (parts, within) => {
      const found = await collect(mapOfExtents(parts, 1), within);
      isNormal(found);
      assert.equal(bitmap(found), clipped(bitmap(parts), within));
    }),
  );
});

test('joining neighbours of an ascending stream', async () => {
  await fc.assert(
    fc.asyncProperty(extents, extent, async (parts, within) => {
      const ascending = [...parts].sort((a, b) => a.offset - b.offset);
      const found: Extent[] = [];
      for await (const part of joinNeighbours(ascending, within)) found.push(part);
      isNormal(found);
      assert.equal(bitmap(found), clipped(bitmap(parts), within));
    }),
  );
});

test('everything used is one extent, whatever is asked', async () => {
  assert.equal(await collect(everythingUsed(10), { offset: 0, length: 10 }), [{ offset: 0, length: 10 }]);
  assert.equal(await collect(everythingUsed(10), { offset: 4, length: 90 }), [{ offset: 4, length: 6 }]);
  assert.equal(await collect(everythingUsed(0), { offset: 0, length: 9 }), []);
});

test.run();
