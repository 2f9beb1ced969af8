// Logical partitions on a target of another size: their records, and the extended partition around them.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GiB, MiB } from '../../src/base/units.js';
import type { Extent } from '../../src/map/extent.js';
import { decideLayout } from '../../src/plan/layout/decide.js';
import type { Layout, LayoutPartition, LayoutRequest } from '../../src/plan/layout/types.js';

function extent(start: number, length: number): Extent {
  return { offset: start * MiB, length: length * MiB };
}

function part(number: number, place: Extent, minimum = place.length): LayoutPartition {
  const fixed = minimum === place.length ? 'unrecognised' : undefined;
  const role = number < 5 ? 'primary' : 'logical';
  return { number, extent: place, role, fixed, minimum, growable: fixed === undefined };
}

/** As installers lay it out: a primary, then an extended partition with two logical ones, 1 MiB before each. */
const ROOT = part(1, extent(1, 1000), 100 * MiB);
const HOME = part(5, extent(1002, 3000), 500 * MiB);
const SWAP = part(6, extent(4003, 400));
const CONTAINER = extent(1001, 3402);

function planned(more: Partial<LayoutRequest>, size: number): Layout {
  const answer = decideLayout({
    table: 'mbr',
    partitions: [ROOT, HOME, SWAP],
    containers: [CONTAINER],
    sourceSize: 5 * GiB,
    target: { size, sectorSize: 512 },
    mode: 'fill',
    sizes: new Map(),
    ...more,
  });
  assert.ok(answer.fits, JSON.stringify(answer));
  return answer;
}

function picture({ placements, containers }: Layout): string[] {
  const show = ({ offset, length }: Extent): string => `${offset / MiB} + ${length / MiB}`;
  return [
    ...placements.map((one) => `${one.number}: ${show(one.extent)}`),
    ...containers.map((one) => `in ${show(one.extent)}`),
  ];
}

test('same: the extended partition keeps its free room, as far as the target reaches', () => {
  const wide = { containers: [extent(1001, 4000)], mode: 'same' } as const;
  assert.equal(picture(planned(wide, 5001 * MiB)), [
    '1: 1 + 1000',
    '5: 1002 + 3000',
    '6: 4003 + 400',
    'in 1001 + 4000',
  ]);
  assert.equal(picture(planned(wide, 4500 * MiB)).at(-1), 'in 1001 + 3499');
});

test('a logical partition grows and the extended one with it, with 1 MiB for the next record', () => {
  assert.equal(picture(planned({}, 10_000 * MiB)), [
    '1: 1 + 1000',
    '5: 1002 + 8597',
    '6: 9600 + 400',
    'in 1001 + 8999',
  ]);
});

test('a logical partition shrinks, those behind it move up', () => {
  assert.equal(picture(planned({}, 3000 * MiB)), ['1: 1 + 1000', '5: 1002 + 1597', '6: 2600 + 400', 'in 1001 + 1999']);
});

test('a primary partition pushes the extended one on', () => {
  const layout = planned({ mode: 'same', sizes: new Map([[1, 1200 * MiB]]) }, 10_000 * MiB);
  assert.equal(picture(layout), ['1: 1 + 1200', '5: 1202 + 3000', '6: 4203 + 400', 'in 1201 + 3402']);
  const little = planned({ mode: 'same', sizes: new Map([[1, 1000 * MiB]]) }, 10_000 * MiB);
  assert.equal(picture(little).at(-1), 'in 1001 + 3402');
});

test('a record takes one sector where no more is free', () => {
  const close = { ...HOME, extent: { offset: 1001 * MiB + 512, length: 3000 * MiB } };
  const partitions = [ROOT, close];
  const containers = [{ offset: 1001 * MiB, length: 3001 * MiB }];
  const layout = planned({ partitions, containers, mode: 'same' }, 5000 * MiB);
  assert.equal(layout.placements[1]?.extent, close.extent);
  assert.is(layout.containers[0]?.extent.offset, 1001 * MiB);
  const moved = planned({ partitions, containers, mode: 'same', sizes: new Map([[1, 1001 * MiB]]) }, 5000 * MiB);
  assert.equal(picture(moved), ['1: 1 + 1001', '5: 1003 + 3000', 'in 1002 + 3001']);
});

test('without its logical partitions an extended one goes', () => {
  assert.equal(planned({ partitions: [ROOT] }, 5000 * MiB).containers, []);
});

test('two extended partitions stay two', () => {
  const containers = [extent(1001, 1001), extent(2100, 1001)];
  const partitions = [ROOT, part(5, extent(1002, 1000)), part(6, extent(2101, 1000))];
  const layout = planned({ partitions, containers, mode: 'same', sizes: new Map([[1, 1050 * MiB]]) }, 5000 * MiB);
  assert.equal(picture(layout), [
    '1: 1 + 1050',
    '5: 1052 + 1000',
    '6: 2101 + 1000',
    'in 1051 + 1001',
    'in 2100 + 1001',
  ]);
});

test('an extended partition gives up its free room to the next one', () => {
  const containers = [extent(1001, 1500), extent(2600, 1001)];
  const partitions = [ROOT, part(5, extent(1002, 1000)), part(6, extent(2601, 1000))];
  const layout = planned(
    { partitions, containers: [...containers].reverse(), sizes: new Map([[1, 'min']]) },
    3100 * MiB,
  );
  assert.equal(picture(layout), ['1: 1 + 100', '5: 1002 + 1000', '6: 2100 + 1000', 'in 1001 + 1098', 'in 2099 + 1001']);
});

test('where a logical partition changed, the extended one ends with the last', () => {
  const wide = { containers: [extent(1001, 4000)], mode: 'same', sizes: new Map([[5, 'min' as const]]) } as const;
  assert.equal(picture(planned(wide, 6000 * MiB)), ['1: 1 + 1000', '5: 1002 + 500', '6: 4003 + 400', 'in 1001 + 3402']);
});

test('converted to a GPT, records need no room and the table does', () => {
  const layout = planned({ table: 'gpt', sizes: new Map([[1, 1001 * MiB]]) }, 10_000 * MiB);
  assert.equal(picture(layout), ['1: 1 + 1001', '5: 1002 + 8597', '6: 9599 + 400']);
  const early = [{ ...ROOT, extent: { offset: 512, length: 1000 * MiB } }];
  assert.equal(picture(planned({ table: 'gpt', partitions: early, containers: [], mode: 'same' }, 5 * GiB)), [
    '1: 1 + 1000',
  ]);
});

test('a logical partition in no extended one is our own mistake', () => {
  assert.throws(() => planned({ containers: [] }, 5000 * MiB), /internal error/);
});

test.run();
