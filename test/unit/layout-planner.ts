// The rules of a layout on a target of another size, each in a disk that a reader can picture.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Bytes, GiB, KiB, MiB, TiB } from '../../src/base/units.js';
import { decideLayout, layoutError } from '../../src/plan/layout/decide.js';
import type { Layout, LayoutPartition, LayoutRefusal, LayoutRequest } from '../../src/plan/layout/types.js';

type Options = Partial<Omit<LayoutRequest, 'target'>> & { readonly size: Bytes; readonly sectorSize?: Bytes };

function part(number: number, offset: Bytes, length: Bytes, more: Partial<LayoutPartition> = {}): LayoutPartition {
  return {
    number,
    extent: { offset, length },
    role: 'gpt',
    fixed: 'unrecognised',
    minimum: length,
    growable: false,
    ...more,
  };
}

/** A file system that can have any size from `minimum` on. */
function flexible(number: number, offset: Bytes, length: Bytes, minimum: Bytes = MiB): LayoutPartition {
  return part(number, offset, length, { fixed: undefined, minimum, growable: true });
}

function request({ size, sectorSize = 512, ...more }: Options): LayoutRequest {
  return {
    table: 'gpt',
    partitions: [],
    containers: [],
    sourceSize: 100 * GiB,
    target: { size, sectorSize },
    mode: 'fill',
    sizes: new Map(),
    ...more,
  };
}

function planned(options: Options): Layout {
  const answer = decideLayout(request(options));
  assert.ok(answer.fits, JSON.stringify(answer));
  return answer;
}

function refused(options: Options): LayoutRefusal {
  const answer = decideLayout(request(options));
  assert.not.ok(answer.fits);
  return answer as LayoutRefusal;
}

/** "2: 1 MiB + 100 MiB": number, offset, length. */
function picture({ placements }: Layout): string[] {
  return placements.map(({ number, extent }) => `${number}: ${extent.offset / MiB} + ${extent.length / MiB}`);
}

const ESP = part(1, MiB, 100 * MiB, { fixed: 'efi-system' });
const MSR = part(2, 101 * MiB, 16 * MiB, { fixed: 'microsoft-reserved' });
const C = flexible(3, 117 * MiB, 98_883 * MiB, 40_000 * MiB);
const RECOVERY = part(4, 99_000 * MiB, 600 * MiB, { fixed: 'recovery' });
const WINDOWS = [ESP, MSR, C, RECOVERY];

test('fill, larger: the main partition grows and recovery goes to the end', () => {
  const layout = planned({ partitions: WINDOWS, size: 200_000 * MiB });
  // The last 33 sectors are the table's, so the last whole MiB cannot be used.
  assert.equal(picture(layout), ['1: 1 + 100', '2: 101 + 16', '3: 117 + 199282', '4: 199399 + 600']);
  assert.equal(
    layout.placements.map(({ moved, size }) => `${moved ? 'moved ' : ''}${size}`),
    ['same', 'same', 'grown', 'moved same'],
  );
  assert.is(layout.unused, MiB - 33 * 512);
  assert.equal(layout.notes, []);
});

test('fill, smaller: the largest shrinks by what is needed, the leading ones stay', () => {
  const layout = planned({ partitions: WINDOWS, size: 80_000 * MiB });
  assert.equal(picture(layout), ['1: 1 + 100', '2: 101 + 16', '3: 117 + 79282', '4: 79399 + 600']);
});

test('fill, smaller: the next largest shrinks when the first is at its minimum', () => {
  const partitions = [
    flexible(1, MiB, 10_000 * MiB, 8000 * MiB),
    flexible(2, 10_001 * MiB, 50_000 * MiB, 45_000 * MiB),
    flexible(3, 60_001 * MiB, 20_000 * MiB, 100 * MiB),
  ];
  const first = planned({ partitions, size: 76_000 * MiB });
  assert.equal(picture(first), ['1: 1 + 10000', '2: 10001 + 45998', '3: 55999 + 20000']);
  const second = planned({ partitions, size: 70_000 * MiB });
  assert.equal(picture(second), ['1: 1 + 10000', '2: 10001 + 45000', '3: 55001 + 14998']);
});

test('fill, smaller: free room is used before anything shrinks', () => {
  const partitions = [ESP, flexible(2, 50_000 * MiB, 40_000 * MiB)];
  const layout = planned({ partitions, size: 60_000 * MiB });
  assert.equal(picture(layout), ['1: 1 + 100', '2: 19999 + 40000']);
});

test('fill, smaller: a gap before the main partition that spares little shrinking stays', () => {
  const partitions = [ESP, flexible(2, 111 * MiB, 40_000 * MiB)];
  const layout = planned({ partitions, size: 30_000 * MiB });
  assert.equal(picture(layout), ['1: 1 + 100', '2: 111 + 29888']);
  const wide = [ESP, flexible(2, 1101 * MiB, 40_000 * MiB)];
  assert.equal(picture(planned({ partitions: wide, size: 30_000 * MiB })), ['1: 1 + 100', '2: 101 + 29898']);
});

test('fill: at the maximum of the main partition the next one grows', () => {
  const partitions = [flexible(1, MiB, 100 * MiB), { ...flexible(2, 101 * MiB, 900 * MiB), maximum: 1500 * MiB }];
  const layout = planned({ partitions, size: 4000 * MiB });
  assert.equal(picture(layout), ['1: 1 + 2498', '2: 2499 + 1500']);
  const alone = planned({ partitions: partitions.slice(1), size: 4000 * MiB });
  assert.equal(picture(alone), ['2: 101 + 1500']);
  assert.equal(
    alone.notes.map(({ code }) => code),
    ['at-maximum'],
  );
});

test('fill: where nothing can grow, all stay and the rest remains free', () => {
  const layout = planned({ partitions: [ESP, MSR], size: GiB });
  assert.equal(picture(layout), ['1: 1 + 100', '2: 101 + 16']);
  assert.equal(
    layout.notes.map(({ code }) => code),
    ['nothing-grows'],
  );
});

test('fill: a partition that ends between two MiB is not resized for less than one', () => {
  const odd = flexible(1, MiB, 99 * MiB + 512 * 700);
  const layout = planned({ partitions: [odd, part(2, 101 * MiB, 50 * MiB)], size: 152 * MiB });
  assert.equal(
    layout.placements.map(({ extent }) => extent.length),
    [odd.extent.length, 50 * MiB],
  );
});

test('same: every byte where it was, unaligned ones too; too small is told exactly', () => {
  const partitions = [part(1, 63 * 512, 10 * MiB + 512, {}), flexible(2, 20 * MiB + 512, 30 * MiB)];
  const end = 50 * MiB + 512;
  const layout = planned({ mode: 'same', partitions, size: end + 33 * 512 });
  assert.equal(
    layout.placements.map(({ extent }) => extent),
    partitions.map(({ extent }) => extent),
  );
  const refusal = refused({ mode: 'same', partitions, size: end + 32 * 512 });
  assert.is(refusal.missing, 512);
  assert.is(refusal.needed, end + 33 * 512);
  assert.equal(refusal.remedies, {
    fill: true,
    gpt: false,
    reduce: [{ number: 2, size: 29 * MiB, by: MiB }],
    drop: [2],
  });
});

test('same with a size: those behind move if they must, the others keep their sizes', () => {
  const larger = planned({
    mode: 'same',
    partitions: WINDOWS,
    size: 200_000 * MiB,
    sizes: new Map([[3, 150_000 * MiB]]),
  });
  assert.equal(picture(larger), ['1: 1 + 100', '2: 101 + 16', '3: 117 + 150000', '4: 150117 + 600']);
  const smaller = planned({ mode: 'same', partitions: WINDOWS, size: 100_000 * MiB, sizes: new Map([[3, 'min']]) });
  assert.equal(picture(smaller), ['1: 1 + 100', '2: 101 + 16', '3: 117 + 40000', '4: 99000 + 600']);
});

test('proportional: what can change scales with the room, within its limits', () => {
  const partitions = [
    ESP,
    flexible(2, 101 * MiB, 10_000 * MiB),
    flexible(3, 10_101 * MiB, 30_000 * MiB),
    part(4, 40_101 * MiB, 500 * MiB),
  ];
  const twice = planned({ mode: 'proportional', partitions, size: 80_602 * MiB });
  assert.equal(picture(twice), ['1: 1 + 100', '2: 101 + 20000', '3: 20101 + 60000', '4: 80101 + 500']);
  const half = planned({ mode: 'proportional', partitions, size: 20_602 * MiB });
  assert.equal(picture(half), ['1: 1 + 100', '2: 101 + 5000', '3: 5101 + 15000', '4: 20101 + 500']);
  const limited = partitions.map((one) => (one.number === 3 ? { ...one, minimum: 29_000 * MiB } : one));
  const bounded = planned({ mode: 'proportional', partitions: limited, size: 35_602 * MiB });
  assert.equal(picture(bounded), ['1: 1 + 100', '2: 101 + 6000', '3: 6101 + 29000', '4: 35101 + 500']);
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
