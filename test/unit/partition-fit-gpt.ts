// A GPT fitted to other disks: exact on its own disk, whole and valid elsewhere.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { fitTable, gapsOf, structures } from '../../src/partition/layout.js';
import { readTable } from '../../src/partition/read.js';
import type { GptTable } from '../../src/partition/table.js';
import { type BuiltGpt, buildGpt, imageBytes, memoryDisk, putEntry, thrownBy } from '../support/partition-disk.js';

const BUILT: BuiltGpt = {
  sectorCount: 2048,
  partitions: [
    { index: 0, first: 40, last: 139, name: 'one' },
    { index: 2, first: 200, last: 1999, name: 'two' },
  ],
};

async function read(disk: Buffer, sectorSize: number | undefined = 512): Promise<GptTable> {
  const table = await readTable(memoryDisk(disk, sectorSize));
  if (table?.kind !== 'gpt') throw new Error('no GPT');
  return table;
}

test('fitted to its own disk, an intact table comes out byte for byte', async () => {
  for (const built of [BUILT, { ...BUILT, lastUsable: 2005 }, { ...BUILT, sectorSize: 4096 }]) {
    const disk = buildGpt(built);
    disk.fill('boot code', 0, 440);
    const table = await read(disk, built.sectorSize);
    const fitted = imageBytes(fitTable(table, { targetSize: disk.length, sectorSize: undefined }), disk.length);
    assert.ok(fitted.equals(disk));
  }
});

test('a larger target gets its backup at the real end', async () => {
  for (const sectors of [2049, 5000]) {
    const targetSize = sectors * 512 + 100;
    const table = await read(buildGpt(BUILT));
    const image = fitTable(table, { targetSize, sectorSize: 512 });
    assert.is(image.writes.at(-1)?.offset, 0);
    const fitted = await read(imageBytes(image, targetSize));
    assert.equal(fitted.warnings, []);
    assert.equal(fitted.partitions, table.partitions);
    assert.equal(fitted.raw.backup, { headerLba: sectors - 1, entriesLba: sectors - 33 });
    assert.is(fitted.raw.lastUsable, sectors - 34);
    assert.is(fitted.raw.mbr.readUInt32LE(446 + 12), sectors - 1);
  }
});

test('a smaller target works to the last sector, and the missing bytes are exact', async () => {
  const table = await read(buildGpt({ ...BUILT, partitions: BUILT.partitions.slice(0, 1) }));
  const needed = (140 + 32 + 1) * 512;
  const fitted = await read(imageBytes(fitTable(table, { targetSize: needed, sectorSize: 512 }), needed));
  assert.equal(fitted.warnings, []);
  assert.equal(fitted.partitions, table.partitions);
  const error = await thrownBy(() => fitTable(table, { targetSize: needed - 1, sectorSize: 512 }));
  assert.instance(error, ToolError);
  if (error instanceof ToolError) {
    assert.is(error.code, 'safety.target-too-small');
    assert.is(error.exitStatus, 3);
    assert.is(error.details['missing'], 1);
  }
});

test('only the named partitions are kept, with their numbers', async () => {
  const table = await read(buildGpt(BUILT));
  const image = fitTable(table, { targetSize: 4096 * 512, sectorSize: 512, only: [3] });
  const fitted = await read(imageBytes(image, 4096 * 512));
  assert.equal(
    fitted.partitions,
    table.partitions.filter(({ number }) => number === 3),
  );
  assert.ok(fitted.raw.entries.subarray(0, 128).every((byte) => byte === 0));
});

test('a damaged source makes a whole target', async () => {
  for (const [primaryEntriesLba, kept] of [
    [2, true],
    [60, true],
    [60, false],
  ] as const) {
    const disk = buildGpt({ ...BUILT, primaryEntriesLba, firstUsable: 100, partitions: BUILT.partitions.slice(1) });
    if (kept) disk.writeUInt8(1, 512 + 57);
    else disk.fill(0, 512, 1024);
    const table = await read(disk);
    assert.is(table.raw.primaryEntriesLba, kept ? primaryEntriesLba : 2);
    for (const sectors of [2048, 3000]) {
      const image = fitTable(table, { targetSize: sectors * 512, sectorSize: 512 });
      const fitted = await read(imageBytes(image, sectors * 512));
      assert.equal(fitted.warnings, []);
      assert.equal(fitted.partitions, table.partitions);
    }
  }
});

test('a hybrid MBR keeps its entries, except those of dropped partitions', async () => {
  const disk = buildGpt(BUILT);
  putEntry(disk, { at: 446, type: 0xee, start: 1, count: 39 });
  putEntry(disk, { at: 462, type: 0x0c, start: 40, count: 100 });
  putEntry(disk, { at: 478, type: 0x83, start: 200, count: 1800, boot: 0x80 });
  const table = await read(disk);
  assert.equal(
    table.warnings.map(({ code }) => code),
    ['hybrid-mbr'],
  );
  assert.ok(table.raw.intact);
  const whole = imageBytes(fitTable(table, { targetSize: 4096 * 512, sectorSize: 512 }), 4096 * 512);
  assert.ok(whole.subarray(0, 512).equals(disk.subarray(0, 512)));
  const partly = imageBytes(fitTable(table, { targetSize: 4096 * 512, sectorSize: 512, only: [1] }), 4096 * 512);
  assert.ok(partly.subarray(0, 478).equals(disk.subarray(0, 478)));
  assert.ok(partly.subarray(478, 494).every((byte) => byte === 0));
});

test('a missing protective MBR is made, with the boot code kept', async () => {
  const disk = buildGpt(BUILT);
  disk.fill(0, 440, 512);
  disk.fill('boot code', 0, 440);
  const image = fitTable(await read(disk), { targetSize: 3000 * 512, sectorSize: 512 });
  const fitted = await read(imageBytes(image, 3000 * 512));
  assert.equal(fitted.warnings, []);
  assert.is(fitted.raw.mbr.toString('latin1', 0, 9), 'boot code');
});

test('structures and gaps', async () => {
  const table = await read(buildGpt(BUILT));
  const inSectors = (extents: ReturnType<typeof structures>): number[][] =>
    extents.map(({ offset, length }) => [offset / 512, (offset + length) / 512]);
  assert.equal(inSectors(structures(table)), [
    [0, 34],
    [2015, 2048],
  ]);
  assert.equal(inSectors(gapsOf(table, 2048 * 512)), [
    [34, 40],
    [140, 200],
    [2000, 2015],
  ]);
});

test.run();
