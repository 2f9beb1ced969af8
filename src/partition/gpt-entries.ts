// The entries of a GPT as partitions, and the limits that each of them must keep.
// Specification: UEFI 2.10 §5.3.3: type GUID 0, unique GUID 16, first LBA 32, last LBA 40, attributes 48, name 56.

import { partitionNumbersImpossible, partitionOutside, partitionReversed } from '../base/errors/partition.js';
import { FormatError, readU64LE } from '../base/u64.js';
import type { Bytes } from '../base/units.js';
import type { GptCopy } from './gpt-copy.js';
import { readGuid } from './guid.js';
import { type Partition, partitionLabel } from './table.js';
import { gptTypeName } from './type-names.js';

const NAME_OFFSET = 56;
const NAME_END = 128;
/** Attribute bit 2. */
const LEGACY_BOOTABLE = 0x04;

/** The disk that the entries are about. */
export interface GptDisk {
  readonly disk: string;
  readonly sectorSize: Bytes;
  readonly sectorCount: number;
}

/** All used entries by number. Throws a ToolError for the first one that leaves the usable sectors or the disk. */
export function readGptPartitions(copy: GptCopy, on: GptDisk): Partition[] {
  const partitions: Partition[] = [];
  for (let index = 0; index < copy.entryCount; index += 1) {
    const entry = copy.entries.subarray(index * copy.entrySize, (index + 1) * copy.entrySize);
    if (isUnused(entry)) continue;
    partitions.push(readEntry(entry, index + 1, copy, on));
  }
  return partitions;
}

/** An entry is unused if its type is all zeros. */
function isUnused(entry: Buffer): boolean {
  return entry.readUInt32LE(0) === 0 && entry.subarray(0, 16).every((byte) => byte === 0);
}

function readEntry(entry: Buffer, number: number, copy: GptCopy, on: GptDisk): Partition {
  const name = readName(entry);
  const label = partitionLabel({ number, name });
  const range = readRange(entry, on.disk, label);
  if (range.last < range.first) throw partitionReversed(on.disk, label, range);
  if (range.last >= on.sectorCount) {
    throw partitionOutside(on.disk, label, { ...range, lowest: 0, highest: on.sectorCount - 1 }, 'the disk');
  }
  if (range.first < copy.firstUsable || range.last > copy.lastUsable) {
    const limits = { lowest: copy.firstUsable, highest: copy.lastUsable };
    throw partitionOutside(on.disk, label, { ...range, ...limits }, 'the part that its table calls usable');
  }
  const type = readGuid(entry, 0);
  return {
    number,
    extent: { offset: range.first * on.sectorSize, length: (range.last - range.first + 1) * on.sectorSize },
    type,
    typeName: gptTypeName(type),
    name,
    id: readGuid(entry, 16).toLowerCase(),
    bootable: (entry.readUInt8(48) & LEGACY_BOOTABLE) !== 0,
    attributes: Buffer.from(entry.subarray(48, 56)).reverse().toString('hex'),
    role: 'gpt',
  };
}

function readRange(entry: Buffer, disk: string, label: string): { first: number; last: number } {
  try {
    return { first: readU64LE(entry, 32), last: readU64LE(entry, 40) };
  } catch (error) {
    if (error instanceof FormatError) throw partitionNumbersImpossible(disk, label);
    throw error;
  }
}

/** UTF-16LE, 36 units at most, up to the first zero. */
function readName(entry: Buffer): string {
  const text = entry.toString('utf16le', NAME_OFFSET, NAME_END);
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}
