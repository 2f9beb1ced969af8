// Any disk on any target: what fits obeys every rule of a layout, and what does not fit misses exactly what is said.

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { type Bytes, MiB } from '../../src/base/units.js';
import { extentEnd, overlaps, totalLength } from '../../src/map/extent.js';
import { decideLayout, layoutError } from '../../src/plan/layout/decide.js';
import type { Layout, LayoutPartition, LayoutRefusal, LayoutRequest, Placement } from '../../src/plan/layout/types.js';
import { layoutCase } from '../support/layout-cases.js';
import { SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';

const RUNS = rounds({ short: 3000, long: 100_000 });

interface Pair {
  readonly was: LayoutPartition;
  readonly is: Placement;
}

function pairsOf({ partitions }: LayoutRequest, { placements }: Layout): Pair[] {
  assert.is(placements.length, partitions.length);
  return placements.map((is) => {
    const was = partitions.find(({ number }) => number === is.number);
    assert.ok(was);
    return { was, is };
  });
}

function up(bytes: Bytes, unit: Bytes): Bytes {
  return Math.ceil(bytes / unit) * unit;
}

function usable({ table, target: { size, sectorSize } }: LayoutRequest): { start: Bytes; end: Bytes; reserved: Bytes } {
  const whole = Math.floor(size / sectorSize) * sectorSize;
  if (table === 'mbr') return { start: sectorSize, end: Math.min(whole, 2 ** 32 * sectorSize), reserved: 0 };
  const reserved = up(16384, sectorSize) + sectorSize;
  return { start: reserved + sectorSize, end: whole - reserved, reserved };
}

function firstOf({ partitions, containers, firstStart }: LayoutRequest): Bytes {
  const starts = [...partitions.map(({ extent }) => extent), ...containers].map(({ offset }) => offset);
  return Math.min(firstStart ?? Number.MAX_SAFE_INTEGER, ...starts);
}

function isLogical({ table }: LayoutRequest, { was }: Pair): boolean {
  return table === 'mbr' && was.role === 'logical';
}

function demandPlaces(request: LayoutRequest, pairs: readonly Pair[]): void {
  const { sectorSize } = request.target;
  const { start, end } = usable(request);
  const lowest = Math.max(start, firstOf(request));
  let last = lowest;
  let before = -1;
  for (const pair of pairs) {
    const { was, is } = pair;
    const { offset, length } = is.extent;
    assert.ok(offset % sectorSize === 0 && length % sectorSize === 0 && length > 0, 'whole sectors');
    assert.ok(was.extent.offset > before, 'order kept');
    before = was.extent.offset;
    assert.ok(offset >= last + (isLogical(request, pair) ? sectorSize : 0), 'no overlap, room for the record');
    last = extentEnd(is.extent);
    assert.ok(last <= end, 'inside');
    assert.is(is.moved, offset !== was.extent.offset);
    assert.ok(!is.moved || offset % MiB === 0, 'moved to a whole MiB');
    assert.is(is.size, length === was.extent.length ? 'same' : length > was.extent.length ? 'grown' : 'shrunk');
  }
}

function demandSizes(request: LayoutRequest, pairs: readonly Pair[]): void {
  const { sectorSize } = request.target;
  const rests: Bytes[] = [];
  for (const { was, is } of pairs) {
    const plain = up(was.extent.length, sectorSize);
    const { length } = is.extent;
    const least = was.fixed ? plain : Math.max(sectorSize, Math.min(plain, up(was.minimum, sectorSize)));
    const most = was.growable ? Math.max(plain, was.maximum ?? Number.POSITIVE_INFINITY) : plain;
    assert.ok(length >= least && length <= most, `${least} <= ${length} <= ${most}`);
    const wanted = request.sizes.get(was.number);
    if (wanted === 'min') assert.is(length, least);
    if (typeof wanted === 'number')
      assert.ok(length > Math.min(wanted, most) - sectorSize && length < wanted + MiB, 'as wanted');
    if (wanted === 'rest' && length > least && length + MiB <= most) rests.push(length);
    if (wanted === undefined && request.mode === 'same') assert.is(length, plain, 'others keep their sizes');
  }
  assert.ok(new Set(rests).size <= 1, 'the rest is shared equally');
}

function isUntouched({ mode, sizes, partitions, target }: LayoutRequest, start: Bytes): boolean {
  return (
    mode === 'same' &&
    sizes.size === 0 &&
    partitions.every(
      ({ extent: { offset, length } }) =>
        offset % target.sectorSize === 0 && length % target.sectorSize === 0 && offset >= start,
    )
  );
}

function demandContainers(request: LayoutRequest, { containers }: Layout, pairs: readonly Pair[]): void {
  const logicals = pairs.filter((pair) => isLogical(request, pair));
  assert.is(containers.length, logicals.length > 0 ? 1 : 0);
  const [container] = containers;
  if (!container) return;
  const { extent } = container;
  const { sectorSize } = request.target;
  assert.ok(extent.offset % sectorSize === 0 && extent.length % sectorSize === 0);
  assert.ok(extent.offset >= sectorSize && extentEnd(extent) <= usable(request).end);
  for (const pair of pairs) {
    const { is } = pair;
    if (!logicals.includes(pair)) assert.not.ok(overlaps(extent, is.extent), 'only logicals inside');
    else assert.ok(is.extent.offset >= extent.offset + sectorSize && extentEnd(is.extent) <= extentEnd(extent));
  }
}

/** Behind the largest that can grow there is no room that it could have had. */
function demandFilled(request: LayoutRequest, pairs: readonly Pair[]): void {
  if (request.mode !== 'fill' || pairs.some(({ is }) => is.size === 'shrunk')) return;
  if ([...request.sizes.values()].includes('rest')) return;
  const candidates = pairs.filter(({ was }) => !request.sizes.has(was.number) && was.growable);
  const most = ({ was }: Pair): Bytes => Math.max(up(was.extent.length, 4096), was.maximum ?? Number.POSITIVE_INFINITY);
  const [main] = candidates.sort((a, b) => b.was.extent.length - a.was.extent.length || a.was.number - b.was.number);
  if (!main || main.is.extent.length + 2 * MiB > most(main)) return;
  if (candidates.some((one) => one !== main && one.was.extent.length === main.was.extent.length)) return;
  const ends = pairs.slice(pairs.indexOf(main));
  for (const [index, { is }] of ends.entries()) {
    const next = ends[index + 1]?.is.extent.offset ?? usable(request).end;
    assert.ok(next - extentEnd(is.extent) < 2 * MiB + request.target.sectorSize, 'no room is left behind');
  }
  for (const { was, is } of candidates) {
    if (was !== main.was)
      assert.is(is.extent.length, up(was.extent.length, request.target.sectorSize), 'it grows alone');
  }
}

/** The largest shrink first, to their minimum if others must shrink too, and the last one no more than needed. */
function demandShrunk(request: LayoutRequest, pairs: readonly Pair[]): void {
  if (request.mode !== 'fill') return;
  const { sectorSize } = request.target;
  const leastOf = ({ was: { minimum, extent } }: Pair): Bytes =>
    Math.max(sectorSize, up(Math.min(minimum, extent.length), sectorSize));
  const candidates = pairs
    .filter(({ was }) => !request.sizes.has(was.number) && was.fixed === undefined)
    .sort(
      (a, b) =>
        up(b.was.extent.length, sectorSize) - up(a.was.extent.length, sectorSize) || a.was.number - b.was.number,
    );
  const last = candidates.filter(({ is }) => is.size === 'shrunk').at(-1);
  if (!last) return;
  const before = candidates.slice(0, candidates.indexOf(last));
  for (const one of before) assert.is(one.is.extent.length, leastOf(one), 'larger ones first');
  const more = last.is.extent.length + 65 * MiB;
  if (more > last.was.extent.length) return;
  const sizes = new Map(request.sizes);
  for (const { was } of candidates) sizes.set(was.number, was.extent.length);
  for (const { was } of before) sizes.set(was.number, 'min');
  sizes.set(last.was.number, more);
  assert.not.ok(decideLayout({ ...request, sizes }).fits, 'no more than needed');
}

function demandIdempotent(request: LayoutRequest, layout: Layout, pairs: readonly Pair[]): void {
  const again: LayoutRequest = {
    ...request,
    partitions: pairs.map(({ was, is: { extent } }) => ({
      ...was,
      extent,
      role: request.table === 'gpt' ? 'gpt' : was.role,
      minimum: Math.min(was.minimum, extent.length),
    })),
    containers: layout.containers.map(({ extent }) => extent),
    sourceSize: request.target.size,
    mode: 'same',
    sizes: new Map(),
  };
  const extents = ({ placements, containers }: Layout) => [...placements, ...containers].map(({ extent }) => extent);
  const same = decideLayout(again);
  assert.ok(same.fits);
  assert.equal(extents(same), extents(layout));
  assert.ok(same.placements.every(({ moved, size }) => !moved && size === 'same'));
  const isPlain = request.mode === 'fill' && request.sizes.size === 0;
  if (!isPlain || layout.placements.some(({ size }) => size === 'shrunk')) return;
  const filled = decideLayout({ ...again, mode: 'fill' });
  assert.ok(filled.fits);
  assert.equal(extents(filled), extents(layout));
}

function demandLayout(request: LayoutRequest, layout: Layout): void {
  const pairs = pairsOf(request, layout);
  const { start, reserved } = usable(request);
  demandPlaces(request, pairs);
  demandSizes(request, pairs);
  demandContainers(request, layout, pairs);
  demandFilled(request, pairs);
  demandShrunk(request, pairs);
  if (isUntouched(request, start)) {
    for (const { was, is } of pairs) assert.equal(is.extent, was.extent);
  }
  const room = request.target.size - reserved - Math.max(start, firstOf(request));
  assert.is(layout.unused + totalLength(layout.placements.map(({ extent }) => extent)), room);
  demandIdempotent(request, layout, pairs);
}

function onTarget(request: LayoutRequest, size: Bytes): LayoutRequest {
  return { ...request, target: { ...request.target, size } };
}

function demandRefusal(request: LayoutRequest, refusal: LayoutRefusal): void {
  const { needed, missing, reason, remedies } = refusal;
  const { size, sectorSize } = request.target;
  assert.ok(missing > 0);
  assert.instance(layoutError(request, refusal), ToolError);
  if (reason === 'too-small') {
    assert.is(needed, size + missing);
    assert.ok(decideLayout(onTarget(request, needed)).fits, 'what is needed is enough');
    const less = decideLayout(onTarget(request, needed - sectorSize));
    assert.ok(!less.fits && less.needed === needed, 'one sector less is not');
  } else {
    assert.is(request.table, 'mbr');
    assert.is(missing, needed - 2 ** 32 * sectorSize);
    assert.not.ok(decideLayout(onTarget(request, 2 ** 52)).fits, 'no target is large enough');
  }
  const demandEnough = (changed: Partial<LayoutRequest>) =>
    assert.ok(decideLayout({ ...request, ...changed }).fits, `not enough: ${JSON.stringify(remedies)}`);
  if (remedies.fill) demandEnough({ mode: 'fill' });
  if (remedies.gpt) demandEnough({ table: 'gpt' });
  for (const { number, size: wanted, by } of remedies.reduce) {
    assert.ok(by > 0);
    demandEnough({ sizes: new Map([...request.sizes, [number, wanted]]) });
  }
  for (const number of remedies.drop) {
    demandEnough({
      partitions: request.partitions.filter((one) => one.number !== number),
      sizes: new Map([...request.sizes].filter(([key]) => key !== number)),
      firstStart: Math.min(
        request.firstStart ?? Number.MAX_SAFE_INTEGER,
        ...request.partitions.map(({ extent }) => extent.offset),
      ),
    });
  }
}

test(`${RUNS} random layouts`, () => {
  const seen = new Map<string, number>();
  const run = fc.check(
    fc.property(layoutCase, (request) => {
      const answer = decideLayout(request);
      const kind = `${request.table} ${request.mode} ${answer.fits ? 'fits' : answer.reason}`;
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
      if (answer.fits) demandLayout(request, answer);
      else demandRefusal(request, answer);
      const other = { ...request, partitions: [...request.partitions].reverse() };
      assert.equal(decideLayout(other), answer, 'the order of the list does not matter');
    }),
    { seed: SEED, numRuns: RUNS },
  );
  if (run.failed) {
    const { errorInstance: error, counterexample } = run;
    console.log(error instanceof Error ? error.stack : error, fc.stringify(counterexample));
  }
  assert.not.ok(run.failed, `seed ${SEED}`);
  const kinds = ['gpt', 'mbr'].flatMap((table) =>
    ['same', 'fill', 'proportional'].flatMap((mode) =>
      ['fits', 'too-small'].map((outcome) => `${table} ${mode} ${outcome}`),
    ),
  );
  console.log([...seen].map(([kind, count]) => `${kind}: ${count}`).join(', '));
  for (const kind of kinds) assert.ok((seen.get(kind) ?? 0) > RUNS / 200, `too few of ${kind}`);
  assert.ok([...seen].some(([kind]) => kind.endsWith('beyond-mbr')));
});

test.run();
