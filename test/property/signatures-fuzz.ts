// Volumes whose containers and foreign file systems are damaged, cut off and mixed: what a volume is called is always
// decided, from few bytes, and a container that is intact counts before everything else.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { identify } from '../../src/filesystem/registry.js';
import { readForeignContent } from '../../src/filesystem/signatures.js';
import { addApfs, addBitLocker, addHfsPlus, addLvmLabel, addRaid, addZfs, raidOffset } from '../support/containers.js';
import { boundedSource, damage } from '../support/damage.js';
import { makeImage } from '../support/ext4-image.js';
import { manyRounds } from '../support/many-rounds.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const ROUNDS = rounds({ short: 2000, long: 20_000 });
const SIZE = 2 * MiB;
const random = randomFrom(SEED);
/** Where the signatures lie that something looks for. */
const SPOTS = [0, 512, 1024, 4096, 32 * KiB, 128 * KiB, 384 * KiB];

type Plant = (bytes: Buffer, random: Random) => void;

/** Each with the place that the rest of the test damages. */
const PLANTS: readonly (readonly [Plant, number])[] = [
  [(bytes) => bytes.write('LUKS\xba\xbe\0\x02', 'latin1'), 0],
  [(bytes) => addBitLocker(bytes, 'seven'), 0],
  [(bytes) => addBitLocker(bytes, 'to go'), 400],
  [(bytes) => addLvmLabel(bytes), 512],
  [(bytes) => addZfs(bytes, 0), 128 * KiB],
  [(bytes, dice) => addRaid(bytes, '0.90', dice), raidOffset(SIZE, '0.90')],
  [(bytes, dice) => addRaid(bytes, '1.0', dice), raidOffset(SIZE, '1.0')],
  [(bytes, dice) => addRaid(bytes, '1.2', dice), 4096],
  [(bytes) => bytes.write('ReFS', 3), 0],
  [addApfs, 0],
  [addHfsPlus, 1024],
  [(bytes) => bytes.write('CD001', 32769), 32 * KiB],
];

const image = join(scratchFolder(), 'ext2');
makeImage(image, SIZE, ['-t', 'ext2', '-b', '1024']);
const ext2 = readFileSync(image);

test(`${ROUNDS} damaged, cut off and mixed`, async () => {
  const told = new Set<string>();
  await manyRounds('signatures', ROUNDS, async (index) => {
    const bytes = random.chance(0.3) ? Buffer.from(ext2) : Buffer.alloc(SIZE);
    const [plant, place] = PLANTS[index % PLANTS.length] ?? [() => {}, 0];
    plant(bytes, random);
    if (random.chance(0.3)) random.pick(PLANTS)[0](bytes, random);
    damage(bytes, random.chance(0.6) ? place : random.pick(SPOTS), 600, random);
    const cut = random.chance(0.2) ? bytes.subarray(0, random.below(random.pick([1200, 70_000, SIZE]))) : bytes;
    const { recognised, foreign, unrecognised } = await identify(boundedSource(cut));
    assert.ok(!(recognised && foreign), 'one thing at most');
    assert.is(unrecognised === '', recognised !== undefined, 'a reason, unless it is recognised');
    const { foreign: alone } = await readForeignContent(boundedSource(cut));
    if (alone?.isContainer) assert.equal(foreign, alone, 'a container counts before all');
    told.add(unrecognised);
  });
  assert.ok(told.size > PLANTS.length, `${told.size} different answers`);
});

test('noise of every small size', async () => {
  await manyRounds('noise', rounds({ short: 1000, long: 10_000 }), async (index) => {
    const { foreign } = await identify(boundedSource(random.bytes(index % 5000)));
    assert.is(foreign, undefined);
  });
});

test.run();
