// One stretch against a model of a few lines: every kind of block, known or not, copied, compared or matched.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DIGEST_LENGTH, digestOf } from '../../src/base/digest.js';
import { MiB } from '../../src/base/units.js';
import type { Buffers } from '../../src/engine/read.js';
import type { Stretch } from '../../src/engine/stretch.js';
import { createTally } from '../../src/engine/tally.js';
import { createBuffers, processStretch } from '../../src/engine/window.js';
import { type Extent, intersect, normalise, overlaps, totalLength } from '../../src/map/extent.js';
import { checked } from '../../src/source/checked.js';
import { memoryTarget } from '../../src/source/memory.js';
import type { Target } from '../../src/source/types.js';
import { randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';

type Random = (limit: number) => number;

/** Discarded bytes become 0xdd, so that they show; nothing may change before `permitted`. */
function watched(bytes: Buffer, state: { permitted: boolean }): Target {
  const memory = memoryTarget(bytes);
  const allowed = (): void => assert.ok(state.permitted, 'written before it was permitted');
  return checked({
    ...memory,
    async write(from, offset) {
      allowed();
      await memory.write(from, offset);
    },
    async zero(extent) {
      allowed();
      await memory.zero(extent);
    },
    async discard({ offset, length }) {
      allowed();
      bytes.fill(0xdd, offset, offset + length);
    },
  });
}

function extentsIn({ offset, length }: Extent, unit: number, random: Random): Extent[] {
  const count = random(6);
  return normalise(
    Array.from({ length: count }, () => {
      const start = random(length / unit) * unit;
      return { offset: offset + start, length: Math.min(1 + random(length / unit / 3), length / unit) * unit };
    }).flatMap((extent) => intersect(extent, { offset, length }) ?? []),
  );
}

/** Source and target alike in some blocks, zeros in others. */
function contents(size: number, blockSize: number, random: Random): { source: Buffer; target: Buffer } {
  const source = Buffer.alloc(size);
  const target = Buffer.alloc(size, 0xa5);
  for (let at = 0; at < size; at += blockSize) {
    if (random(4) > 0) source.fill(1 + random(250), at, at + blockSize);
    if (random(5) === 0) source[at + blockSize - 1] = 77;
    if (random(3) > 0) source.copy(target, at, at, at + blockSize);
  }
  return { source, target };
}

interface Expected {
  readonly target: Buffer;
  readonly digests: Buffer;
  readonly differing: readonly number[];
}

function placeOf({ extent, blockSize }: Stretch, block: number): Extent {
  const offset = extent.offset + block * blockSize;
  return { offset, length: Math.min(blockSize, extent.offset + extent.length - offset) };
}

function model(stretch: Stretch, source: Buffer, before: Buffer): Expected {
  const { extent, blockSize, used, wiped, held, known } = stretch;
  const target = Buffer.from(before);
  const count = Math.ceil(extent.length / blockSize);
  const digests = Buffer.alloc(count * DIGEST_LENGTH);
  const differing: number[] = [];
  for (let block = 0; block < count; block += 1) {
    const place = placeOf(stretch, block);
    const { offset } = place;
    const end = offset + place.length;
    const touches = (extents: readonly Extent[]): boolean => extents.some((each) => overlaps(each, place));
    const old = known && Buffer.from(known.subarray(block * DIGEST_LENGTH, (block + 1) * DIGEST_LENGTH));
    const isKnown = old?.some((byte) => byte !== 0) ?? false;
    if (touches(held)) continue;
    if (!touches(used) && !touches(wiped)) {
      if (stretch.sink === 'write' && (stretch.discardFree || isKnown)) target.fill(0xdd, offset, end);
      continue;
    }
    const masked = (bytes: Buffer, demanded: readonly Extent[] = used): Buffer => {
      const result = Buffer.alloc(place.length);
      for (const each of demanded) {
        const part = intersect(each, place);
        if (part) bytes.copy(result, part.offset - offset, part.offset, part.offset + part.length);
      }
      return result;
    };
    const content = masked(source);
    const digest = digestOf(content);
    digest.copy(digests, block * DIGEST_LENGTH);
    const holds = stretch.unknown === 'match' ? masked(before, [...used, ...wiped]) : before.subarray(offset, end);
    const differs = isKnown ? !old?.equals(digest) : stretch.unknown === 'write' || !holds.equals(content);
    if (!differs) continue;
    differing.push(block);
    if (stretch.sink === 'write') content.copy(target, offset);
  }
  return { target, digests, differing };
}

const BLOCK_SIZES = [4096, 65536, MiB];

interface Case {
  readonly stretch: Stretch;
  readonly source: Buffer;
  readonly target: Buffer;
}

function randomCase(random: Random): Case {
  const blockSize = BLOCK_SIZES[random(3)] ?? 4096;
  const ragged = random(3) === 0 ? 512 * random(blockSize / 512) : 0;
  const extent = {
    offset: blockSize * random(3),
    length: Math.min(blockSize * (1 + random(80)) - ragged, 6 * MiB),
  };
  const end = extent.offset + extent.length;
  const { source, target } = contents(Math.ceil(end / blockSize) * blockSize, blockSize, random);
  const sink = random(3) === 0 ? 'report' : 'write';
  const plain = {
    extent,
    blockSize,
    used: random(4) === 0 ? [extent] : extentsIn(extent, random(2) === 0 ? blockSize : 512, random),
    wiped: random(3) === 0 ? extentsIn(extent, 512, random) : [],
    held: random(3) === 0 ? extentsIn(extent, 512, random) : [],
    sink,
    unknown: (['write', 'compare', 'match'] as const)[random(sink === 'write' ? 2 : 3)] ?? 'write',
    discardFree: random(2) === 0,
  } as const;
  if (random(3) === 0) return { stretch: { ...plain, known: undefined }, source, target };
  // Some digests are right, some wrong, some unknown.
  const known = Buffer.from(model({ ...plain, known: undefined }, source, target).digests);
  for (let at = 0; at < known.length; at += DIGEST_LENGTH) {
    const fate = random(3);
    if (fate === 0) known.fill(0, at, at + DIGEST_LENGTH);
    if (fate === 1) known[at] = (known[at] ?? 0) ^ 1;
  }
  return { stretch: { ...plain, known }, source, target };
}

async function check({ stretch, source, target }: Case, buffers: Buffers, name: string): Promise<void> {
  const expected = model(stretch, source, target);
  const copied = model({ ...stretch, known: undefined, unknown: 'write' }, source, target).differing;
  const state = { permitted: false };
  const tally = createTally();
  const permit = async (): Promise<void> => {
    state.permitted = true;
  };
  const ends = { source: memoryTarget(source), target: watched(target, state) };
  const result = await processStretch(stretch, { ...ends, buffers, tally, permit });
  assert.ok(target.equals(expected.target), `${name}: target`);
  assert.ok(Buffer.from(result.digests).equals(expected.digests), `${name}: digests`);
  const differing = result.differing.flatMap(({ first, end }) =>
    Array.from({ length: end - first }, (_, index) => first + index),
  );
  assert.equal(differing, [...expected.differing], `${name}: differing`);
  const usedOf = (blocks: readonly number[]): number =>
    totalLength(
      blocks.flatMap((block) => stretch.used.flatMap((each) => intersect(each, placeOf(stretch, block)) ?? [])),
    );
  const { done, written, zeroed, skipped } = tally.snapshot();
  assert.is(done, usedOf(copied), `${name}: done`);
  assert.is(skipped, usedOf(copied) - usedOf(expected.differing), `${name}: skipped`);
  if (stretch.sink === 'report') assert.is(written + zeroed, 0, name);
}

test('a stretch does what the model does', async () => {
  const buffers = createBuffers();
  const { below } = randomFrom(SEED);
  const random: Random = (limit) => below(Math.max(1, Math.floor(limit)));
  for (let round = 0; round < rounds({ short: 150, long: 5000 }); round += 1) {
    await check(randomCase(random), buffers, `round ${round} of seed ${SEED}`);
  }
});

test.run();
