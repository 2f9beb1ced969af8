// Any valid table, fitted to any disk that holds it, reads back as the same partitions.

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { extentEnd, normalise, totalLength } from '../../src/map/extent.js';
import { fitTable, gapsOf, structures } from '../../src/partition/layout.js';
import { readTable } from '../../src/partition/read.js';
import { type BuiltPartition, buildGpt, imageBytes, memoryDisk } from '../support/partition-disk.js';
import { SEED } from '../support/random.js';

const built = fc
  .record({
    sectorSize: fc.constantFrom(512, 1024, 4096),
    entrySize: fc.constantFrom(128, 128, 256, 512),
    entryCount: fc.integer({ min: 8, max: 140 }),
    primaryEntriesLba: fc.constantFrom(2, 2, 9),
    cuts: fc.uniqueArray(fc.integer({ min: 0, max: 700 }), { minLength: 0, maxLength: 16 }),
    indexes: fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 8 }),
    names: fc.array(fc.string({ maxLength: 36, unit: 'binary' }), { minLength: 8, maxLength: 8 }),
    attributes: fc.uint8Array({ minLength: 8, maxLength: 8 }),
    tail: fc.integer({ min: 0, max: 100 }),
  })
  .map(({ cuts, indexes, names, attributes, tail, ...layout }) => {
    const arraySectors = Math.ceil((layout.entryCount * layout.entrySize) / layout.sectorSize);
    const start = layout.primaryEntriesLba + arraySectors;
    const sorted = [...cuts].sort((a, b) => a - b);
    const partitions: BuiltPartition[] = [];
    for (let i = 0; i + 1 < sorted.length; i += 2) {
      partitions.push({
        index: indexes[i / 2] ?? 0,
        first: start + (sorted[i] ?? 0),
        last: start + (sorted[i + 1] ?? 0) - 1,
        name: (names[i / 2] ?? '').slice(0, 36),
        attributes: Buffer.from(attributes),
      });
    }
    return { ...layout, partitions, sectorCount: start + 702 + arraySectors + tail };
  });

test('a random GPT, fitted, has the same partitions and is intact', async () => {
  await fc.assert(
    fc.asyncProperty(
      built,
      fc.integer({ min: 0, max: 3000 }),
      fc.infiniteStream(fc.boolean()),
      async (disk, more, keep) => {
        const bytes = buildGpt(disk);
        const { sectorSize } = disk;
        const table = await readTable(memoryDisk(bytes, sectorSize));
        assert.ok(table);
        assert.equal(table.warnings, []);
        assert.is(table.partitions.length, disk.partitions.length);

        const parts = [
          ...structures(table),
          ...table.partitions.map(({ extent }) => extent),
          ...gapsOf(table, bytes.length),
        ];
        assert.is(totalLength(parts), bytes.length);
        assert.equal(normalise(parts), [{ offset: 0, length: bytes.length }]);

        const same = imageBytes(fitTable(table, { targetSize: bytes.length, sectorSize }), bytes.length);
        assert.ok(same.equals(bytes), 'byte for byte');

        const only = table.partitions.map(({ number }) => number).filter(() => keep.next().value);
        const targetSize = bytes.length + more;
        const image = fitTable(table, { targetSize, sectorSize, only });
        const fitted = await readTable(memoryDisk(imageBytes(image, targetSize), sectorSize));
        assert.equal(fitted?.warnings, []);
        assert.equal(
          fitted?.partitions,
          table.partitions.filter(({ number }) => only.includes(number)),
        );
        assert.is(fitted?.id, table.id);
      },
    ),
    { seed: SEED, numRuns: 150 },
  );
});

/** A chain: per logical partition the room before its record, before its data, and its length. */
const chain = fc.array(fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 30 })), {
  minLength: 1,
  maxLength: 12,
});

test('a random chain of logical partitions keeps any choice of them', async () => {
  await fc.assert(
    fc.asyncProperty(chain, fc.infiniteStream(fc.boolean()), async (links, keep) => {
      const disk = buildChain(links);
      const table = await readTable(memoryDisk(disk, 512));
      assert.is(table?.partitions.length, links.length);
      if (!table) return;
      const whole = fitTable(table, { targetSize: disk.length, sectorSize: 512 });
      for (const { offset, bytes } of whole.writes)
        assert.ok(bytes.equals(disk.subarray(offset, offset + bytes.length)));

      const only = table.partitions.map(({ number }) => number).filter(() => keep.next().value);
      const image = fitTable(table, { targetSize: disk.length, sectorSize: 512, only });
      const fitted = await readTable(memoryDisk(imageBytes(image, disk.length), 512));
      assert.equal(
        fitted?.partitions.map(({ extent, type }) => [extent.offset, extentEnd(extent), type]),
        table.partitions
          .filter(({ number }) => only.includes(number))
          .map(({ extent, type }) => [extent.offset, extentEnd(extent), type]),
      );
      assert.equal(
        image.partitions.map(({ number }) => number),
        only.map((_, i) => 5 + i),
      );
    }),
    { seed: SEED, numRuns: 300 },
  );
});

function buildChain(links: readonly (readonly [number, number, number])[]): Buffer {
  const disk = Buffer.alloc(1024 * 512);
  const container = 50;
  const entry = (at: number, type: number, start: number, count: number): void => {
    disk.writeUInt8(type, at + 4);
    disk.writeUInt32LE(start, at + 8);
    disk.writeUInt32LE(count, at + 12);
  };
  entry(446 + 16, 0x05, container, 1024 - container);
  disk.writeUInt16BE(0x55aa, 510);
  let free = container;
  let previous: number | undefined;
  for (const [i, [before, gap, length]] of links.entries()) {
    const lba = previous === undefined ? container : free + before;
    if (previous !== undefined) entry(previous * 512 + 462, 0x05, lba - container, gap + length);
    entry(lba * 512 + 446, 0x90 + i, gap, length);
    disk.writeUInt16BE(0x55aa, lba * 512 + 510);
    previous = lba;
    free = lba + gap + length;
  }
  return disk;
}

test.run();
