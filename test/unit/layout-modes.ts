// What same, fill and proportional do, each on a disk that a reader can picture.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GiB, KiB, MiB } from '../../src/base/units.js';
import { ESP, flexible, MSR, part, picture, planned, refused, WINDOWS } from '../support/layout-request.js';

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

test('fill: only the main partition grows, gaps behind others stay', () => {
  const partitions = [flexible(1, MiB, 100 * MiB), flexible(2, 151 * MiB, 200 * MiB)];
  assert.equal(picture(planned({ partitions, size: 1000 * MiB })), ['1: 1 + 100', '2: 151 + 848']);
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

test('proportional on a disk of the same size changes nothing', () => {
  const partitions = [flexible(1, MiB, 100 * MiB - 512), flexible(2, 101 * MiB, 300 * MiB - 1024)];
  const { placements } = planned({ mode: 'proportional', partitions, size: 401 * MiB + 33 * 512 });
  assert.ok(placements.every(({ moved, size }) => !moved && size === 'same'));
});

test('proportional with a rest: the others scale with the disk', () => {
  const partitions = [flexible(1, MiB, 10_000 * MiB), flexible(2, 10_001 * MiB, 20_000 * MiB)];
  const layout = planned({ mode: 'proportional', partitions, size: 200 * GiB, sizes: new Map([[2, 'rest']]) });
  assert.equal(picture(layout), ['1: 1 + 20000', '2: 20001 + 184798']);
});

test('fill, smaller: a shrunk partition loses no more than it must', () => {
  const layout = planned({ partitions: [flexible(1, MiB, 100 * MiB + 512 * KiB)], size: 101 * MiB + 256 * KiB });
  assert.equal(picture(layout), ['1: 1 + 100']);
});

test.run();
