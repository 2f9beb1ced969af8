// Wanted sizes, sectors, the end of an MBR, and what a refusal says.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Bytes, GiB, KiB, MiB, TiB } from '../../src/base/units.js';
import { layoutError } from '../../src/plan/layout/decide.js';
import { C, ESP, flexible, part, picture, planned, refused, request, WINDOWS } from '../support/layout-request.js';

test('a table alone needs room too, and the only partition is not left out', () => {
  assert.is(refused({ size: 67 * 512 }).needed, 68 * 512);
  assert.is(planned({ size: 68 * 512, partitions: [] }).unused, 512);
  assert.equal(refused({ partitions: [ESP], size: 50 * MiB }).remedies.drop, []);
  assert.equal(refused({ partitions: [{ ...ESP, fixed: 'recovery' }], size: 50 * MiB }).remedies.drop, []);
});

test('rest is shared equally, min is the minimum, sizes are rounded up to whole MiB', () => {
  const partitions = [1, 2, 3, 4].map((n) => flexible(n, MiB + (n - 1) * GiB, GiB, 100 * MiB + 1));
  const sizes = new Map<number, Bytes | 'min' | 'rest'>([
    [1, 2 * GiB - 5],
    [2, 'rest'],
    [3, 'min'],
    [4, 'rest'],
  ]);
  const layout = planned({ partitions, size: 10 * GiB, sizes });
  const lengths = layout.placements.map(({ extent }) => extent.length);
  assert.equal(lengths, [2 * GiB, 4044 * MiB, 100 * MiB + 512, 4044 * MiB]);
});

test('sizes that cannot be are refused with what can', () => {
  const ask = (number: number, size: Bytes | 'min' | 'rest') => () =>
    planned({
      partitions: [...WINDOWS, part(5, 99_700 * MiB, MiB, { fixed: undefined })],
      size: 200_000 * MiB,
      sizes: new Map([[number, size]]),
    });
  const code = (expected: string) => (error: { code?: string }) => error.code === expected;
  assert.throws(ask(3, 39_999 * MiB), code('usage.size-below-minimum'));
  assert.throws(ask(1, 200 * MiB), code('usage.size-of-fixed'));
  assert.throws(ask(4, 'rest'), code('usage.size-of-fixed'));
  assert.throws(ask(5, 2 * MiB), code('usage.size-beyond-partition'));
  assert.throws(ask(5, 'rest'), code('usage.size-beyond-partition'));
  assert.throws(ask(9, 'min'), code('usage.no-such-partition'));
  const limited = { ...C, maximum: 150_000 * MiB };
  assert.throws(
    () => planned({ partitions: [limited], size: TiB, sizes: new Map([[3, 150_001 * MiB]]) }),
    code('usage.size-above-maximum'),
  );
  assert.equal(ask(1, 100 * MiB)().placements[0]?.size, 'same');
  assert.equal(ask(4, 'min')().placements[3]?.size, 'same');
});

test('nothing moves before the first partition of the source, even if that is left out', () => {
  const partitions = [flexible(2, 500 * MiB, 400 * MiB, 400 * MiB)];
  const options = { partitions, firstStart: 8 * MiB, size: 500 * MiB };
  assert.equal(picture(planned(options)), ['2: 99 + 400']);
  assert.is(refused({ ...options, size: 408 * MiB }).needed, 408 * MiB + 33 * 512);
});

test('larger sectors: what does not lie on them moves to a whole MiB or is rounded up', () => {
  const partitions = [
    part(1, 63 * 512, 10 * MiB + 512),
    part(2, 20 * MiB, 10 * MiB),
    flexible(3, 30 * MiB, 10 * MiB + 1024),
  ];
  const layout = planned({ mode: 'same', partitions, size: GiB, sectorSize: 4 * KiB });
  assert.equal(
    layout.placements.map(({ extent }) => [extent.offset, extent.length]),
    [
      [MiB, 10 * MiB + 4096],
      [20 * MiB, 10 * MiB],
      [30 * MiB, 10 * MiB + 4096],
    ],
  );
  assert.equal(
    layout.notes.map(({ code }) => code),
    ['other-sectors'],
  );
});

test('an MBR ends at 2^32 sectors', () => {
  const partitions = [{ ...flexible(1, MiB, TiB), role: 'primary' as const }];
  const layout = planned({ table: 'mbr', partitions, size: 3 * TiB });
  assert.equal(picture(layout), [`1: 1 + ${2 * 1024 * 1024 - 1}`]);
  assert.is(layout.unused, TiB);
  assert.equal(
    layout.notes.map(({ code }) => code),
    ['beyond-mbr'],
  );
  assert.is(planned({ table: 'gpt', partitions, size: 3 * TiB }).unused, MiB - 33 * 512);
  const refusal = refused({ table: 'mbr', partitions, size: 3 * TiB, sizes: new Map([[1, 2 * TiB]]) });
  assert.is(refusal.reason, 'beyond-mbr');
  assert.is(refusal.missing, MiB);
  assert.ok(refusal.remedies.gpt);
  assert.is(
    layoutError(request({ table: 'mbr', partitions, size: 3 * TiB }), refusal).code,
    'safety.layout-beyond-mbr',
  );
});

test('a refusal names what alone would be enough, and nothing else', () => {
  const { missing, remedies } = refused({ mode: 'same', partitions: WINDOWS, size: 90_000 * MiB });
  assert.is(missing, 9600 * MiB + 33 * 512);
  assert.equal(remedies, {
    fill: true,
    gpt: false,
    reduce: [{ number: 3, size: 89_282 * MiB, by: 9601 * MiB }],
    drop: [],
  });
  const tight = refused({ partitions: WINDOWS, size: 40_700 * MiB });
  assert.is(tight.needed, 40_717 * MiB + 33 * 512);
  assert.equal(tight.remedies, { fill: false, gpt: false, reduce: [], drop: [3, 4] });
});

test.run();
