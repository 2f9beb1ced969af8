// How a chunk's logical range lies in one of its stripes.
// Invariant: going round the devices keeps order, so a run of logical bytes is one run in every stripe.
// Source: kernel fs/btrfs/volumes.c (map_blocks_raid0, map_blocks_raid10, map_blocks_raid56_*).

import type { Bytes } from '../../base/units.js';

/** The bytes [start, end). */
export interface Range {
  readonly start: Bytes;
  readonly end: Bytes;
}

/** A piece of `bytes`. */
export interface BytesFrom {
  readonly bytes: Buffer;
  readonly start: number;
  readonly length: number;
}

/** How a chunk goes round its stripes. */
export interface Striping {
  /** Stripes in which different data lies side by side. */
  readonly columns: number;
  /** That many bytes lie in one stripe before the next one's turn. */
  readonly unit: Bytes;
  /** Every row is used on all devices: data, and parity that moves from device to device. */
  readonly parity: boolean;
}

/** The part of the chunk's range [start, end), from its first byte, that lies in a stripe, from its first byte. */
export function rangeInStripe({ columns, parity, unit }: Striping, column: number, { start, end }: Range): Range {
  const row = columns * unit;
  if (parity) return { start: Math.floor(start / row) * unit, end: Math.ceil(end / row) * unit };
  if (columns === 1) return { start, end };
  const before = (offset: Bytes): Bytes =>
    Math.floor(offset / row) * unit + Math.min(Math.max((offset % row) - column * unit, 0), unit);
  return { start: before(start), end: before(end) };
}

/** A range of the chunk that holds all that lies in the stripe's range [start, end): whole rows. */
export function rangeAroundStripe({ columns, parity, unit }: Striping, { start, end }: Range): Range {
  if (columns === 1 && !parity) return { start, end };
  const row = columns * unit;
  return { start: Math.floor(start / unit) * row, end: Math.ceil(end / unit) * row };
}
