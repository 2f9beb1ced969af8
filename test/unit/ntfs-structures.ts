// NTFS boot sectors, run lists, update sequences and attribute lists, by the byte.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { parseAttributeList } from '../../src/filesystem/ntfs/attribute-list.js';
import { parseBootSector } from '../../src/filesystem/ntfs/boot-sector.js';
import { applyFixups } from '../../src/filesystem/ntfs/fixups.js';
import { decodeRuns, type Run } from '../../src/filesystem/ntfs/run-list.js';

const refused = (action: () => unknown): void => assert.throws(action, (error: Error) => error instanceof FormatError);

function boot(change: (bytes: Buffer) => void = () => {}): Buffer {
  const bytes = Buffer.alloc(512);
  bytes.write('NTFS    ', 3, 'latin1');
  bytes.writeUInt16LE(512, 0x0b);
  bytes.writeUInt8(8, 0x0d);
  bytes.writeBigUInt64LE(100_003n, 0x28);
  bytes.writeBigUInt64LE(4n, 0x30);
  bytes.writeBigUInt64LE(6000n, 0x38);
  bytes.writeInt8(-10, 0x40);
  bytes.writeInt8(1, 0x44);
  bytes.writeBigUInt64LE(0x0123456789abcdefn, 0x48);
  change(bytes);
  return bytes;
}

test('a boot sector in numbers', () => {
  assert.equal(parseBootSector(boot()), {
    sectorSize: 512,
    clusterSize: 4096,
    totalSectors: 100_003,
    clusterCount: 12_500,
    mftCluster: 4,
    mirrorCluster: 6000,
    recordSize: 1024,
    indexBlockSize: 4096,
    serial: '0123456789ABCDEF',
    span: 100_004 * 512,
  });
});

test('sectors per cluster as a negated exponent', () => {
  const clusterSize = (value: number, sector = 512): number | undefined =>
    parseBootSector(
      boot((bytes) => {
        bytes.writeUInt8(value, 0x0d);
        bytes.writeUInt16LE(sector, 0x0b);
        bytes.writeBigUInt64LE(10_000_000n, 0x28);
        bytes.writeBigUInt64LE(1n, 0x38);
        bytes.writeInt8(-12, 0x44);
        bytes.writeBigUInt64LE(1n, 0x30);
      }),
    )?.clusterSize;
  assert.is(clusterSize(1), 512);
  assert.is(clusterSize(128), 65536);
  assert.is(clusterSize(248), 131072);
  assert.is(clusterSize(244), 2 ** 21);
  assert.is(clusterSize(243), undefined);
  assert.is(clusterSize(247, 4096), 2 ** 21);
  assert.is(clusterSize(246, 4096), undefined);
  for (const value of [0, 3, 129, 239, 254, 255]) assert.is(clusterSize(value), undefined, `${value}`);
});

test('what is no NTFS boot sector', () => {
  const changes: ((bytes: Buffer) => void)[] = [
    (bytes) => bytes.write('-FVE-FS-', 3),
    (bytes) => bytes.write('ReFS', 3),
    (bytes) => bytes.writeUInt16LE(128, 0x0b),
    (bytes) => bytes.writeUInt16LE(8192, 0x0b),
    (bytes) => bytes.writeUInt16LE(513, 0x0b),
    (bytes) => bytes.writeUInt16LE(1, 0x0e),
    (bytes) => bytes.writeUInt8(2, 0x10),
    (bytes) => bytes.writeBigUInt64LE(0n, 0x28),
    (bytes) => bytes.writeBigUInt64LE(2n ** 60n, 0x28),
    (bytes) => bytes.writeBigUInt64LE(12_500n, 0x30),
    (bytes) => bytes.writeBigUInt64LE(2n ** 63n, 0x38),
    (bytes) => bytes.writeInt8(-31, 0x40),
    (bytes) => bytes.writeInt8(0, 0x40),
    (bytes) => bytes.writeInt8(3, 0x44),
  ];
  for (const change of changes) assert.is(parseBootSector(boot(change)), undefined, change.toString());
  assert.is(parseBootSector(Buffer.alloc(100)), undefined);
});

function runs(bytes: number[], clusterCount = 1000): Run[] {
  return decodeRuns(Buffer.from(bytes), { firstVcn: 0, clusterCount, what: 'test' });
}

test('run lists', () => {
  assert.equal(runs([0]), []);
  assert.equal(runs([0x11, 5, 100, 0x01, 3, 0x11, 2, 0xf6, 0]), [
    { vcn: 0, lcn: 100, count: 5 },
    { vcn: 5, lcn: undefined, count: 3 },
    { vcn: 8, lcn: 90, count: 2 },
  ]);
  assert.equal(runs([0x88, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]), [{ vcn: 0, lcn: 7, count: 1 }]);
  const hostile = [
    [],
    [0x11, 5, 100],
    [0x11],
    [0x10, 5],
    [0x11, 0, 5, 0],
    [0x11, 0xff, 5, 0],
    [0x11, 5, 0xff, 0],
    [0x11, 0x70, 0x70, 0x12, 0x70, 0x70, 0x70, 0],
    [0x91, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0x19, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0x08, 1, 0, 0, 0, 0, 0, 1, 0, 0],
    [0x06, 1, 0, 0, 0, 0, 1, 0],
  ];
  for (const bytes of hostile) refused(() => runs(bytes));
  refused(() => runs([0x21, 100, 0xe8, 0x03, 0]));
  refused(() => runs([0x11, 6, 0, 0x11, 6, 0, 0], 10));
});

test('update sequences', () => {
  const make = (): Buffer => {
    const bytes = Buffer.alloc(1024, 1);
    bytes.write('FILE', 0, 'latin1');
    bytes.writeUInt16LE(48, 4);
    bytes.writeUInt16LE(3, 6);
    bytes.writeUInt16LE(0x1234, 48);
    bytes.writeUInt16LE(0xaaaa, 50);
    bytes.writeUInt16LE(0xbbbb, 52);
    bytes.writeUInt16LE(0x1234, 510);
    bytes.writeUInt16LE(0x1234, 1022);
    return bytes;
  };
  const bytes = make();
  applyFixups(bytes, ['FILE'], 'test');
  assert.is(bytes.readUInt16LE(510), 0xaaaa);
  assert.is(bytes.readUInt16LE(1022), 0xbbbb);
  refused(() => applyFixups(make(), ['INDX'], 'test'));
  const broken: ((bytes: Buffer) => void)[] = [
    (record) => record.writeUInt16LE(0x1235, 1022),
    (record) => record.writeUInt16LE(2, 6),
    (record) => record.writeUInt16LE(49, 4),
    (record) => record.writeUInt16LE(1020, 4),
    (record) => record.writeUInt16LE(0, 4),
  ];
  for (const change of broken) {
    const record = make();
    change(record);
    refused(() => applyFixups(record, ['FILE'], 'test'));
  }
});

test('attribute lists', () => {
  const entry = Buffer.alloc(32);
  entry.writeUInt32LE(0x80, 0);
  entry.writeUInt16LE(32, 4);
  entry.writeUInt8(2, 6);
  entry.writeUInt8(26, 7);
  entry.writeUInt32LE(77, 8);
  entry.writeUIntLE(41, 16, 6);
  entry.writeUInt16LE(9, 22);
  entry.write('$J', 26, 'utf16le');
  const parsed = parseAttributeList(Buffer.concat([entry, entry]), 'test');
  assert.is(parsed.length, 2);
  assert.equal(parsed[1], { type: 0x80, name: '$J', lowestVcn: 77, holder: { record: 41, sequence: 9 } });
  refused(() => parseAttributeList(entry.subarray(0, 30), 'test'));
  entry.writeUInt16LE(0, 4);
  refused(() => parseAttributeList(entry, 'test'));
  entry.writeUInt16LE(32, 4);
  entry.writeUInt8(200, 6);
  refused(() => parseAttributeList(entry, 'test'));
});

test.run();
