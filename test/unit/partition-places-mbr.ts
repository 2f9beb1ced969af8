// An MBR whose partitions move: entries, the extended partition, its chain, and the limits of 32 bits.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import type { Extent } from '../../src/map/extent.js';
import { fitTable } from '../../src/partition/layout.js';
import { readTable } from '../../src/partition/read.js';
import type { FitOptions, MbrTable } from '../../src/partition/table.js';
import { assertSound, BOOT_CODE, type BuiltMbr, buildMbr, withoutSource } from '../support/mbr-disk.js';
import { imageBytes, memoryDisk, thrownBy } from '../support/partition-disk.js';

const MIB = 2048;
/** Primary 1 at 1 MiB, logicals 5 to 7 from 3 MiB on, primary 4 at 12 MiB. */
const BUILT: BuiltMbr = {
  sectorCount: 16 * MIB,
  primaries: [
    { slot: 0, first: MIB, count: MIB, type: 0x0c, boot: 0x80 },
    { slot: 3, first: 12 * MIB, count: MIB, type: 0x83 },
  ],
  container: { slot: 1, end: 12 * MIB },
  logicals: [
    { record: 3 * MIB, first: 3 * MIB + 63, count: 1000, type: 0x82 },
    { record: 5 * MIB, first: 6 * MIB, count: MIB, type: 0x83 },
    { record: 8 * MIB, first: 9 * MIB, count: MIB, type: 0x07 },
  ],
};
const SIZE = BUILT.sectorCount * 512;

async function read(disk: Buffer, sectorSize = 512): Promise<MbrTable> {
  const table = await readTable(memoryDisk(disk, sectorSize));
  if (table?.kind !== 'mbr') throw new Error('no MBR');
  return table;
}

/** Extents in sectors of `unit` bytes, by partition. */
function placesOf(places: Record<number, [number, number]>, unit = 512): Map<number, Extent> {
  return new Map(
    Object.entries(places).map(([number, [start, count]]) => [
      Number(number),
      { offset: start * unit, length: count * unit },
    ]),
  );
}

interface Fitted {
  readonly table: MbrTable;
  readonly bytes: Buffer;
}

/** Fits, reads back and checks what must hold for any table; and that doing it again changes nothing. */
async function fit(table: MbrTable, options: Partial<FitOptions>): Promise<Fitted> {
  const all = { targetSize: SIZE, sectorSize: 512, ...options };
  const image = fitTable(table, all);
  const bytes = imageBytes(image, all.targetSize);
  const fitted = await read(bytes, all.sectorSize);
  assertSound(fitted, image, all.targetSize);
  assert.equal(fitted.partitions, withoutSource(image.partitions));
  const again = fitTable(fitted, { targetSize: all.targetSize, sectorSize: all.sectorSize, places: new Map() });
  assert.ok(imageBytes(again, all.targetSize).equals(bytes), 'again');
  return { table: fitted, bytes };
}

/** In sectors: containers and records. */
function chainOf({ raw, sectorSize }: MbrTable): unknown[] {
  return raw.containers.map(({ extent, chain }) => [
    extent.offset / sectorSize,
    extent.length / sectorSize,
    chain.map(({ lba }) => lba),
  ]);
}

async function refused(table: MbrTable, options: Partial<FitOptions>, code: string, text: RegExp): Promise<void> {
  const error = await thrownBy(() => fitTable(table, { targetSize: SIZE, sectorSize: 512, ...options }));
  assert.instance(error, ToolError, `${code} expected: ${error}`);
  if (!(error instanceof ToolError)) return;
  assert.is(error.code, code, error.message);
  assert.match(error.message, text);
}

test('places that change nothing give the same bytes', async () => {
  const disk = buildMbr(BUILT);
  const table = await read(disk);
  const same = new Map(table.partitions.map(({ number, extent }) => [number, extent]));
  for (const places of [new Map(), same]) {
    const image = fitTable(table, { targetSize: SIZE, sectorSize: 512, places });
    assert.ok(imageBytes(image, SIZE).equals(disk));
  }
});

test('a primary that moves leaves the chain alone', async () => {
  const disk = buildMbr(BUILT);
  const { table, bytes } = await fit(await read(disk), { places: placesOf({ 4: [13 * MIB, 3 * MIB], 1: [63, 3000] }) });
  assert.equal(
    table.partitions.map(({ number, extent, bootable }) => [
      number,
      extent.offset / 512,
      extent.length / 512,
      bootable,
    ]),
    [
      [1, 63, 3000, true],
      [4, 13 * MIB, 3 * MIB, false],
      [5, 3 * MIB + 63, 1000, false],
      [6, 6 * MIB, MIB, false],
      [7, 9 * MIB, MIB, false],
    ],
  );
  assert.ok(bytes.subarray(3 * MIB * 512).equals(disk.subarray(3 * MIB * 512)), 'records');
  assert.is(bytes.toString('latin1', 0, BOOT_CODE.length), BOOT_CODE);
  // 63 sectors a track, 255 heads: LBA 63 is cylinder 0, head 1, sector 1; its end, LBA 3062, head 48, sector 39.
  assert.is(bytes.toString('hex', 447, 454), '0101000c302700');
});

test('logicals that move get records of their own, 1 MiB before them or right before them', async () => {
  const table = await read(buildMbr(BUILT));
  const { table: fitted, bytes } = await fit(table, {
    places: placesOf({ 6: [5 * MIB, MIB], 7: [6 * MIB + 8, 3 * MIB] }),
  });
  assert.equal(chainOf(fitted), [[3 * MIB, 6 * MIB + 8 - 3 * MIB + 3 * MIB, [3 * MIB, 4 * MIB, 6 * MIB + 7]]]);
  // A record stays only before a partition that does.
  const { table: later } = await fit(table, { places: placesOf({ 7: [10 * MIB, MIB] }) });
  assert.equal(chainOf(later), [[3 * MIB, 8 * MIB, [3 * MIB, 5 * MIB, 9 * MIB]]]);
  const loader = (lba: number): string => bytes.toString('latin1', lba * 512, lba * 512 + 8);
  assert.equal([3 * MIB, 4 * MIB, 6 * MIB + 7].map(loader), ['loader 0', 'loader 1', 'loader 2']);
  assert.equal(
    fitted.partitions.map(({ number, type, id }) => [number, type, id]),
    table.partitions.map(({ number, type, id }) => [number, type, id]),
  );
});

test('a chain that is not in the order of the disk keeps its order', async () => {
  const table = await read(buildMbr(BUILT));
  const { table: fitted } = await fit(table, {
    places: placesOf({ 5: [10 * MIB, MIB], 6: [8 * MIB, MIB], 7: [6 * MIB, MIB] }),
  });
  assert.equal(
    fitted.partitions.map(({ number, extent }) => [number, extent.offset / 512 / MIB]),
    [
      [1, 1],
      [4, 12],
      [5, 10],
      [6, 8],
      [7, 6],
    ],
  );
  // The head is 1 MiB before the first of the disk, whose own record is right before it.
  assert.equal(chainOf(fitted), [[5 * MIB, 6 * MIB, [5 * MIB, 7 * MIB, 6 * MIB - 1]]]);
});

test('dropping and moving at once: the head keeps its loader code', async () => {
  const table = await read(buildMbr(BUILT));
  const { table: fitted, bytes } = await fit(table, { only: [1, 7], places: placesOf({ 7: [4 * MIB, 7 * MIB] }) });
  assert.equal(
    fitted.partitions.map(({ number, extent }) => [number, extent.offset / 512]),
    [
      [1, MIB],
      [5, 4 * MIB],
    ],
  );
  assert.is(bytes.toString('latin1', 3 * MIB * 512, 3 * MIB * 512 + 8), 'loader 0');
});

test('an extended partition that was asked for', async () => {
  const table = await read(buildMbr(BUILT));
  const container = { offset: 2 * MIB * 512, length: 10 * MIB * 512 };
  const { table: fitted } = await fit(table, { places: new Map(), container });
  assert.equal(chainOf(fitted), [[2 * MIB, 10 * MIB, [2 * MIB, 5 * MIB, 8 * MIB]]]);
  const small = { offset: 3 * MIB * 512, length: 6 * MIB * 512 };
  await refused(table, { places: new Map(), container: small }, 'safety.outside-container', /partition 7.*LBA 6144/);
  const late = { offset: (3 * MIB + 63) * 512, length: 9 * MIB * 512 };
  await refused(table, { places: new Map(), container: late }, 'safety.outside-container', /partition 5/);
  const odd = { offset: 2 * MIB * 512 + 1, length: 10 * MIB * 512 };
  await refused(table, { places: new Map(), container: odd }, 'safety.place-not-aligned', /extended/);
  const clash = { offset: MIB * 512, length: 11 * MIB * 512 };
  await refused(table, { places: new Map(), container: clash }, 'safety.places-overlap', /partition 1 .*extended/);
});

test('a primary that comes to lie in the free end of the extended partition makes it shorter', async () => {
  const table = await read(buildMbr(BUILT));
  const { table: fitted } = await fit(table, { places: placesOf({ 4: [11 * MIB, MIB] }) });
  assert.equal(chainOf(fitted), [[3 * MIB, 7 * MIB, [3 * MIB, 5 * MIB, 8 * MIB]]]);
});

test('an empty extended partition stays until something lies on it', async () => {
  const built = { ...BUILT, logicals: [{ record: 3 * MIB, first: 4 * MIB, count: 1, type: 0 }] };
  const disk = buildMbr(built);
  disk.fill(0, 3 * MIB * 512 + 446, 3 * MIB * 512 + 510);
  const table = await read(disk);
  assert.is((await fitTableOf(table, { places: placesOf({ 1: [100, 50] }) })).raw.containers.length, 1);
  assert.is((await fitTableOf(table, { places: placesOf({ 1: [4 * MIB, MIB] }) })).raw.containers.length, 0);
  const container = { offset: 5 * MIB * 512, length: MIB * 512 };
  const wished = await fitTableOf(table, { places: placesOf({ 1: [4 * MIB, 1] }), container });
  assert.equal(chainOf(wished), [[5 * MIB, MIB, [5 * MIB]]]);
});

async function fitTableOf(table: MbrTable, options: Partial<FitOptions>): Promise<MbrTable> {
  return read(imageBytes(fitTable(table, { targetSize: SIZE, sectorSize: 512, ...options }), SIZE));
}

test('to sectors of 4096 bytes and back', async () => {
  const table = await read(buildMbr(BUILT));
  const places = placesOf({ 1: [256, 256], 4: [3072, 512], 5: [1024, 100], 6: [1536, 256], 7: [1793, 256] }, 4096);
  const { table: large, bytes } = await fit(table, { sectorSize: 4096, places });
  assert.is(large.sectorSize, 4096);
  assert.equal(chainOf(large), [[768, 1793 + 256 - 768, [768, 1280, 1792]]]);
  assert.is(large.id, '0badcafe');
  assert.is(bytes.toString('latin1', 768 * 4096, 768 * 4096 + 8), 'loader 0');
  const back = new Map(table.partitions.map(({ number, extent }) => [number, extent]));
  const { table: small } = await fit(large, { sectorSize: 512, places: back });
  assert.equal(small.partitions, table.partitions);
});

test('a new signature, and the identifiers that follow from it', async () => {
  const table = await read(buildMbr(BUILT));
  const identity = { diskId: '00C0FFEE', partitionIds: new Map() };
  const image = fitTable(table, { targetSize: SIZE, sectorSize: 512, identity });
  const fitted = await read(imageBytes(image, SIZE));
  assert.is(fitted.id, '00c0ffee');
  assert.equal(
    fitted.partitions.map(({ id }) => id),
    ['00c0ffee-01', '00c0ffee-04', '00c0ffee-05', '00c0ffee-06', '00c0ffee-07'],
  );
  assert.equal(fitted.partitions, withoutSource(image.partitions));
});

test('CHS that cannot be said are FE FF FF', async () => {
  const table = await read(buildMbr(BUILT));
  const targetSize = 20_000_000 * 512;
  const image = fitTable(table, { targetSize, sectorSize: 512, places: placesOf({ 4: [17_000_000, 1000] }) });
  const mbr = image.writes.at(-1)?.bytes;
  assert.is(mbr?.toString('hex', 446 + 48, 446 + 56), '00feffff83feffff');
});

test('refuses what 32 bits cannot say, and names a GPT', async () => {
  const table = await read(buildMbr(BUILT));
  const targetSize = 2 ** 43;
  const last = { places: placesOf({ 4: [2 ** 32 - 1000, 1000] }), targetSize };
  assert.is(fitTable(table, { sectorSize: 512, ...last }).partitions.length, 5);
  const beyond: [Record<number, [number, number]>, RegExp][] = [
    [{ 4: [2 ** 32 - 1000, 1001] }, /partition 4.*LBA 4294966296 to 4294967296/],
    [{ 1: [2 ** 33, MIB] }, /partition 1/],
    [{ 7: [2 ** 32 + MIB, MIB], 4: [1000, 10] }, /extended partition 2/],
  ];
  for (const [places, text] of beyond) {
    await refused(table, { places: placesOf(places), targetSize }, 'safety.place-beyond-mbr', text);
  }
  const error = await thrownBy(() =>
    fitTable(table, { places: placesOf({ 1: [2 ** 33, MIB] }), targetSize, sectorSize: 512 }),
  );
  assert.match((error instanceof ToolError && error.hint) || '', /GPT/);
});

test('refuses places that cannot be', async () => {
  const table = await read(buildMbr(BUILT));
  const at = (places: Record<number, [number, number]>) => ({ places: placesOf(places) });
  await refused(table, at({ 1: [0, 10] }), 'safety.places-overlap', /the MBR.*partition 1/);
  await refused(table, at({ 1: [12 * MIB, 10] }), 'safety.places-overlap', /partition (1|4).*partition (1|4)/);
  await refused(table, at({ 1: [8 * MIB - 10, 10] }), 'safety.places-overlap', /partition 1 .*|extended partition 2/);
  await refused(table, at({ 6: [3 * MIB + 1063, 9] }), 'safety.no-room-for-record', /partition 6.*LBA 7207/);
  await refused(table, at({ 4: [16 * MIB, 1] }), 'safety.target-too-small', /512 bytes too small/);
  await refused(table, at({ 7: [16 * MIB - 10, 11] }), 'safety.target-too-small', /512 bytes too small/);
});

test.run();
