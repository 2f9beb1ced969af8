// An MBR made a GPT: types, numbers, identifiers, boot code, and what is refused.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { convertToGpt, type GptWish } from '../../src/partition/mbr-to-gpt.js';
import { readTable } from '../../src/partition/read.js';
import type { GptTable, MbrTable } from '../../src/partition/table.js';
import { BOOT_CODE, buildMbr } from '../support/mbr-disk.js';
import { imageBytes, memoryDisk, thrownBy } from '../support/partition-disk.js';

const DISK = 'd0000000-0000-4000-8000-000000000000';
const TYPES: readonly [number, string][] = [
  [0x06, 'Microsoft basic data'],
  [0x07, 'Microsoft basic data'],
  [0x0b, 'Microsoft basic data'],
  [0x0c, 'Microsoft basic data'],
  [0x0e, 'Microsoft basic data'],
  [0x27, 'Windows recovery'],
  [0x82, 'Linux swap'],
  [0x83, 'Linux'],
  [0x8e, 'Linux LVM'],
  [0xef, 'EFI system'],
  [0xfd, 'Linux RAID'],
];

function guid(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

/** A primary, and logicals of the given types, one each 10 sectors. */
async function mbrWith(types: readonly number[], first = 100): Promise<MbrTable> {
  const disk = buildMbr({
    sectorCount: 4000,
    primaries: [{ slot: 1, first, count: 100, type: 0x83, boot: 0x80 }],
    container: { slot: 3, end: 3000 },
    logicals: types.map((type, i) => ({ record: 200 + i * 10, first: 201 + i * 10, count: 9, type })),
  });
  const table = await readTable(memoryDisk(disk, 512));
  if (table?.kind !== 'mbr') throw new Error('no MBR');
  return table;
}

function wishFor(table: MbrTable, wish: Partial<GptWish> = {}): GptWish {
  const partitionGuids = new Map(table.partitions.map(({ number }) => [number, guid(number)]));
  return { targetSize: 4000 * 512, sectorSize: 512, places: new Map(), diskGuid: DISK, partitionGuids, ...wish };
}

async function converted(table: MbrTable, wish: GptWish): Promise<GptTable> {
  const image = convertToGpt(table, wish);
  const gpt = await readTable(memoryDisk(imageBytes(image, wish.targetSize), wish.sectorSize));
  if (gpt?.kind !== 'gpt') throw new Error('no GPT');
  assert.equal(gpt.warnings, []);
  assert.equal(
    gpt.partitions,
    image.partitions.map(({ sourceNumber, ...partition }) => partition),
  );
  return gpt;
}

test('each known type, with numbers and places kept', async () => {
  const table = await mbrWith(TYPES.map(([type]) => type));
  const gpt = await converted(table, wishFor(table));
  assert.is(gpt.id, DISK);
  assert.equal(
    gpt.partitions.map(({ number, typeName, id, extent }) => [number, typeName, id, extent]),
    table.partitions.map(({ number, extent }, i) => [number, TYPES[i - 1]?.[1] ?? 'Linux', guid(number), extent]),
  );
  assert.equal(
    gpt.partitions.filter(({ bootable }) => bootable).map(({ number }) => number),
    [2],
  );
});

test('boot code stays in the protective MBR, the signature does not', async () => {
  const table = await mbrWith([0x83]);
  const { mbr } = (await converted(table, wishFor(table))).raw;
  assert.is(mbr.toString('latin1', 0, BOOT_CODE.length), BOOT_CODE);
  assert.is(mbr.readUInt32LE(440), 0);
  assert.is(mbr.toString('hex', 446, 451), '00000200ee');
  assert.is(mbr.readUInt32LE(446 + 12), 3999);
  assert.ok(mbr.subarray(462, 510).every((byte) => byte === 0));
});

test('places, a choice of partitions, and other sectors', async () => {
  const table = await mbrWith([0x83, 0x82]);
  const places = new Map([
    [5, { offset: 40 * 4096, length: 100 * 4096 }],
    [2, { offset: 6 * 4096, length: 10 * 4096 }],
  ]);
  const gpt = await converted(table, wishFor(table, { sectorSize: 4096, places, only: [2, 5] }));
  assert.equal(
    gpt.partitions.map(({ number, extent }) => [number, extent]),
    [
      [2, places.get(2)],
      [5, places.get(5)],
    ],
  );
  assert.is(gpt.raw.firstUsable, 6);
});

test('more logical partitions than a usual GPT has entries', async () => {
  const table = await mbrWith(Array.from({ length: 128 }, () => 0x83));
  const gpt = await converted(table, wishFor(table));
  assert.is(gpt.partitions.at(-1)?.number, 132);
  assert.is(gpt.raw.entryCount, 160);
});

test('refuses types without a counterpart, and partitions where the GPT lies', async () => {
  const refused = async (table: MbrTable, wish: Partial<GptWish>, code: string, text: RegExp): Promise<void> => {
    const error = await thrownBy(() => convertToGpt(table, wishFor(table, wish)));
    assert.instance(error, ToolError, `${code} expected: ${error}`);
    if (!(error instanceof ToolError)) return;
    assert.is(error.code, code);
    assert.match(error.message, text);
  };
  const bsd = await mbrWith([0x83, 0xa5]);
  await refused(bsd, {}, 'safety.type-unknown-to-gpt', /partition 6 has the MBR type 0xa5/);
  assert.is((await converted(bsd, wishFor(bsd, { only: [2, 5] }))).partitions.length, 2);
  await refused(await mbrWith([0x83], 20), {}, 'safety.places-overlap', /entries of the primary GPT.*partition 2/);
  const full = { targetSize: 220 * 512 };
  await refused(await mbrWith([0x83, 0x83]), full, 'safety.target-too-small', /too small/);
});

test.run();
