// The picture of a layout: to scale, never longer than it may be, and never wrong about small partitions.

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { layoutBar } from '../../src/cli/report/layout-bar.js';

const part = (label: string, offset: number, length: number) => ({
  label,
  extent: { offset, length },
  used: undefined,
});

test('partitions in their places, free space as dots', () => {
  assert.is(layoutBar([part('whole', 0, 72)], 72), `[whole${' '.repeat(66)}|]`);
  assert.is(
    layoutBar([part('a', 0, 36), part('b', 54, 18)], 72),
    `[a${' '.repeat(34)}|${'.'.repeat(18)}b${' '.repeat(16)}|]`,
  );
  assert.is(layoutBar([part('b', 54, 18), part('a', 0, 36)], 72), layoutBar([part('a', 0, 36), part('b', 54, 18)], 72));
  assert.is(layoutBar([], 72), `[${'.'.repeat(72)}]`);
});

test('a smaller disk gets a shorter bar', () => {
  assert.is(layoutBar([], 50, 100).length, 38);
  assert.is(layoutBar([], 1, 1e12).length, 12);
});

test('a partition too small to see is seen', () => {
  assert.match(layoutBar([part('tiny', 0, 1), part('rest', 1, 999_999)], 1e6), /^\[t\|rest/);
});

test('a disk of no size has no picture', () => assert.is(layoutBar([part('x', 0, 0)], 0), '[]'));

test('whatever lies on the disk, the bar keeps its width', () => {
  const parts = fc.array(
    fc
      .record({ label: fc.string(), offset: fc.nat(1e6), length: fc.nat(1e6) })
      .map(({ label, offset, length }) => part(label, offset, length)),
    { maxLength: 130 },
  );
  fc.assert(
    fc.property(parts, fc.integer({ min: 1, max: 2e6 }), fc.integer({ min: 1, max: 4e6 }), (layout, size, longest) => {
      const most = Math.max(size, longest);
      const bar = layoutBar(layout, size, most);
      assert.ok(bar.startsWith('[') && bar.endsWith(']'));
      const cells = Math.max(10, Math.round((72 * size) / most));
      assert.is(bar.length, cells + 2);
    }),
  );
});

test.run();
