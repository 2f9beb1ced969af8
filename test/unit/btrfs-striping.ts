// The arithmetic of stripes against a byte-by-byte walk round the devices.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseChunk } from '../../src/filesystem/btrfs/chunk.js';
import { rangeAroundStripe, rangeInStripe } from '../../src/filesystem/btrfs/striping.js';
import { randomFrom, SEED } from '../support/random.js';

const UNIT = 8;

/** Offsets in stripe `column` of the chunk's bytes [start, end). */
function walk(columns: number, column: number, start: number, end: number): number[] {
  const offsets: number[] = [];
  for (let at = start; at < end; at += 1) {
    const unit = Math.floor(at / UNIT);
    if (unit % columns === column) offsets.push(Math.floor(unit / columns) * UNIT + (at % UNIT));
  }
  return offsets;
}

test('a run of logical bytes is one run in every stripe, the right one', () => {
  const random = randomFrom(SEED);
  for (let round = 0; round < 5000; round += 1) {
    const columns = random.between(1, 5);
    const column = random.below(columns);
    const start = random.below(200);
    const end = start + random.below(100);
    const expected = walk(columns, column, start, end);
    const range = rangeInStripe({ columns, unit: UNIT, parity: false }, column, { start, end });
    assert.is(range.end - range.start, expected.length);
    if (expected.length > 0) assert.equal([range.start, range.end - 1], [expected[0], expected.at(-1)]);
  }
});

test('with parity whole rows are used', () => {
  const striping = { columns: 3, unit: UNIT, parity: true };
  assert.equal(rangeInStripe(striping, 0, { start: 0, end: 1 }), { start: 0, end: 8 });
  assert.equal(rangeInStripe(striping, 0, { start: 23, end: 25 }), { start: 0, end: 16 });
  assert.equal(rangeInStripe(striping, 0, { start: 24, end: 48 }), { start: 8, end: 16 });
});

test('the range around a part of a stripe holds all that lies in it', () => {
  const random = randomFrom(SEED);
  for (let round = 0; round < 2000; round += 1) {
    const columns = random.between(1, 5);
    const parity = random.chance(0.3);
    const striping = { columns, unit: UNIT, parity };
    const start = random.below(60);
    const end = start + 1 + random.below(40);
    const around = rangeAroundStripe(striping, { start, end });
    for (let column = 0; column < columns; column += 1) {
      const back = rangeInStripe(striping, column, around);
      assert.ok(back.start <= start && back.end >= end, JSON.stringify({ striping, column, start, end, around }));
    }
  }
});

const UUID = Buffer.alloc(16, 0x11);
const DEVICE = { sectorSize: 4096, deviceId: 1, deviceUuid: UUID };

function chunkItem(
  type: number,
  devices: readonly number[],
  changes: (item: Buffer) => void = () => undefined,
): Buffer {
  const item = Buffer.alloc(48 + devices.length * 32);
  item.writeUInt32LE(6 << 20, 0);
  item.writeUInt32LE(65536, 16);
  item.writeUInt32LE(type, 24);
  item.writeUInt32LE(4096, 40);
  item.writeUInt16LE(devices.length, 44);
  item.writeUInt16LE(type & 0x40 ? 2 : 1, 46);
  for (const [index, device] of devices.entries()) {
    item.writeUInt32LE(device, 48 + index * 32);
    item.writeUInt32LE((index + 1) << 24, 48 + index * 32 + 8);
    UUID.copy(item, 48 + index * 32 + 16);
  }
  changes(item);
  return item;
}

const parsed = (item: Buffer) => parseChunk({ bytes: item, start: 0, length: item.length }, 1 << 30, DEVICE);

test('chunks of every profile keep the stripes of this device', () => {
  for (const [type, devices, columns, mine] of [
    [0x1, [1], 1, [0]],
    [0x24, [1, 1], 1, [0, 0]],
    [0x9, [2, 1, 3], 3, [1]],
    [0x14, [2, 1], 1, [0]],
    [0x41, [2, 3, 1, 4], 2, [1]],
    [0x81, [1, 2, 3], 2, [0]],
    [0x101, [1, 2, 3, 4], 2, [0]],
    [0x204, [3, 2, 1], 1, [0]],
    [0x404, [4, 3, 2, 5], 1, []],
  ] as const) {
    const chunk = parsed(chunkItem(type, devices));
    assert.is(chunk.columns, columns, `${type}`);
    assert.equal(
      chunk.stripes.map(({ column }) => column),
      mine,
    );
    assert.is(chunk.stripeLength, (6 << 20) / columns);
  }
});

test('impossible chunks are refused', () => {
  for (const [item, reason] of [
    [chunkItem(0x1, [1, 2]), /2 stripes/],
    [chunkItem(0x14, [1]), /1 stripes/],
    [chunkItem(0x41, [1, 2, 3]), /3 stripes/],
    [chunkItem(0x0, [1]), /unknown type/],
    [chunkItem(0x19, [1, 2]), /unknown type/],
    [chunkItem(0x801, [1]), /unknown type/],
    [chunkItem(0x1, [1], (bytes) => bytes.writeUInt32LE(4097, 0)), /4097 bytes/],
    [chunkItem(0x9, [1, 2], (bytes) => bytes.writeUInt32LE(65536, 0)), /no whole rows/],
    [chunkItem(0x1, [1], (bytes) => bytes.writeUInt32LE(4096, 16)), /another unit/],
    [chunkItem(0x1, [1], (bytes) => bytes.writeUInt32LE(512, 40)), /another size/],
    [chunkItem(0x1, [1], (bytes) => bytes.writeUInt16LE(9, 44)), /another length/],
    [chunkItem(0x1, [1], (bytes) => bytes.writeUInt32LE(1, 56)), /inside a sector/],
    [Buffer.alloc(40), /too short/],
  ] as const) {
    assert.throws(
      () => parsed(item),
      (error: Error) => reason.test(error.message),
    );
  }
});

test.run();
