// A GPT whose partitions move and change size, also to other sectors: what changes, and that nothing else does.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import type { Extent } from '../../src/map/extent.js';
import { fitTable } from '../../src/partition/layout.js';
import { readTable } from '../../src/partition/read.js';
import type { FitOptions, GptTable, TableImage } from '../../src/partition/table.js';
import { type BuiltGpt, buildGpt, imageBytes, memoryDisk, putEntry, thrownBy } from '../support/partition-disk.js';

const BUILT: BuiltGpt = {
  sectorCount: 4096,
  partitions: [
    { index: 0, first: 40, last: 139, name: 'one', attributes: Buffer.from('0500000000000080', 'hex') },
    { index: 2, first: 200, last: 1999, name: 'zwei' },
    { index: 5, first: 2000, last: 2999, name: 'three' },
  ],
};

async function read(disk: Buffer, sectorSize = 512): Promise<GptTable> {
  const table = await readTable(memoryDisk(disk, sectorSize));
  if (table?.kind !== 'gpt') throw new Error('no GPT');
  return table;
}

/** Extents in sectors of `unit` bytes, by partition. */
function placesOf(unit: number, places: Record<number, [number, number]>): Map<number, Extent> {
  return new Map(
    Object.entries(places).map(([number, [start, count]]) => [
      Number(number),
      { offset: start * unit, length: count * unit },
    ]),
  );
}

function withoutSource({ partitions }: TableImage): unknown[] {
  return partitions.map(({ sourceNumber, ...partition }) => partition);
}

async function refused(table: GptTable, options: FitOptions, code: string, text: RegExp): Promise<void> {
  const error = await thrownBy(() => fitTable(table, options));
  assert.instance(error, ToolError, `${code} expected: ${error}`);
  if (!(error instanceof ToolError)) return;
  assert.is(error.code, code, error.message);
  assert.match(error.message, text);
}

test('places that change nothing give the same bytes', async () => {
  const disk = buildGpt(BUILT);
  const table = await read(disk);
  const same = new Map(table.partitions.map(({ number, extent }) => [number, extent]));
  for (const places of [new Map(), same]) {
    const image = fitTable(table, { targetSize: disk.length, sectorSize: 512, places });
    assert.ok(imageBytes(image, disk.length).equals(disk));
  }
});

test('partitions move, swap, grow and shrink; names, attributes, GUIDs and numbers stay', async () => {
  const table = await read(buildGpt(BUILT));
  const targetSize = 6000 * 512;
  const places = placesOf(512, { 1: [3000, 2000], 3: [48, 1000] });
  const image = fitTable(table, { targetSize, sectorSize: 512, places });
  const fitted = await read(imageBytes(image, targetSize));
  assert.equal(fitted.warnings, []);
  assert.is(fitted.id, table.id);
  assert.equal(withoutSource(image), fitted.partitions);
  assert.equal(
    fitted.partitions,
    table.partitions.map((partition) => ({ ...partition, extent: places.get(partition.number) ?? partition.extent })),
  );
  assert.is(fitted.partitions[0]?.attributes, '8000000000000005');
});

test('a lower limit of usable sectors follows the partitions, and the upper one too', async () => {
  const disk = buildGpt({ ...BUILT, firstUsable: 40, lastUsable: 3000 });
  const table = await read(disk);
  const places = placesOf(512, { 1: [34, 6], 6: [2100, 1900] });
  const fitted = await read(
    imageBytes(fitTable(table, { targetSize: disk.length, sectorSize: 512, places }), disk.length),
  );
  assert.equal(fitted.warnings, []);
  assert.is(fitted.raw.firstUsable, 34);
  assert.is(fitted.raw.lastUsable, 4096 - 34);
});

test('to sectors of 4096 bytes and back: all numbers in new units', async () => {
  const table = await read(buildGpt(BUILT));
  const targetSize = 4096 * 512;
  const places = placesOf(4096, { 1: [6, 10], 3: [20, 300], 6: [400, 50] });
  const large = imageBytes(fitTable(table, { targetSize, sectorSize: 4096, places }), targetSize);
  const fitted = await read(large, 4096);
  assert.equal(fitted.warnings, []);
  assert.is(fitted.id, table.id);
  const { firstUsable, lastUsable, primaryEntriesLba, backup, entries } = fitted.raw;
  assert.equal(
    { firstUsable, lastUsable, primaryEntriesLba, backup, length: entries.length },
    {
      firstUsable: 6,
      lastUsable: 512 - 6,
      primaryEntriesLba: 2,
      backup: { headerLba: 511, entriesLba: 507 },
      length: 16384,
    },
  );
  assert.is(large.readUInt32LE(446 + 8), 1);
  assert.is(large.readUInt32LE(446 + 12), 511);
  assert.equal(
    fitted.partitions.map(({ number, extent }) => [number, extent]),
    [...places],
  );
  const back = new Map(table.partitions.map(({ number, extent }) => [number, extent]));
  const small = imageBytes(fitTable(fitted, { targetSize, sectorSize: 512, places: back }), targetSize);
  // Only the CHS of the protective entry, which the built disk does not have, are new.
  assert.ok(small.subarray(512).equals(buildGpt(BUILT).subarray(512)), 'back to the bytes it came from');
});

test('an array that fills no sector of 4096 bytes is filled up', async () => {
  const table = await read(buildGpt({ ...BUILT, entryCount: 12 }));
  const targetSize = 4096 * 512;
  const places = placesOf(4096, { 1: [3, 10], 3: [20, 300], 6: [400, 50] });
  const fitted = await read(imageBytes(fitTable(table, { targetSize, sectorSize: 4096, places }), targetSize), 4096);
  assert.equal(fitted.warnings, []);
  assert.is(fitted.raw.firstUsable, 3);
  assert.is(fitted.raw.entryCount, 12);
});

test('room before the entries stays in bytes', async () => {
  const table = await read(buildGpt({ ...BUILT, primaryEntriesLba: 6, entryCount: 16 }));
  const places = placesOf(4096, { 1: [16, 10], 3: [30, 300], 6: [400, 50] });
  const image = fitTable(table, { targetSize: 4096 * 512, sectorSize: 4096, places });
  const fitted = await read(imageBytes(image, 4096 * 512), 4096);
  assert.is(fitted.raw.primaryEntriesLba, 2);
  const larger = await read(buildGpt({ ...BUILT, primaryEntriesLba: 17, entryCount: 16, firstUsable: 30 }));
  const moved = await read(
    imageBytes(fitTable(larger, { targetSize: 4096 * 512, sectorSize: 4096, places }), 4096 * 512),
    4096,
  );
  assert.is(moved.raw.primaryEntriesLba, 3);
});

test('hybrid entries follow their partitions, the guards fill the rest', async () => {
  const disk = buildGpt(BUILT);
  putEntry(disk, { at: 446, type: 0xee, start: 1, count: 39 });
  putEntry(disk, { at: 462, type: 0x0c, start: 40, count: 100 });
  putEntry(disk, { at: 478, type: 0x83, start: 200, count: 1800, boot: 0x80 });
  const table = await read(disk);
  const entriesOf = (bytes: Buffer): number[][] =>
    [0, 1, 2, 3].map((slot) => {
      const at = 446 + slot * 16;
      return [bytes.readUInt8(at), bytes.readUInt8(at + 4), bytes.readUInt32LE(at + 8), bytes.readUInt32LE(at + 12)];
    });
  const none = [0, 0, 0, 0];
  const fit = (options: Partial<FitOptions>): Buffer => {
    const all = { targetSize: 4096 * 512, sectorSize: 512, ...options };
    return imageBytes(fitTable(table, all), all.targetSize);
  };
  const moved = fit({ places: placesOf(512, { 3: [3000, 900], 1: [100, 50] }) });
  assert.equal(entriesOf(moved), [[0, 0xee, 1, 99], [0, 0x0c, 100, 50], [0x80, 0x83, 3000, 900], none]);
  // Another partition that moves leaves the hybrid entries alone.
  assert.ok(
    fit({ places: placesOf(512, { 6: [2000, 800] }) })
      .subarray(0, 512)
      .equals(disk.subarray(0, 512)),
  );
  const places = placesOf(4096, { 1: [10, 5], 3: [20, 300], 6: [400, 50] });
  const large = fit({ sectorSize: 4096, places });
  assert.equal(entriesOf(large), [[0, 0xee, 1, 9], [0, 0x0c, 10, 5], [0x80, 0x83, 20, 300], none]);
  assert.is((await read(large, 4096)).partitions.length, 3);
  const dropped = fit({ sectorSize: 4096, places, only: [6] });
  assert.equal(entriesOf(dropped), [[0, 0xee, 1, 511], none, none, none]);
});

test('a hybrid entry that is no partition goes when something moves', async () => {
  const disk = buildGpt(BUILT);
  putEntry(disk, { at: 446, type: 0xee, start: 1, count: 39 });
  putEntry(disk, { at: 462, type: 0x0c, start: 60, count: 10 });
  putEntry(disk, { at: 478, type: 0xee, start: 140, count: 3956 });
  const table = await read(disk);
  const options = { targetSize: 5000 * 512, sectorSize: 512, places: placesOf(512, { 1: [3500, 100] }) };
  const { mbr } = (await read(imageBytes(fitTable(table, options), 5000 * 512))).raw;
  assert.is(mbr.readUInt32LE(446 + 12), 4999);
  assert.ok(mbr.subarray(462, 510).every((byte) => byte === 0));
});

test('a new identity, everything else as it was', async () => {
  const disk = buildGpt(BUILT);
  const table = await read(disk);
  const diskId = '01234567-89ab-cdef-0123-456789abcdef';
  const partitionIds = new Map([
    [1, 'A0000000-0000-4000-8000-000000000001'],
    [3, 'a0000000-0000-4000-8000-000000000003'],
  ]);
  const image = fitTable(table, { targetSize: disk.length, sectorSize: 512, identity: { diskId, partitionIds } });
  const fitted = await read(imageBytes(image, disk.length));
  assert.equal(fitted.warnings, []);
  assert.is(fitted.id, diskId);
  assert.equal(withoutSource(image), fitted.partitions);
  assert.equal(
    fitted.partitions,
    table.partitions.map((one) => ({ ...one, id: partitionIds.get(one.number)?.toLowerCase() ?? one.id })),
  );
});

test('refuses places that cannot be', async () => {
  const table = await read(buildGpt(BUILT));
  const options = { targetSize: 4096 * 512, sectorSize: 512 };
  const at = (places: Record<number, [number, number]>, unit = 512) => ({ ...options, places: placesOf(unit, places) });
  await refused(table, at({ 1: [150, 51] }), 'safety.places-overlap', /partition 1 "one" \(LBA 150 to 200\).*"zwei"/);
  await refused(table, at({ 1: [33, 10] }), 'safety.places-overlap', /entries of the primary GPT.*partition 1/);
  await refused(table, at({ 1: [4000, 64] }), 'safety.target-too-small', /target/);
  await refused(table, at({ 9: [40, 64] }), 'usage.no-such-partition', /9/);
  await refused(table, at({ 1: [40, 0] }), 'safety.place-not-aligned', /0 bytes/);
  const bytes = new Map([[1, { offset: 40 * 512 + 1, length: 512 }]]);
  await refused(table, { ...options, places: bytes }, 'safety.place-not-aligned', /20481/);
  // Those without a place stay, also where the sectors are larger.
  await refused(table, { ...at({ 3: [200, 8] }), sectorSize: 4096 }, 'safety.place-not-aligned', /"one".*4096/);
  await refused(table, { ...options, sectorSize: 4096 }, 'safety.sector-size-differs', /4096/);
});

test.run();
