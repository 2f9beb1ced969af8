// The room that a table leaves on a target. Invariant: all of it can be said in the table's numbers.
// Specifications: UEFI 2.10 §5.3 (a header and an entry array at both ends); 32-bit sector numbers of an MBR.

import { assert } from '../../base/assert.js';
import { type Bytes, KiB, MiB } from '../../base/units.js';
import type { LayoutRequest } from './types.js';

/** Starts of partitions that move, and sizes that are chosen here, are multiples of this. */
export const ALIGNMENT: Bytes = MiB;

const MBR_SECTORS = 2 ** 32;
const USUAL_ENTRY_ARRAY: Bytes = 16 * KiB;

export interface Area {
  /** The first byte that a partition may use. */
  readonly start: Bytes;
  /** The first byte behind the last one. */
  readonly end: Bytes;
  /** The first `end` that the table can do with: a GPT has at least one usable sector. */
  readonly leastEnd: Bytes;
  /** What the table takes behind `end`. */
  readonly reserved: Bytes;
  /** What an MBR cannot describe lies from here on; infinite for a GPT. */
  readonly expressible: Bytes;
}

/** `end` is before `start` on a target that is too small for the table itself. */
export function areaOf({ table, target: { size, sectorSize }, gpt }: LayoutRequest): Area {
  assert(ALIGNMENT % sectorSize === 0, `sectors of ${sectorSize} bytes`);
  const whole = alignDown(size, sectorSize);
  if (table === 'mbr') {
    const expressible = MBR_SECTORS * sectorSize;
    return { start: sectorSize, end: Math.min(whole, expressible), leastEnd: sectorSize, reserved: 0, expressible };
  }
  const array = alignUp(gpt?.entryArray ?? USUAL_ENTRY_ARRAY, sectorSize);
  const reserved = array + sectorSize;
  const start = Math.max(2 * sectorSize + array, alignUp(gpt?.firstUsable ?? 0, sectorSize));
  const leastEnd = start + sectorSize;
  return { start, end: whole - reserved, leastEnd, reserved, expressible: Number.POSITIVE_INFINITY };
}

export function alignUp(bytes: Bytes, unit: Bytes): Bytes {
  return Math.ceil(bytes / unit) * unit;
}

export function alignDown(bytes: Bytes, unit: Bytes): Bytes {
  return Math.floor(bytes / unit) * unit;
}
