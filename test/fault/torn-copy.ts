// The copy loop over media that lie, fail and lose power: whatever happens, no digest that survives claims more than
// the surviving target holds, and the next copy ends equal. Small, in memory, and many times.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { digestOf, isUnknown } from '../../src/base/digest.js';
import { ToolError } from '../../src/base/tool-error.js';
import { copy } from '../../src/engine/copy.js';
import { inlineExecutor } from '../../src/engine/executor.js';
import { createLedger } from '../../src/engine/ledger.js';
import type { BlockMap } from '../../src/map/block-map.js';
import type { Extent } from '../../src/map/extent.js';
import { memoryTarget } from '../../src/source/memory.js';
import type { Source, Target } from '../../src/source/types.js';
import { blockMapOver } from '../../src/state/block-map-file.js';
import { BLOCK, digestsOf, masked, PAGE_LENGTH, someExtents, volumeOf } from '../support/copy-volume.js';
import { Crash, type Fault, type FaultyOptions, faultySource, faultyTarget, type Verb } from '../support/faulty.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { volatileTarget } from '../support/volatile.js';

const SIZE = 3 * PAGE_LENGTH + 777;
const GRID = { size: SIZE, blockSize: BLOCK };
const MAP_LENGTH = 4096 + 4 * 4096;

/** What survives between runs. */
interface World {
  target: Buffer;
  map: Buffer;
}

interface Attempt {
  readonly source: Source;
  readonly used: readonly Extent[];
  readonly mode: 'first' | 'hash' | 'resume' | 'compare';
  readonly onTarget?: FaultyOptions;
  readonly onMap?: FaultyOptions;
  readonly random: Random;
  /** Of unflushed sectors, if the run dies. */
  readonly survival: number;
}

/** One run. A crash or an error ends it; then the power fails. Returns what it threw. */
async function attempt(
  world: World,
  { source, used, mode, onTarget, onMap, random, survival }: Attempt,
): Promise<unknown> {
  const medium = volatileTarget(world.target, 'target');
  const file = volatileTarget(world.map, 'map');
  const target: Target = faultyTarget(medium, onTarget);
  const map: BlockMap = blockMapOver(faultyTarget(file, onMap), GRID);
  const volume = volumeOf({ source, target, used, map, mode });
  const ledger = createLedger({ target, arm: async () => {}, epochMs: random.pick([0, 1, 5]) });
  const { signal } = new AbortController();
  let thrown: unknown;
  try {
    await copy([volume], { sink: 'write', inline: inlineExecutor(), workers: undefined, ledger, signal });
  } catch (error) {
    thrown = error;
  }
  // The commit flushes the target once more; a run that failed does not get there.
  if (thrown === undefined) await medium.flush();
  world.target = medium.afterCut(random, survival);
  world.map = file.afterCut(random, survival);
  return thrown;
}

async function demandTrueClaims(world: World, label: string): Promise<void> {
  const digests = await digestsOf(blockMapOver(memoryTarget(world.map), GRID));
  for (let block = 0; block * BLOCK < SIZE; block += 1) {
    if (isUnknown(digests, block * 16)) continue;
    const held = digestOf(world.target.subarray(block * BLOCK, Math.min((block + 1) * BLOCK, SIZE)));
    assert.ok(held.equals(digests.subarray(block * 16, block * 16 + 16)), `${label}: block ${block}`);
  }
}

function demandEqual(world: World, source: Buffer, used: readonly Extent[], label: string): void {
  const wanted = masked(source, used);
  for (const block of wanted.blocks) {
    const extent = [block * BLOCK, Math.min((block + 1) * BLOCK, SIZE)] as const;
    assert.ok(world.target.subarray(...extent).equals(wanted.bytes.subarray(...extent)), `${label}: block ${block}`);
  }
}

/** Noise and zeros, in stretches. */
function someBytes(random: Random): Buffer {
  const bytes = Buffer.alloc(SIZE);
  for (let at = 0; at < SIZE; at += 50_000) {
    if (random.chance(0.6)) random.bytes(Math.min(30_000, SIZE - at)).copy(bytes, at);
  }
  return bytes;
}

function changed(source: Buffer, random: Random): Buffer {
  const next = Buffer.from(source);
  for (let change = 0; change < 12; change += 1) {
    const length = random.between(1, 20_000);
    const at = random.below(SIZE - length);
    if (random.chance(0.3)) next.fill(0, at, at + length);
    else random.bytes(length).copy(next, at);
  }
  return next;
}

function someFault(verbs: readonly Verb[], random: Random): Fault {
  return {
    verbs: [random.pick(verbs)],
    errno: random.pick(['EIO', 'ENOSPC']),
    landed: random.below(40),
    ...(random.chance(0.5) ? { nth: random.between(1, 12) } : {}),
    ...(random.chance(0.5) ? { within: { offset: random.below(SIZE), length: random.between(1, 100_000) } } : {}),
  };
}

/** A way to die: at an operation of the target or the map, or by an error of any medium. */
function someEnd(random: Random): Pick<Attempt, 'onTarget' | 'onMap'> & { readonly onSource?: FaultyOptions } {
  const kind = random.below(5);
  if (kind === 0) return { onTarget: { crashAfter: random.below(40) } };
  if (kind === 1) return { onMap: { crashAfter: random.below(25) } };
  if (kind === 2) return { onTarget: { faults: [someFault(['read', 'write', 'zero', 'discard', 'flush'], random)] } };
  if (kind === 3) return { onMap: { faults: [someFault(['read', 'write', 'flush'], random)] } };
  return { onSource: { faults: [someFault(['read'], random)] } };
}

test('no digest lies after any end, and the next copy ends equal', async () => {
  let died = 0;
  for (let round = 0; round < rounds({ short: 60, long: 5000 }); round += 1) {
    const random = randomFrom(SEED + round);
    const world: World = {
      target: random.chance(0.5) ? random.bytes(SIZE) : Buffer.alloc(SIZE),
      map: Buffer.alloc(MAP_LENGTH),
    };
    let source = someBytes(random);
    let used = random.chance(0.3) ? [{ offset: 0, length: SIZE }] : someExtents(SIZE, random);
    const versions = [source];
    let mode: Attempt['mode'] = 'first';
    for (let run = random.between(1, 4); run > 0; run -= 1) {
      const { onSource, ...ends } = someEnd(random);
      const survival = random.pick([0, 0.1, 0.5, 0.9, 1]);
      const label = `round ${round} (seed ${SEED + round}), ${mode}, ${JSON.stringify({ ...ends, onSource, survival })}`;
      const from = faultySource(memoryTarget(source, 'source'), onSource);
      const thrown = await attempt(world, { source: from, used, mode, ...ends, random, survival });
      if (thrown !== undefined) died += 1;
      if (thrown !== undefined && !(thrown instanceof Crash) && !(thrown instanceof ToolError)) throw thrown;
      await demandTrueClaims(world, label);
      if (thrown === undefined) demandEqual(world, source, used, label);
      mode = thrown === undefined ? 'hash' : 'resume';
      source = random.chance(0.2) ? random.pick(versions) : random.chance(0.5) ? changed(source, random) : source;
      versions.push(source);
      if (random.chance(0.2)) used = someExtents(SIZE, random);
    }
    const last = {
      source: memoryTarget(source, 'source'),
      used,
      mode: random.chance(0.2) ? ('compare' as const) : mode,
      random,
      survival: 0,
    };
    if (last.mode === 'compare') world.map.fill(0);
    assert.is(await attempt(world, last), undefined);
    await demandTrueClaims(world, `round ${round}, last`);
    demandEqual(world, source, used, `round ${round}, last`);
  }
  assert.ok(died > 20, `only ${died} runs died`);
});

test('a resumed copy writes nothing again that survived', async () => {
  const random = randomFrom(SEED);
  const source = random.bytes(SIZE);
  const used = [{ offset: 0, length: SIZE }];
  for (const crashAfter of [1, 2, 3, 4]) {
    const world: World = { target: Buffer.alloc(SIZE), map: Buffer.alloc(MAP_LENGTH) };
    const from = memoryTarget(source, 'source');
    const thrown = await attempt(world, {
      source: from,
      used,
      mode: 'first',
      onTarget: { crashAfter },
      random,
      survival: 0.5,
    });
    assert.instance(thrown, Crash);
    let missing = 0;
    for (let at = 0; at < SIZE; at += BLOCK) {
      if (!world.target.subarray(at, at + BLOCK).equals(source.subarray(at, at + BLOCK)))
        missing += Math.min(BLOCK, SIZE - at);
    }
    let written = 0;
    const onTarget: FaultyOptions = {
      onRequest(verb, { length }) {
        if (verb === 'write') written += length;
      },
    };
    assert.is(await attempt(world, { source: from, used, mode: 'resume', onTarget, random, survival: 0 }), undefined);
    assert.is(written, missing);
  }
});

test.run();
