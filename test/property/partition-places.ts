// Random tables with random places: what is read back is what was asked for, nothing overlaps, nothing lies outside,
// doing it again changes nothing, and places that change nothing change no byte.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Extent } from '../../src/map/extent.js';
import { fitTable } from '../../src/partition/layout.js';
import { convertToGpt } from '../../src/partition/mbr-to-gpt.js';
import { readTable } from '../../src/partition/read.js';
import type { MbrTable, PartitionTable } from '../../src/partition/table.js';
import { manyRounds } from '../support/many-rounds.js';
import { assertSound, type BuiltMbr, buildMbr, withoutSource } from '../support/mbr-disk.js';
import {
  type BuiltPartition,
  buildGpt,
  emptyFile,
  fileBytes,
  imageBytes,
  memoryDisk,
} from '../support/partition-disk.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const ROUNDS = rounds({ short: 250, long: 5000 });
const SECTORS = [512, 4096] as const;
/** Room that no partition of an MBR takes at the start, and none of a GPT at either end. */
const MARGIN = 16;

/** `count` ranges in sectors, ascending, apart by at least `gap`, from `first` on. */
function ranges(
  random: Random,
  wish: { count: number; first: number; gap: number; grain: number },
): [number, number][] {
  const { count, first, gap, grain } = wish;
  let free = first;
  return Array.from({ length: count }, (): [number, number] => {
    const start = Math.ceil((free + gap + random.below(3) * random.below(40)) / grain) * grain;
    const length = 1 + random.below(60);
    free = start + length;
    return [start, length];
  });
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i -= 1) {
    const j = random.below(i + 1);
    const [a, b] = [result[i], result[j]];
    if (a !== undefined && b !== undefined) [result[i], result[j]] = [b, a];
  }
  return result;
}

function randomGpt(random: Random, sectorSize: number): Buffer {
  const entryCount = random.between(8, 140);
  const places = ranges(random, { count: random.below(7), first: 60, gap: 0, grain: 1 });
  const slots = shuffled([0, 1, 2, 3, 4, 5, 6, 7], random);
  const partitions = places.map(
    ([first, count], i): BuiltPartition => ({
      index: slots[i] ?? 0,
      first,
      last: first + count - 1,
      name: `name ${i}`,
      attributes: random.bytes(8),
    }),
  );
  return buildGpt({ sectorSize, sectorCount: 60 + 7 * 140 + 60 + random.below(100), entryCount, partitions });
}

function randomMbr(random: Random, sectorSize: number): Buffer {
  const grain = random.chance(0.3) ? MiB / sectorSize : 1;
  const before = random.below(3);
  const logicals = random.below(6);
  const all = ranges(random, { count: before + logicals + 1, first: MARGIN, gap: 2, grain });
  const slots = shuffled([0, 1, 2, 3], random);
  const primaries = [...all.slice(0, before), ...all.slice(before + logicals)].map(([first, count], i) => ({
    slot: slots[i] ?? 0,
    first,
    count,
    type: random.pick([0x07, 0x0c, 0x83]),
    boot: random.chance(0.2) ? 0x80 : 0,
  }));
  const chain = all.slice(before, before + logicals).map(([first, count], i) => {
    const closest = i === 0 ? 2 : 1;
    return { record: first - random.between(1, closest), first, count, type: random.pick([0x82, 0x83, 0x8e]) };
  });
  const end = Math.max(0, ...chain.map(({ first, count }) => first + count));
  const sectorCount = (all.at(-1)?.[0] ?? 0) + 100;
  const container = { slot: slots[3] ?? 0, end };
  const built: BuiltMbr = { sectorSize, sectorCount, primaries, logicals: chain, container };
  return buildMbr(built);
}

/** New places for all partitions: the logical ones together, in any order; in units of `sectorSize`. */
function randomPlaces(table: PartitionTable, random: Random, sectorSize: number): Map<number, Extent> {
  const numbers = (role: string): number[] =>
    shuffled(
      table.partitions.filter((partition) => partition.role === role).map(({ number }) => number),
      random,
    );
  const outer = [...numbers('primary'), ...numbers('gpt')];
  const split = random.below(outer.length + 1);
  const order = [...outer.slice(0, split), ...numbers('logical'), ...outer.slice(split)];
  const grain = random.chance(0.3) ? MiB / sectorSize : 1;
  const all = ranges(random, { count: order.length, first: 60, gap: table.kind === 'mbr' ? 2 : 0, grain });
  return new Map(
    order.map((number, i) => {
      const [start, count] = all[i] ?? [0, 0];
      return [number, { offset: start * sectorSize, length: count * sectorSize }];
    }),
  );
}

function roomFor(places: ReadonlyMap<number, Extent>, sectorSize: number, random: Random): number {
  const end = Math.max(0, ...[...places.values()].map(({ offset, length }) => offset + length));
  return Math.max(end, 60 * sectorSize) + (45 + random.below(50)) * sectorSize + random.below(sectorSize);
}

async function read(bytes: Buffer, sectorSize: number): Promise<PartitionTable> {
  const table = await readTable(memoryDisk(bytes, sectorSize));
  if (!table) throw new Error('no table');
  return table;
}

/** The image on a target, read back; checked for what any table must keep. */
async function check(bytes: Buffer, sectorSize: number, random: Random): Promise<void> {
  const table = await read(bytes, sectorSize);
  const whole = new Map(table.partitions.map(({ number, extent }) => [number, extent]));
  for (const places of [whole, new Map()]) {
    const same = fitTable(table, { targetSize: bytes.length, sectorSize, places });
    for (const write of same.writes) {
      assert.ok(write.bytes.equals(bytes.subarray(write.offset, write.offset + write.bytes.length)), 'same bytes');
    }
  }
  const target = random.pick(SECTORS);
  const places = randomPlaces(table, random, target);
  const some = new Map([...places].filter(() => random.chance(0.8)));
  // Without all places others stay where they are, which need not fit: then they are left out.
  const only = some.size === places.size ? undefined : [...some.keys()];
  // sfdisk keeps the first MiB free, and so does a table without any partition.
  const start = table.kind === 'gpt' ? table.raw.firstUsable * table.sectorSize : 0;
  const targetSize = start + roomFor(places, target, random);
  const image = fitTable(table, { targetSize, sectorSize: target, places: some, only });
  const written = imageBytes(image, targetSize);
  const fitted = await read(written, target);
  assert.is(fitted.kind, table.kind);
  assert.equal(fitted.warnings, []);
  assert.is(fitted.id, table.id);
  assert.equal(fitted.partitions, withoutSource(image.partitions));
  assert.equal(
    image.partitions.map(({ sourceNumber, extent }) => [sourceNumber, extent]),
    table.partitions.flatMap(({ number }) => (some.has(number) ? [[number, some.get(number)]] : [])),
  );
  for (const { sourceNumber, type, name, attributes, bootable } of image.partitions) {
    const source = table.partitions.find(({ number }) => number === sourceNumber);
    assert.equal(
      [type, name, attributes, bootable],
      [source?.type, source?.name, source?.attributes, source?.bootable],
    );
  }
  if (fitted.kind === 'mbr') assertSound(fitted, image, targetSize);
  const stay = new Map(fitted.partitions.map(({ number, extent }) => [number, extent]));
  const again = fitTable(fitted, { targetSize, sectorSize: target, places: stay });
  assert.ok(imageBytes(again, targetSize).equals(written), 'again');
}

test('random GPTs', async () => {
  await manyRounds('GPT with places', ROUNDS, async (index) => {
    const random = randomFrom(SEED + index);
    const sectorSize = random.pick(SECTORS);
    await check(randomGpt(random, sectorSize), sectorSize, random);
  });
});

test('random MBRs', async () => {
  await manyRounds('MBR with places', ROUNDS, async (index) => {
    const random = randomFrom(SEED + index);
    const sectorSize = random.pick(SECTORS);
    await check(randomMbr(random, sectorSize), sectorSize, random);
  });
});

test('random MBRs as GPTs', async () => {
  await manyRounds('MBR to GPT', ROUNDS, async (index) => {
    const random = randomFrom(SEED + index);
    const sectorSize = random.pick(SECTORS);
    const table = (await read(randomMbr(random, sectorSize), sectorSize)) as MbrTable;
    const target = random.pick(SECTORS);
    const places = randomPlaces(table, random, target);
    const guid = (n: number): string => `0000000${n}-0000-4000-8000-${random.bytes(6).toString('hex')}`;
    const partitionGuids = new Map([...places.keys()].map((number) => [number, guid(number)]));
    const targetSize = roomFor(places, target, random);
    const diskGuid = guid(0);
    const image = convertToGpt(table, { targetSize, sectorSize: target, places, diskGuid, partitionGuids });
    const gpt = await read(imageBytes(image, targetSize), target);
    assert.is(gpt.kind, 'gpt');
    assert.equal(gpt.warnings, []);
    assert.is(gpt.id, diskGuid);
    assert.equal(gpt.partitions, withoutSource(image.partitions));
    assert.equal(
      gpt.partitions.map(({ number, extent, id, bootable }) => [number, extent, id, bootable]),
      table.partitions.map(({ number, bootable }) => [
        number,
        places.get(number),
        partitionGuids.get(number),
        bootable,
      ]),
    );
  });
});

test('what sfdisk made', async () => {
  const folder = scratchFolder();
  const input = 'label: dos\n,2M,c,*\n,9M,5\n,1M,7\nsize=1M,type=83\n,2M,82\n,,83\n';
  const path = emptyFile(folder, 'made.img', 16 * MiB);
  run('sfdisk', ['-q', path], { input: input.replace(',,83\n', ',1M,83\n') });
  const dos = fileBytes(path);
  run('sfdisk', ['-q', path], { input: 'label: gpt\n,2M,U\n,3M,S\n,,L\n' });
  const gpt = fileBytes(path);
  await manyRounds('tables of sfdisk', ROUNDS / 5, async (index) => {
    await check(dos, 512, randomFrom(SEED + index));
    await check(gpt, 512, randomFrom(SEED + index));
  });
});

test.run();
