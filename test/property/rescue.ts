// Runs over a source that decays and heals, against a model of a few lines: what was read once is never lost again.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DIGEST_LENGTH, digestOf, isHoled, isUnknown } from '../../src/base/digest.js';
import { copy } from '../../src/engine/copy.js';
import { Damage } from '../../src/engine/damage.js';
import { inlineExecutor } from '../../src/engine/executor.js';
import { createLedger } from '../../src/engine/ledger.js';
import type { Keep } from '../../src/engine/stretch.js';
import { type Extent, intersect, inUnits, normalise, overlaps, totalLength } from '../../src/map/extent.js';
import { memoryBlockMap } from '../../src/map/memory-block-map.js';
import { memoryTarget } from '../../src/source/memory.js';
import { BLOCK, digestsOf, PAGE_LENGTH, someExtents, volumeOf } from '../support/copy-volume.js';
import { faultySource } from '../support/faulty.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';

const SECTOR = 512;
const OLD = 0xa5;

interface World {
  readonly source: Buffer;
  readonly target: Buffer;
  readonly used: readonly Extent[];
  /** What the model says that the target holds, and what is known of each block. */
  readonly model: { readonly target: Buffer; readonly known: ('unknown' | 'digest' | 'holed')[] };
}

function sectors(size: number, random: Random): Extent[] {
  const count = random.pick([0, 1, 3, 20]);
  return normalise(
    Array.from({ length: count }, () => {
      const offset = random.below(size / SECTOR) * SECTOR;
      return { offset, length: Math.min(SECTOR * random.pick([1, 1, 2, 30]), size - offset) };
    }),
  );
}

/** The bad parts of used bytes of a block. */
function missingOf(place: Extent, used: readonly Extent[], bad: readonly Extent[]): Extent[] {
  return normalise(
    used.flatMap((each) => {
      const inside = intersect(each, place);
      return inside ? bad.flatMap((sector) => intersect(sector, inside) ?? []) : [];
    }),
  );
}

/** One run as it should be. Returns the holes with their fates. */
function modelRun({ source, used, model }: World, bad: readonly Extent[], keep: Keep): (Extent & { fate: string })[] {
  const holes: (Extent & { fate: string })[] = [];
  for (let block = 0; block * BLOCK < source.length; block += 1) {
    const place = { offset: block * BLOCK, length: Math.min(BLOCK, source.length - block * BLOCK) };
    if (!used.some((each) => overlaps(each, place))) {
      model.known[block] = 'unknown'; // memory forgets nothing that is discarded
      continue;
    }
    const missing = missingOf(place, used, bad);
    const before = Buffer.from(model.target.subarray(place.offset, place.offset + place.length));
    const blank = (part: Extent): boolean =>
      before.subarray(part.offset - place.offset, part.offset - place.offset + part.length).every((byte) => byte === 0);
    const known = model.known[block] ?? 'unknown';
    const isKept =
      missing.length > 0 &&
      keep !== 'nothing' &&
      (known === 'digest' || (known === 'unknown' && keep === 'held' && missing.some((part) => !blank(part))));
    if (isKept) {
      model.known[block] = 'digest';
      holes.push(...missing.map((part) => ({ ...part, fate: 'kept' })));
      continue;
    }
    const after = Buffer.alloc(place.length);
    for (const each of used) {
      const part = intersect(each, place);
      if (part) source.copy(after, part.offset - place.offset, part.offset, part.offset + part.length);
    }
    for (const part of missing) {
      const overlaid = known === 'holed' && keep !== 'nothing';
      const at = part.offset - place.offset;
      if (overlaid) before.copy(after, at, at, at + part.length);
      else after.fill(0, at, at + part.length);
      for (const sector of inUnits(part, SECTOR)) {
        holes.push({ ...sector, fate: overlaid && !blank(sector) ? 'kept' : 'zeros' });
      }
    }
    after.copy(model.target, place.offset);
    model.known[block] = missing.length > 0 ? 'holed' : 'digest';
  }
  return holes;
}

/** Extents of one fate, cut at blocks and at nothing else. */
function cut(holes: readonly (Extent & { fate: string })[], fate: string): Extent[] {
  return normalise(holes.filter((hole) => hole.fate === fate).map(({ offset, length }) => ({ offset, length })));
}

async function demandModel({ target, model }: World, digests: Buffer, name: string): Promise<void> {
  for (let at = 0; at < target.length; at += BLOCK) {
    const found = target.subarray(at, at + BLOCK);
    assert.ok(found.equals(model.target.subarray(at, at + BLOCK)), `${name}: block ${at / BLOCK} of the target`);
    const place = (at / BLOCK) * DIGEST_LENGTH;
    const digest = digests.subarray(place, place + DIGEST_LENGTH);
    const known = isUnknown(digest, 0) ? 'unknown' : isHoled(digest, 0) ? 'holed' : 'digest';
    assert.is(known, model.known[at / BLOCK], `${name}: block ${at / BLOCK}`);
    // Invariant K.
    if (known === 'digest') assert.ok(digestOf(found).equals(digest), `${name}: block ${at / BLOCK}'s digest`);
  }
}

test('a source that decays and heals, run after run', async () => {
  const random = randomFrom(SEED);
  const inline = inlineExecutor(); // one set of buffers for all rounds
  for (let round = 0; round < rounds({ short: 15, long: 1500 }); round += 1) {
    const size = random.pick([3 * BLOCK + 700 - 188, 40 * BLOCK, PAGE_LENGTH + 5 * BLOCK]);
    const source = random.bytes(size);
    const world: World = {
      source,
      target: Buffer.alloc(size, OLD),
      used: random.chance(0.5) ? [{ offset: 0, length: size }] : someExtents(size, random),
      model: { target: Buffer.alloc(size, OLD), known: [] },
    };
    for (let block = 0; block * BLOCK < size; block += 1) world.model.known.push('unknown');
    let map = memoryBlockMap({ size, blockSize: BLOCK });
    for (let turn = 0; turn < 5; turn += 1) {
      const name = `seed ${SEED}, round ${round}, run ${turn}`;
      const mode = turn === 0 ? 'first' : random.pick(['hash', 'hash', 'resume', 'compare'] as const);
      const keep: Keep =
        turn === 0 ? 'known' : mode === 'hash' ? random.pick(['known', 'known', 'nothing'] as const) : 'held';
      if (mode === 'compare') {
        map = memoryBlockMap({ size, blockSize: BLOCK });
        world.model.known.fill('unknown');
      }
      const bad = sectors(size, random);
      const target = memoryTarget(world.target, 'target');
      const failing = faultySource(memoryTarget(source, 'source'), {
        faults: bad.map((within) => ({ verbs: ['read'], within, errno: 'EIO' })),
      });
      const damage = new Damage(map);
      const volume = volumeOf({ source: failing, target, used: world.used, map, mode });
      const rescued = { ...volume, discardFree: false, rescue: { keep, damage } };
      await copy([rescued], {
        sink: 'write',
        inline,
        workers: undefined,
        ledger: createLedger({ target, arm: async () => {} }),
        signal: new AbortController().signal,
        rescue: { retries: random.below(3), seconds: Number.POSITIVE_INFINITY },
      });
      const wanted = modelRun(world, bad, keep);
      for (const fate of ['zeros', 'kept']) {
        assert.equal(cut(damage.holes(), fate), cut(wanted, fate), `${name}: ${fate}`);
      }
      assert.equal(damage.postponed(), [], name);
      await demandModel(world, await digestsOf(map), name);
      assert.is(volume.tally.snapshot().done, totalLength(world.used), `${name}: done`);
      for (let change = random.below(4); change > 0; change -= 1) {
        const offset = random.below(size);
        random.bytes(Math.min(random.below(3 * BLOCK), size - offset)).copy(source, offset);
      }
    }
  }
});

test.run();
