// Hostile tables: thousands of damaged and forged ones end in a table or a ToolError, quickly, with bounded reads.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { fitTable, gapsOf, structures } from '../../src/partition/layout.js';
import { readTable } from '../../src/partition/read.js';
import type { PartitionTable } from '../../src/partition/table.js';
import type { Source } from '../../src/source/types.js';
import { manyRounds } from '../support/many-rounds.js';
import { buildGpt, emptyFile, fileBytes, imageBytes, memoryDisk, sealHeader } from '../support/partition-disk.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const ROUNDS = rounds({ short: 1000, long: 10_000 });

/** Fails if a reader asks for more than it could need of any table. */
function bounded(disk: Source): Source {
  let total = 0;
  return {
    ...disk,
    read: async (into, offset) => {
      total += into.length;
      assert.ok(into.length <= 4 * MiB, `a read of ${into.length} bytes`);
      assert.ok(total <= 40 * MiB, `${total} bytes read`);
      await disk.read(into, offset);
    },
  };
}

/** Gives all partitions new places, one behind the other, with room for records; they must be read back there. */
async function survivesMoving(table: PartitionTable, sectorSize: number): Promise<void> {
  let free = MiB;
  const places = new Map(
    table.partitions.map(({ number }) => {
      const extent = { offset: free, length: 3 * sectorSize };
      free += 5 * sectorSize;
      return [number, extent];
    }),
  );
  const targetSize = free + 4 * MiB + 8 * sectorSize;
  const image = fitTable(table, { targetSize, sectorSize, places });
  const moved = await readTable(memoryDisk(imageBytes(image, targetSize), sectorSize)).catch((error: unknown) => {
    throw new Error(`what was written is not read back: ${error}`, { cause: error });
  });
  if (table.partitions.length === 0) return;
  assert.equal(
    moved?.partitions.map(({ number, extent, type }) => [number, extent, type]),
    table.partitions.map(({ number, type }) => [number, places.get(number), type]),
  );
}

/** Reads and, if that works, does all that can be done with a table. True if it was read. */
async function survives(bytes: Buffer, sectorSize: number | undefined, random: Random): Promise<boolean> {
  try {
    const table = await readTable(bounded(memoryDisk(bytes, sectorSize)));
    if (!table) return false;
    structures(table);
    gapsOf(table, bytes.length);
    const only = table.partitions.map(({ number }) => number).filter(() => random.chance(0.5));
    for (const choice of [undefined, only]) {
      const targetSize = bytes.length + random.below(3) * 4096;
      const image = fitTable(table, { targetSize, sectorSize: table.sectorSize, only: choice });
      const again = await readTable(memoryDisk(imageBytes(image, targetSize), table.sectorSize));
      if (table.kind === 'gpt')
        assert.equal(
          again?.warnings.filter(({ code }) => code !== 'hybrid-mbr'),
          [],
        );
      const { kind } = table;
      assert.equal(
        again?.partitions.map(({ number, extent }) => [kind, number, extent]),
        image.partitions.map(({ number, extent }) => [kind, number, extent]),
      );
    }
    for (const sectorSize of [512, 4096]) await survivesMoving(table, sectorSize);
    return true;
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    assert.ok(error.code.startsWith('filesystem.') || error.code.startsWith('safety.'), error.code);
    return false;
  }
}

async function fuzz(
  name: string,
  original: Buffer,
  sectorSize: number | undefined,
  places: readonly number[],
  seal: number[],
) {
  const random = randomFrom(SEED);
  let read = 0;
  await manyRounds(name, ROUNDS, async (round) => {
    const undo: [number, number][] = [];
    const put = (at: number, value: number): void => {
      undo.push([at, original.readUInt8(at)]);
      original.writeUInt8(value, at);
    };
    for (let changes = random.between(1, 6); changes > 0; changes -= 1) {
      const at = random.pick(places) + random.below(96);
      const value = random.pick([0, 1, 0x7f, 0x80, 0xff, 0x05, 0xee, random.below(256)]);
      if (at < original.length) put(at, value);
    }
    const sealed = random.chance(0.7);
    const seals = sealed ? seal.map((at) => [at, original.readUInt32LE(at + 16)] as const) : [];
    // A forged header has a right checksum: what comes after must stand on its own.
    for (const at of seal) if (sealed && original.readUInt32LE(at + 12) <= 4096) sealHeader(original, at);
    try {
      if (await survives(original, sectorSize, random)) read += 1;
    } catch (error) {
      console.log(`${name}: round ${round} of seed ${SEED}: ${undo.map(([at]) => `${at}=${original[at]}`).join(' ')}`);
      throw error;
    }
    for (const [at, crc] of seals) original.writeUInt32LE(crc, at + 16);
    for (const [at, value] of undo.reverse()) original.writeUInt8(value, at);
  });
  console.log(`${name}: ${read} of ${ROUNDS} were read`);
}

test('damaged GPTs', async () => {
  const partitions = [
    { index: 0, first: 40, last: 139, name: 'one' },
    { index: 2, first: 200, last: 1999, name: 'two' },
  ];
  for (const sectorSize of [512, undefined]) {
    const disk = buildGpt({ sectorCount: 2048, partitions, entryCount: 16 });
    const last = 2047 * 512;
    const places = [430, 512, 512, 1024, 1280, last, last - 4 * 512, 4096];
    await fuzz(`GPT, sectors of ${sectorSize}`, disk, sectorSize, places, [512, last]);
  }
});

test('forged GPTs: checksums are right everywhere', async () => {
  const random = randomFrom(SEED);
  await manyRounds('forged GPTs', ROUNDS / 2, async () => {
    const number = (): number =>
      random.pick([0, 1, 2, 33, 34, 40, 500, 1000, 1014, 1015, 1023, 1024, 2 ** 31, 2 ** 52]);
    const partitions = [0, 1, 2].map((index) => ({ index, first: number(), last: number(), name: 'n' }));
    const disk = buildGpt({
      sectorCount: 1024,
      partitions,
      entryCount: random.pick([3, 4, 32]),
      firstUsable: number(),
      lastUsable: number(),
    });
    await survives(disk, 512, random);
  });
});

test('damaged MBRs and chains', async () => {
  const folder = scratchFolder();
  const path = emptyFile(folder, 'chain.img', 4 * MiB);
  const script =
    'label: dos\n2048,1000,c,*\n3072,4000,5\n7100,500,83\nstart=3080,size=400\nstart=3600,size=100\nstart=3800,size=900\n';
  run('sfdisk', ['-q', '--wipe', 'never', path], { input: script });
  const disk = fileBytes(path);
  const records: number[] = [];
  for (let at = 0; at < disk.length; at += 512) if (disk.readUInt16BE(at + 510) === 0x55aa) records.push(at + 430);
  assert.is(records.length, 4);
  await fuzz('MBR', disk, 512, records, []);
  await fuzz('MBR in a raw file', disk, undefined, records, []);
});

test('noise', async () => {
  const random = randomFrom(SEED);
  await manyRounds('noise', rounds({ short: 300, long: 3000 }), async () => {
    const disk = random.bytes(random.pick([511, 512, 1024, 4096, 70_000, 100_000]));
    if (disk.length >= 512) disk.writeUInt16BE(0x55aa, 510);
    for (let slot = 0; slot < 4 && disk.length >= 512; slot += 1) {
      disk[446 + slot * 16] = random.pick([0, 0x80]);
      disk[446 + slot * 16 + 4] = random.pick([0xee, 5, 0x83]);
    }
    if (disk.length >= 600 && random.chance(0.5)) disk.write('EFI PART', 512);
    await survives(disk, random.pick([512, 4096, 0]) || undefined, random);
  });
});

test.run();
