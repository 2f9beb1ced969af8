// A chunk: a range of logical addresses and the stripes on devices that hold it.
// Invariant: a `Chunk`'s numbers fit each other; only the stripes on this device are kept.
// Source: btrfs on-disk format documentation (btrfs_chunk, btrfs_stripe); kernel fs/btrfs/volumes.c (btrfs_map_block),
// tree-checker.c (btrfs_check_chunk_valid).

import { FormatError, readU64LE } from '../../base/u64.js';
import { type Bytes, KiB } from '../../base/units.js';
import type { BytesFrom, Striping } from './striping.js';
import type { Superblock } from './superblock.js';

/** Unit in which data goes round the devices; no other length was ever used. */
const STRIPE_UNIT: Bytes = 64 * KiB;

const HEADER_LENGTH = 48;
const STRIPE_LENGTH = 32;
const At = { length: 0, unit: 16, type: 24, sectorSize: 40, stripeCount: 44, subStripes: 46 } as const;
const StripeAt = { deviceId: 0, offset: 8, deviceUuid: 16, end: 32 } as const;

const CONTENT_MASK = 0x7;
const Profile = {
  SINGLE: 0,
  RAID0: 0x8,
  RAID1: 0x10,
  DUP: 0x20,
  RAID10: 0x40,
  RAID5: 0x80,
  RAID6: 0x100,
  RAID1C3: 0x200,
  RAID1C4: 0x400,
} as const;

/** How a profile spreads a chunk over `n` stripes. */
interface Spread {
  /** Stripes in which different data lies side by side. */
  readonly columns: (n: number) => number;
  /** Stripe `index` holds this column. */
  readonly columnOf: (index: number) => number;
  readonly valid: (n: number, subStripes: number) => boolean;
  readonly parity?: true;
}

const copies = (valid: (n: number) => boolean): Spread => ({ columns: () => 1, columnOf: () => 0, valid });

const SPREADS: ReadonlyMap<number, Spread> = new Map<number, Spread>([
  [Profile.SINGLE, copies((n) => n === 1)],
  [Profile.DUP, copies((n) => n === 2)],
  [Profile.RAID1, copies((n) => n === 2)],
  [Profile.RAID1C3, copies((n) => n === 3)],
  [Profile.RAID1C4, copies((n) => n === 4)],
  [Profile.RAID0, { columns: (n) => n, columnOf: (index) => index, valid: (n) => n >= 1 }],
  [
    Profile.RAID10,
    {
      columns: (n) => n / 2,
      columnOf: (index) => Math.floor(index / 2),
      valid: (n, subStripes) => subStripes === 2 && n >= 2 && n % 2 === 0,
    },
  ],
  [Profile.RAID5, { columns: (n) => n - 1, columnOf: () => 0, valid: (n) => n >= 2, parity: true }],
  [Profile.RAID6, { columns: (n) => n - 2, columnOf: () => 0, valid: (n) => n >= 3, parity: true }],
]);

/** A part of a chunk on this device. */
export interface Stripe {
  readonly physical: Bytes;
  readonly column: number;
}

export interface Chunk extends Striping {
  readonly logical: Bytes;
  readonly length: Bytes;
  readonly type: number;
  /** Length of each stripe on its device. */
  readonly stripeLength: Bytes;
  /** Those on this device; others are not ours to copy. */
  readonly stripes: readonly Stripe[];
}

/** Parses the item at `start` of `bytes`. Throws FormatError if it is impossible. */
export function parseChunk(
  { bytes, start, length }: BytesFrom,
  logical: Bytes,
  superblock: Pick<Superblock, 'sectorSize' | 'deviceId' | 'deviceUuid'>,
): Chunk {
  const demand = (condition: boolean, otherwise: string): void => {
    if (!condition) throw new FormatError(`chunk ${logical} is damaged: ${otherwise}`);
  };
  demand(length >= HEADER_LENGTH, 'its item is too short');
  const stripeCount = bytes.readUInt16LE(start + At.stripeCount);
  demand(length === chunkItemLength(stripeCount), 'its item has another length');
  const { sectorSize } = superblock;
  const chunkLength = readU64LE(bytes, start + At.length);
  demand(chunkLength > 0 && chunkLength % sectorSize === 0, `it has ${chunkLength} bytes`);
  demand(logical % sectorSize === 0 && Number.isSafeInteger(logical + chunkLength), 'its address is impossible');
  demand(readU64LE(bytes, start + At.unit) === STRIPE_UNIT, 'its stripes have another unit');
  demand(bytes.readUInt32LE(start + At.sectorSize) === sectorSize, 'its sectors have another size');
  const type = readU64LE(bytes, start + At.type);
  const spread = type < 2 ** 32 ? SPREADS.get(type & ~CONTENT_MASK) : undefined;
  if (!spread || (type & CONTENT_MASK) === 0) throw new FormatError(`chunk ${logical} has unknown type ${type}`);
  demand(spread.valid(stripeCount, bytes.readUInt16LE(start + At.subStripes)), `it has ${stripeCount} stripes`);
  const columns = spread.columns(stripeCount);
  const whole = columns === 1 && !spread.parity;
  demand(whole || chunkLength % (columns * STRIPE_UNIT) === 0, `its ${chunkLength} bytes fill no whole rows`);

  const stripes: Stripe[] = [];
  for (let index = 0; index < stripeCount; index += 1) {
    const at = start + HEADER_LENGTH + index * STRIPE_LENGTH;
    if (readU64LE(bytes, at + StripeAt.deviceId) !== superblock.deviceId) continue;
    if (!bytes.subarray(at + StripeAt.deviceUuid, at + StripeAt.end).equals(superblock.deviceUuid)) continue;
    const physical = readU64LE(bytes, at + StripeAt.offset);
    demand(physical % sectorSize === 0, 'a stripe starts inside a sector');
    stripes.push({ physical, column: spread.columnOf(index) });
  }
  return {
    logical,
    length: chunkLength,
    type,
    columns,
    unit: STRIPE_UNIT,
    parity: spread.parity === true,
    stripeLength: chunkLength / columns,
    stripes,
  };
}

/** Length of the item of a chunk with that many stripes. */
export function chunkItemLength(stripeCount: number): number {
  return HEADER_LENGTH + stripeCount * STRIPE_LENGTH;
}

/** Number of stripes of the chunk item at `start`. */
export function stripeCountAt(bytes: Buffer, start: number): number {
  return bytes.readUInt16LE(start + At.stripeCount);
}
