// What every Source and Target promises (src/source/types.ts), held against every kind of medium there is.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { allocateAligned } from '../../src/native/aligned.js';
import type { Source, Target } from '../../src/source/types.js';
import { type MediumKind, SOURCES, TARGETS } from '../support/media.js';
import { thrownBy } from '../support/partition-disk.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const KiB = 1024;
const EVEN = 2304 * KiB;
const folder = scratchFolder();
const NOISE = randomFrom(SEED).bytes(4 * EVEN);

/** Bytes that no other request is likely to have written. */
function noise(length: number, random: Random): Buffer {
  const from = random.below(NOISE.length - length);
  return NOISE.subarray(from, from + length);
}

/** Data, zeros and holes in turn, at odd places. */
function content(length: number, random: Random): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; ) {
    const end = Math.min(length, at + random.between(1, 200 * KiB));
    if (random.chance(0.6)) noise(end - at, random).copy(bytes, at);
    at = end;
  }
  return bytes;
}

function sizesOf(kind: MediumKind<Source>): number[] {
  return kind.ragged ? [EVEN, EVEN + 512, EVEN - 511, 777, 1] : [EVEN];
}

const ALIGNED = Array.from({ length: 8 }, () => allocateAligned(EVEN + 8 * KiB));
let turn = 0;

/** A buffer as callers have them: in aligned memory, at odd places in it, and in ordinary memory. */
function buffer(length: number, random: Random): Buffer {
  turn = (turn + 1) % ALIGNED.length;
  const skip = random.pick([0, 0, 1, 512, 4096]);
  return random.chance(0.3) ? Buffer.alloc(length) : (ALIGNED[turn] ?? Buffer.alloc(0)).subarray(skip, skip + length);
}

/** Requests of any alignment and length, among them whole sectors and pages, and the very end. */
function extentIn(size: number, random: Random): { offset: number; length: number } {
  const unit = random.pick([1, 1, 512, 4096, 65536]);
  const offset = Math.floor(random.below(size) / unit) * unit;
  const longest = size - offset;
  if (random.chance(0.15)) return { offset, length: longest };
  const length = random.pick([1, 511, 512, 513, 4096, 5000, 65536, random.between(1, 1200 * KiB)]);
  return { offset, length: Math.min(longest, Math.ceil(length / unit) * unit) };
}

/** Opens a medium of every size, runs `body`, closes it. */
async function each<T extends Source>(
  kind: MediumKind<T>,
  body: (medium: T, held: Buffer, random: Random) => Promise<void>,
): Promise<void> {
  for (const size of sizesOf(kind)) {
    const random = randomFrom(SEED + size);
    const held = content(size, random);
    const { medium, close } = await kind.open(held, folder);
    try {
      await body(medium, held, random);
    } finally {
      await close();
    }
  }
}

async function wholeOf(medium: Source): Promise<Buffer> {
  const bytes = Buffer.alloc(medium.size);
  await medium.read(bytes, 0);
  return bytes;
}

async function refused(action: () => Promise<unknown>, text: RegExp): Promise<void> {
  const error = await thrownBy(action);
  assert.ok(error instanceof Error, 'nothing thrown');
  assert.match((error as Error).message, text);
}

const READS = rounds({ short: 40, long: 2000 });

function sourceTests(kind: MediumKind<Source>): void {
  const test = suite(kind.name);

  test('says how large it is, and what its sectors are', () =>
    each(kind, async (medium, held) => {
      assert.is(medium.size, held.length);
      assert.is(medium.sectorSize, kind.sectorSize);
      assert.ok(medium.name.length > 0);
    }));

  test('reads any bytes into any memory', () =>
    each(kind, async (medium, held, random) => {
      for (let round = 0; round < READS; round += 1) {
        const { offset, length } = extentIn(held.length, random);
        const into = buffer(length, random).fill(0xcc);
        await medium.read(into, offset);
        assert.ok(into.equals(held.subarray(offset, offset + length)), `${offset} + ${length} of ${held.length}`);
      }
      await medium.read(Buffer.alloc(0), held.length);
    }));

  test('refuses what is not inside', () =>
    each(kind, async (medium, held) => {
      const { length } = held;
      for (const [offset, count] of [
        [length, 1],
        [length - 1, 2],
        [-1, 1],
        [0.5, 1],
        [Number.NaN, 1],
        [2 ** 53, 1],
        [0, length + 1],
      ] as const) {
        await refused(() => medium.read(Buffer.alloc(count), offset), /internal error: read .* not inside/);
      }
      if (medium.extents) {
        const within = { offset: 0, length: length + 1 };
        await refused(async () => medium.extents?.(within), /internal error: list extents of .* not inside/);
      }
    }));

  test('lists extents that cover what was asked for, and whose zeros are zeros', () =>
    each(kind, async (medium, held, random) => {
      if (!medium.extents) return;
      for (let round = 0; round < 20; round += 1) {
        const within = round === 0 ? { offset: 0, length: held.length } : extentIn(held.length, random);
        let position = within.offset;
        for await (const { offset, length, kind: what } of medium.extents(within)) {
          assert.is(offset, position);
          assert.ok(length > 0);
          position = offset + length;
          if (what === 'zero') assert.ok(held.subarray(offset, position).every((byte) => byte === 0));
        }
        assert.is(position, within.offset + within.length);
      }
    }));

  test('refuses everything after close, and may be closed twice', () =>
    each(kind, async (medium) => {
      await medium.close();
      await medium.close();
      await refused(() => medium.read(Buffer.alloc(1), 0), /internal error: read .* after close/);
      if (medium.extents) await refused(async () => medium.extents?.({ offset: 0, length: 1 }), /after close/);
    }));

  test.run();
}

function targetTests(kind: MediumKind): void {
  const test = suite(`${kind.name}, writing`);

  test('opening and reading change nothing', () =>
    each(kind, async (target, held) => {
      assert.ok((await wholeOf(target)).equals(held));
      await target.flush();
      assert.ok((await wholeOf(target)).equals(held));
    }));

  test('writes and zeroes any bytes, and no others', () =>
    each(kind, async (target, held, random) => {
      const wanted = Buffer.from(held);
      for (let round = 0; round < READS; round += 1) {
        const extent = extentIn(held.length, random);
        await change(target, wanted, extent, random);
        if (random.chance(0.1)) await target.flush();
        if (random.chance(0.2)) assert.ok((await wholeOf(target)).equals(wanted), `round ${round} of ${held.length}`);
      }
      await target.flush();
      assert.ok((await wholeOf(target)).equals(wanted));
    }));

  test('neighbours in one page may be written at the same time', () =>
    each(kind, async (target, held, random) => {
      const wanted = Buffer.from(held);
      for (let round = 0; round < 40; round += 1) {
        const start = random.below(held.length);
        const cuts = Array.from({ length: 6 }, () => Math.min(held.length, start + random.below(9000))).sort(
          (a, b) => a - b,
        );
        const parts = cuts
          .slice(1)
          .map((end, index) => ({ offset: cuts[index] ?? 0, length: end - (cuts[index] ?? 0) }));
        await Promise.all(parts.filter(({ length }) => length > 0).map((part) => change(target, wanted, part, random)));
        const from = Math.max(0, start - 4096);
        const around = Buffer.alloc(Math.min(held.length, start + 16384) - from);
        await target.read(around, from);
        assert.ok(around.equals(wanted.subarray(from, from + around.length)), `round ${round}`);
      }
    }));

  test('a discard changes nothing outside its extent', () =>
    each(kind, async (target, held, random) => {
      for (let round = 0; round < 20; round += 1) {
        const { offset, length } = extentIn(held.length, random);
        await target.discard({ offset, length });
        const after = await wholeOf(target);
        after.copy(held, offset, offset, offset + length); // what is inside may be anything
        assert.ok(after.equals(held), `${offset} + ${length} of ${held.length}`);
      }
      await target.flush();
    }));

  test('what was discarded can be written and zeroed again', () =>
    each(kind, async (target, held) => {
      const whole = { offset: 0, length: held.length };
      await target.discard(whole);
      await target.write(held, 0);
      assert.ok((await wholeOf(target)).equals(held));
      await target.discard(whole);
      await target.zero(whole);
      assert.ok((await wholeOf(target)).every((byte) => byte === 0));
    }));

  test('refuses what is not inside, and everything after close', () =>
    each(kind, async (target, held) => {
      const { length } = held;
      const beyond = { offset: length, length: 1 };
      await refused(() => target.write(Buffer.alloc(2), length - 1), /internal error: write .* not inside/);
      await refused(() => target.write(Buffer.alloc(1), -1), /internal error: write .* not inside/);
      await refused(() => target.zero(beyond), /internal error: zero .* not inside/);
      await refused(() => target.discard({ offset: 0, length: length + 1 }), /internal error: discard .* not inside/);
      await target.write(Buffer.alloc(0), length);
      await target.zero({ offset: length, length: 0 });
      assert.ok((await wholeOf(target)).equals(held));
      await target.close();
      await refused(() => target.write(Buffer.alloc(1), 0), /internal error: write .* after close/);
      await refused(() => target.zero({ offset: 0, length: 1 }), /after close/);
      await refused(() => target.discard({ offset: 0, length: 1 }), /after close/);
      await refused(() => target.flush(), /internal error: flush .* after close/);
    }));

  test.run();
}

/** A write or a zeroing, done to the target and to the bytes it should hold. */
async function change(
  target: Target,
  wanted: Buffer,
  { offset, length }: { offset: number; length: number },
  random: Random,
): Promise<void> {
  if (random.chance(0.3)) {
    wanted.fill(0, offset, offset + length);
    await target.zero({ offset, length });
    return;
  }
  const from = buffer(length, random);
  noise(length, random).copy(from);
  from.copy(wanted, offset);
  await target.write(from, offset);
}

for (const kind of [...TARGETS, ...SOURCES]) sourceTests(kind);
for (const kind of TARGETS) targetTests(kind);
