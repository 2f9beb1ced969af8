// FAT boot sectors, tables and directories, by the byte.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { type BootSector, type FatBits, parseBootSector } from '../../src/filesystem/fat/boot-sector.js';
import { parseDirectory } from '../../src/filesystem/fat/directory.js';
import { openTable } from '../../src/filesystem/fat/table.js';
import { memoryTarget } from '../../src/source/memory.js';

function boot16(clusters: number): Buffer {
  const bytes = Buffer.alloc(512);
  bytes.writeUInt8(0xeb, 0);
  bytes.writeUInt16LE(512, 11);
  bytes.writeUInt8(1, 13);
  bytes.writeUInt16LE(1, 14);
  bytes.writeUInt8(2, 16);
  bytes.writeUInt16LE(512, 17);
  bytes.writeUInt8(0xf8, 21);
  bytes.writeUInt16LE(256, 22);
  bytes.writeUInt32LE(1 + 2 * 256 + 32 + clusters, 32);
  bytes.writeUInt8(0x29, 0x26);
  bytes.writeUInt32LE(0xabcd1234, 0x27);
  bytes.write('LABEL      FAT16   ', 0x2b, 'latin1');
  bytes.writeUInt16LE(0xaa55, 510);
  return bytes;
}

function boot32(clusters: number): Buffer {
  const bytes = boot16(0);
  bytes.fill(0, 36, 100);
  bytes.writeUInt16LE(0, 17);
  bytes.writeUInt16LE(0, 22);
  bytes.writeUInt16LE(32, 14);
  bytes.writeUInt32LE(1024, 36);
  bytes.writeUInt32LE(32 + 2 * 1024 + clusters, 32);
  bytes.writeUInt32LE(2, 44);
  bytes.write('FAT32   ', 0x52, 'latin1');
  return bytes;
}

test('FAT12 and FAT16 differ by the cluster count, FAT32 by its table size', () => {
  const bits = (bytes: Buffer): number | undefined => parseBootSector(bytes)?.bits;
  assert.is(bits(boot16(1)), 12);
  assert.is(bits(boot16(4084)), 12);
  assert.is(bits(boot16(4085)), 16);
  assert.is(bits(boot16(65524)), 16);
  assert.is(bits(boot16(65525)), undefined);
  assert.is(bits(boot16(0)), undefined);
  assert.is(bits(boot32(100)), 32);
  assert.is(bits(boot32(70_000)), 32);
});

test('a boot sector in numbers', () => {
  const boot = parseBootSector(boot16(5000));
  assert.is(boot?.serial, 'ABCD-1234');
  assert.is(boot?.label, 'LABEL');
  assert.is(boot?.tableOffset, 512);
  assert.is(boot?.dataOffset, (1 + 512 + 32) * 512);
  assert.equal(boot?.tablesInUse, [0]);
  const bytes = boot32(70_000);
  bytes.writeUInt16LE(0x0081, 40);
  assert.equal(parseBootSector(bytes)?.tablesInUse, [1, 0]);
  bytes.writeUInt16LE(0x0001, 40);
  assert.equal(parseBootSector(bytes)?.tablesInUse, [0]);
  bytes.writeUInt16LE(0x0082, 40);
  assert.is(parseBootSector(bytes), undefined);
  bytes.writeUInt16LE(0, 40);
  bytes.writeUInt32LE(70_002, 44);
  assert.is(parseBootSector(bytes), undefined);
  assert.is(parseBootSector(boot32(70_000))?.serial, '', 'no signature, no serial number');
});

const GEOMETRY: BootSector = {
  bits: 12,
  sectorSize: 512,
  clusterSize: 512,
  tableOffset: 0,
  tableSize: 512,
  tableCount: 1,
  tablesInUse: [0],
  root: { offset: 512, length: 512 },
  rootCluster: 0,
  dataOffset: 1024,
  clusterCount: 8,
  span: 1024 + 8 * 512,
  serial: '',
  label: '',
  state: 0,
};

function packed(bits: FatBits, entries: readonly number[]): Buffer {
  const bytes = Buffer.alloc(512);
  entries.forEach((entry, index) => {
    if (bits === 32) bytes.writeUInt32LE(entry, index * 4);
    else if (bits === 16) bytes.writeUInt16LE(entry, index * 2);
    else {
      const at = index + (index >> 1);
      const pair = bytes.readUInt16LE(at);
      bytes.writeUInt16LE(index % 2 === 0 ? (pair & 0xf000) | entry : (pair & 0x000f) | (entry << 4), at);
    }
  });
  return bytes;
}

const BAD = { 12: 0xff7, 16: 0xfff7, 32: 0xeffffff7 } as const;
const END = { 12: 0xff8, 16: 0xffff, 32: 0x1fffffff } as const;

for (const bits of [12, 16, 32] as const) {
  test(`a table of ${bits} bits`, async () => {
    const free = bits === 32 ? 0xf0000000 : 0;
    const bytes = packed(bits, [END[bits], END[bits], 3, END[bits], free, 9, BAD[bits], 6, 42, free]);
    const table = openTable(memoryTarget(bytes), { ...GEOMETRY, bits }, 0);
    const used: number[][] = [];
    for await (const { first, end } of table.used({ first: 2, end: 10 })) used.push([first, end]);
    assert.equal(used, [
      [2, 4],
      [5, 6],
      [7, 9],
    ]);
    assert.is(await table.next(2), 3);
    assert.is(await table.next(3), 'end');
    assert.is(await table.next(4), 'broken');
    assert.is(await table.next(5), 9);
    assert.is(await table.next(6), 'broken');
    assert.is(await table.next(8), 'broken');
  });
}

test('a table has an entry for every cluster', () => {
  const volume = memoryTarget(Buffer.alloc(512));
  openTable(volume, { ...GEOMETRY, clusterCount: 339 }, 0);
  assert.throws(
    () => openTable(volume, { ...GEOMETRY, clusterCount: 340 }, 0),
    (error: Error) => error instanceof FormatError,
  );
});

test('directories', () => {
  const entry = (name: string, attributes: number, cluster = 0): Buffer => {
    const bytes = Buffer.alloc(32);
    bytes.write(name.padEnd(11), 0, 'latin1');
    bytes.writeUInt8(attributes, 11);
    bytes.writeUInt16LE(cluster >>> 16, 20);
    bytes.writeUInt16LE(cluster & 0xffff, 26);
    return bytes;
  };
  const bytes = Buffer.concat([
    entry('.', 0x10, 5),
    entry('..', 0x10),
    entry('\xe5GONE', 0x10, 6),
    entry('Along', 0x0f, 7),
    entry('\x05MLAUT', 0x08),
    entry('SECOND', 0x08),
    entry('DIR', 0x10, 0x10008),
    entry('FILE', 0x20, 9),
    Buffer.alloc(32),
    entry('BEHIND', 0x10, 10),
  ]);
  assert.equal(parseDirectory(bytes, { wide: true }), { subdirectories: [0x10008], label: '\xe5MLAUT', ended: true });
  assert.equal(parseDirectory(bytes, { wide: false }).subdirectories, [8]);
  assert.not(parseDirectory(bytes.subarray(0, 64), { wide: true }).ended);
});

test.run();
