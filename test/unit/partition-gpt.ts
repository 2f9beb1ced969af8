// GPT: which copy counts, what is refused, and that numbers from the disk are bounded.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { readTable } from '../../src/partition/read.js';
import type { GptTable, PartitionTable } from '../../src/partition/table.js';
import {
  type BuiltPartition,
  buildGpt,
  memoryDisk,
  putEntry,
  sealHeader,
  thrownBy,
} from '../support/partition-disk.js';

const SECTORS = 2048;
const LAST = SECTORS - 1;
const TWO: readonly BuiltPartition[] = [
  { index: 0, first: 40, last: 139, name: 'EFI system partition' },
  { index: 2, first: 200, last: 1999, name: 'Daten – ünï', attributes: Buffer.from('0400000000000080', 'hex') },
];

function gpt(table: PartitionTable | undefined): GptTable {
  assert.ok(table);
  if (table.kind !== 'gpt') throw new Error(`not a GPT: ${table.kind}`);
  return table;
}

const codes = (table: PartitionTable): string[] => table.warnings.map(({ code }) => code);

async function refused(disk: Buffer, code: string, ...texts: RegExp[]): Promise<void> {
  const error = await thrownBy(() => readTable(memoryDisk(disk, 512)));
  assert.instance(error, ToolError, `nothing thrown, ${code} expected: ${error}`);
  if (!(error instanceof ToolError)) return;
  assert.is(error.code, code);
  assert.ok(error.hint);
  for (const text of texts) assert.match(error.message, text);
}

test('reads every field of a partition', async () => {
  const table = gpt(await readTable(memoryDisk(buildGpt({ sectorCount: SECTORS, partitions: TWO }), 512)));
  assert.equal(codes(table), []);
  assert.is(table.id, '44495547-6f20-2066-7468-65206469736b');
  assert.is(table.raw.intact, true);
  const [, second] = table.partitions;
  assert.equal(second, {
    number: 3,
    extent: { offset: 200 * 512, length: 1800 * 512 },
    type: '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
    typeName: 'Linux',
    name: 'Daten – ünï',
    id: '00001002-0000-0000-0000-000000000000',
    bootable: true,
    attributes: '8000000000000004',
    role: 'gpt',
  });
});

test('finds out the sector size of a raw file', async () => {
  for (const sectorSize of [512, 4096]) {
    const disk = buildGpt({ sectorSize, sectorCount: SECTORS, partitions: TWO });
    assert.is(gpt(await readTable(memoryDisk(disk))).sectorSize, sectorSize);
    disk.fill(0, sectorSize, sectorSize * 2);
    assert.is(gpt(await readTable(memoryDisk(disk))).sectorSize, sectorSize, 'by the backup');
  }
});

test('says that a disk has other sectors than its table', async () => {
  const disk = buildGpt({ sectorSize: 4096, sectorCount: SECTORS, partitions: TWO });
  await refused(disk, 'filesystem.table-sector-size', /512 bytes.*4096 bytes/);
});

test('reads unusual entry sizes, counts and places', async () => {
  for (const layout of [
    { entrySize: 256, entryCount: 128 },
    { entrySize: 128, entryCount: 3 },
    { entrySize: 1024, entryCount: 300 },
    { entrySize: 128, entryCount: 1000, primaryEntriesLba: 70 },
  ]) {
    const partitions = [{ index: 2, first: 900, last: 1000, name: 'x' }];
    const table = gpt(await readTable(memoryDisk(buildGpt({ sectorCount: SECTORS, partitions, ...layout }), 512)));
    assert.equal(codes(table), []);
    assert.is(table.partitions[0]?.number, 3);
  }
});

test('uses the backup for a damaged primary and says why', async () => {
  const damages: [(disk: Buffer) => void, RegExp][] = [
    [(disk) => disk.writeUInt8(9, 512 + 60), /primary GPT header at LBA 1 has a wrong checksum/],
    [(disk) => disk.fill(0, 512, 1024), /primary GPT header at LBA 1 is missing/],
    [(disk) => disk.writeUInt8(9, 1024 + 60), /entries of the primary GPT at LBA 2 have a wrong checksum/],
    [(disk) => disk.writeUInt32LE(1 << 30, 512 + 12), /impossible size/],
    [(disk) => resealed(disk, (at) => disk.writeUInt32LE(0xffffffff, at + 80)), /implausible number of 4294967295/],
    [(disk) => resealed(disk, (at) => disk.writeUInt32LE(0, at + 80)), /implausible number of 0/],
    [(disk) => resealed(disk, (at) => disk.writeUInt32LE(129, at + 84)), /impossible size of 129/],
    [(disk) => resealed(disk, (at) => disk.writeBigUInt64LE(7n, at + 24)), /belongs to LBA 7/],
    [(disk) => resealed(disk, (at) => disk.writeBigUInt64LE(2n ** 60n, at + 72)), /beyond any disk/],
    [(disk) => resealed(disk, (at) => disk.writeBigUInt64LE(2n ** 50n, at + 72)), /places its entries/],
    [(disk) => resealed(disk, (at) => disk.writeBigUInt64LE(1n, at + 72)), /places its entries/],
  ];
  for (const [damage, text] of damages) {
    const disk = buildGpt({ sectorCount: SECTORS, partitions: TWO });
    damage(disk);
    const table = gpt(await readTable(memoryDisk(disk, 512)));
    assert.equal(codes(table), ['primary-damaged']);
    assert.match(table.warnings[0]?.message ?? '', text);
    assert.match(table.warnings[0]?.message ?? '', /; the backup at LBA 2047 is used/);
    assert.is(table.partitions.length, 2);
    assert.is(table.raw.intact, false);
  }
});

function resealed(disk: Buffer, change: (at: number) => void): void {
  change(512);
  sealHeader(disk, 512);
}

test('warns of a damaged backup', async () => {
  const disk = buildGpt({ sectorCount: SECTORS, partitions: TWO });
  disk.writeUInt8(1, LAST * 512 + 100 - 30);
  const table = gpt(await readTable(memoryDisk(disk, 512)));
  assert.equal(codes(table), ['backup-damaged']);
  assert.equal(table.raw.backup, { headerLba: LAST, entriesLba: LAST - 32 });
});

test('refuses a table with both copies damaged and says what is wrong with each', async () => {
  const disk = buildGpt({ sectorCount: SECTORS, partitions: TWO });
  disk.writeUInt8(9, 512 + 60);
  disk.writeUInt8(9, (LAST - 32) * 512 + 60);
  await refused(
    disk,
    'filesystem.gpt-damaged',
    /primary GPT header at LBA 1 has a wrong checksum/,
    /backup GPT at LBA 2015 have a wrong/,
  );
  const bare = Buffer.alloc(SECTORS * 512);
  putEntry(bare, { at: 446, type: 0xee, start: 1, count: SECTORS - 1 });
  bare.writeUInt16BE(0x55aa, 510);
  await refused(bare, 'filesystem.gpt-damaged', /LBA 1 is missing/, /LBA 2047 is missing/);
});

test('an unreadable primary costs nothing but a warning', async () => {
  const disk = memoryDisk(buildGpt({ sectorCount: SECTORS, partitions: TWO }), 512);
  const failing = {
    ...disk,
    read: async (into: Buffer, offset: number): Promise<void> => {
      if (offset === 512) throw new ToolError({ code: 'device.read-failed', message: 'input/output error' });
      await disk.read(into, offset);
    },
  };
  const table = gpt(await readTable(failing));
  assert.match(table.warnings[0]?.message ?? '', /LBA 1 cannot be read \(input\/output error\)/);
});

test('uses the primary where valid copies differ', async () => {
  const disk = buildGpt({ sectorCount: SECTORS, partitions: TWO });
  const other = buildGpt({ sectorCount: SECTORS, partitions: [{ index: 0, first: 50, last: 60 }] });
  other.copy(disk, (LAST - 32) * 512, (LAST - 32) * 512);
  const table = gpt(await readTable(memoryDisk(disk, 512)));
  assert.equal(codes(table), ['copies-differ']);
  assert.is(table.partitions.length, 2);
});

test('finds the backup of an enlarged image, even past remains of another table', async () => {
  const small = buildGpt({ sectorCount: SECTORS, partitions: TWO });
  const disk = Buffer.concat([small, Buffer.alloc(1000 * 512)]);
  assert.equal(codes(gpt(await readTable(memoryDisk(disk, 512)))), ['backup-not-at-end']);
  const stale = buildGpt({ sectorCount: SECTORS + 1000, partitions: [] });
  stale.fill('another disk', stale.length - 512 + 56, stale.length - 512 + 72);
  sealHeader(stale, stale.length - 512);
  stale.copy(disk, disk.length - 33 * 512, stale.length - 33 * 512);
  const table = gpt(await readTable(memoryDisk(disk, 512)));
  assert.equal(codes(table), ['backup-not-at-end']);
  assert.is(table.raw.backup?.headerLba, LAST);
});

test('reads a truncated image as long as its partitions are inside', async () => {
  const disk = buildGpt({ sectorCount: SECTORS, partitions: TWO.slice(0, 1) }).subarray(0, 500 * 512);
  assert.equal(codes(gpt(await readTable(memoryDisk(disk, 512)))), ['backup-damaged', 'made-for-larger-disk']);
  await refused(
    buildGpt({ sectorCount: SECTORS, partitions: TWO }).subarray(0, 500 * 512),
    'filesystem.partition-outside',
    /partition 3 "Daten – ünï" spans LBA 200 to 1999, but the disk is LBA 0 to 499/,
  );
});

test('refuses impossible partitions with names and numbers', async () => {
  const made = (first: number, last: number, more = {}): Buffer =>
    buildGpt({ sectorCount: SECTORS, partitions: [...TWO, { index: 3, first, last, name: 'bad' }], ...more });
  await refused(
    made(139, 150),
    'filesystem.partitions-overlap',
    /partition 1 "EFI system partition" \(LBA 40 to 139\) overlaps partition 4 "bad" \(LBA 139 to 150\)/,
  );
  await refused(made(160, 150), 'filesystem.partition-reversed', /ends at LBA 150, before its start at LBA 160/);
  await refused(made(33, 35), 'filesystem.partition-outside', /usable is LBA 34 to 2014/);
  await refused(made(2010, 2015), 'filesystem.partition-outside', /usable is LBA 34 to 2014/);
  await refused(made(2000, 3000), 'filesystem.partition-outside', /the disk is LBA 0 to 2047/);
  await refused(made(2000, 2015, { lastUsable: 2046 }), 'filesystem.partitions-overlap', /entries of the backup GPT/);
  await refused(made(20, 35, { firstUsable: 3 }), 'filesystem.partitions-overlap', /entries of the primary GPT/);
  await refused(made(2 ** 53, 2 ** 53), 'filesystem.partition-impossible');
});

test('a GPT without its protective MBR is read with a warning; an MBR with partitions beats it', async () => {
  const disk = buildGpt({ sectorCount: SECTORS, partitions: TWO });
  disk.fill(0, 0, 512);
  assert.equal(codes(gpt(await readTable(memoryDisk(disk, 512)))), ['protective-mbr-missing']);
  putEntry(disk, { at: 446, type: 0x83, start: 100, count: 100 });
  disk.writeUInt16BE(0x55aa, 510);
  const table = await readTable(memoryDisk(disk, 512));
  assert.is(table?.kind, 'mbr');
  assert.equal(table && codes(table), ['stale-gpt']);
});

test('control characters of names do not reach messages', async () => {
  const partitions = [{ index: 0, first: 60, last: 50, name: 'a\u001b[31m"b\ud800' }];
  await refused(
    buildGpt({ sectorCount: SECTORS, partitions }),
    'filesystem.partition-reversed',
    /partition 1 "a\[31mb" /,
  );
});

test.run();
