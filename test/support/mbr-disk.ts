// Disks with an MBR for tests, written as Linux reads it and without the code under test; and what any such disk keeps.

import * as assert from 'uvu/assert';
import { type Extent, extentEnd, overlaps } from '../../src/map/extent.js';
import type { Ebr, FittedPartition, MbrTable, TableImage } from '../../src/partition/table.js';
import { putEntry } from './partition-disk.js';

export interface BuiltPrimary {
  readonly slot: number;
  readonly first: number;
  readonly count: number;
  readonly type: number;
  readonly boot?: number;
}

export interface BuiltLogical {
  /** LBA of its record; that of the first is the start of the extended partition. */
  readonly record: number;
  readonly first: number;
  readonly count: number;
  readonly type: number;
}

export interface BuiltMbr {
  readonly sectorSize?: number;
  readonly sectorCount: number;
  readonly primaries: readonly BuiltPrimary[];
  /** In the order of the chain. */
  readonly logicals?: readonly BuiltLogical[];
  /** Slot and end (exclusive) of the extended partition. */
  readonly container?: { readonly slot: number; readonly end: number };
}

export const BOOT_CODE = 'boot code of the disk';

/** Sector 0 bears BOOT_CODE and the signature 0badcafe, each record the text "loader" and its own number. */
export function buildMbr({ sectorSize = 512, sectorCount, primaries, logicals = [], container }: BuiltMbr): Buffer {
  const disk = Buffer.alloc(sectorCount * sectorSize);
  disk.write(BOOT_CODE, 'latin1');
  disk.writeUInt32LE(0x0badcafe, 440);
  disk.writeUInt16BE(0x55aa, 510);
  const entry = (sector: number, slot: number, facts: { type: number; start: number; count: number; boot?: number }) =>
    putEntry(disk, { at: sector * sectorSize + 446 + slot * 16, ...facts });
  for (const { slot, first, count, type, boot = 0 } of primaries) {
    entry(0, slot, { type, start: first, count, boot });
  }
  const head = logicals[0]?.record;
  if (head === undefined || !container) return disk;
  entry(0, container.slot, { type: 0x0f, start: head, count: container.end - head });
  for (const [index, { record, first, count, type }] of logicals.entries()) {
    disk.write(`loader ${index}`, record * sectorSize, 'latin1');
    disk.writeUInt16BE(0x55aa, record * sectorSize + 510);
    entry(record, 0, { type, start: first - record, count });
    const next = logicals[index + 1];
    if (next) {
      entry(record, 1, { type: 5, start: next.record - head, count: next.first + next.count - next.record });
    }
  }
  return disk;
}

/** What any table that was written must keep: containers hold what is theirs, and nothing is written on a partition. */
export function assertSound(table: MbrTable, image: TableImage, targetSize: number): void {
  const parts = image.partitions.map(({ extent }) => extent);
  for (const { offset, bytes } of image.writes) {
    const write = { offset, length: bytes.length };
    assert.ok(extentEnd(write) <= targetSize, 'a write beyond the target');
    assert.not.ok(
      parts.some((extent) => overlaps(extent, write)),
      `a write onto a partition, at ${offset}`,
    );
  }
  assert.is(image.writes.at(-1)?.offset, 0);
  for (const [index, a] of parts.entries()) {
    assert.not.ok(
      parts.slice(index + 1).some((b) => overlaps(a, b)),
      'partitions overlap',
    );
  }
  const within = ({ offset, length }: Extent, outer: Extent) =>
    offset >= outer.offset && offset + length <= extentEnd(outer);
  for (const { extent, chain } of table.raw.containers) {
    assert.is(chain[0]?.lba, extent.offset / table.sectorSize);
    assert.ok(extentEnd(extent) <= targetSize);
    for (const [index, { lba, sector, logicals, linkSlot = 1 }] of chain.entries()) {
      assertLink(table, { sector, slot: linkSlot, head: chain[0]?.lba ?? 0, next: chain[index + 1] });
      assert.ok(within({ offset: lba * table.sectorSize, length: table.sectorSize }, extent), 'a record outside');
      assert.is(logicals.length, 1);
      const mine = table.partitions.find(({ number }) => number === logicals[0]?.number);
      assert.ok(mine && within(mine.extent, extent), 'a logical partition outside');
    }
    for (const { role, extent: other } of table.partitions) {
      if (role === 'primary') assert.not.ok(overlaps(other, extent), 'a primary in the extended partition');
    }
  }
}

/** A link counts from the head, and spans the record that it leads to and that one's partition; the last has none. */
function assertLink(
  table: MbrTable,
  { sector, slot, head, next }: { sector: Buffer; slot: number; head: number; next: Ebr | undefined },
): void {
  const at = 446 + slot * 16;
  const link = [sector.readUInt32LE(at + 8), sector.readUInt32LE(at + 12)];
  const last = table.partitions.find(({ number }) => number === next?.logicals[0]?.number);
  if (!next || !last) assert.equal(link, [0, 0]);
  else assert.equal(link, [next.lba - head, extentEnd(last.extent) / table.sectorSize - next.lba]);
}

export function withoutSource(partitions: readonly FittedPartition[]): unknown[] {
  return partitions.map(({ sourceNumber, ...partition }) => partition);
}
