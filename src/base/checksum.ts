// CRC-32 (GPT, zlib, F2FS) and CRC-32C (ext4, btrfs, XFS).

import { crc32c as castagnoli, crc32 as ieee } from '@node-rs/crc32';

/** CRC-32 as in zlib and the UEFI specification. */
export function crc32(bytes: Buffer): number {
  return ieee(bytes);
}

/** CRC-32C with the usual inversions; `previous` continues an earlier result. */
export function crc32c(bytes: Buffer, previous = 0): number {
  return castagnoli(bytes, previous);
}

/** CRC-32C without inversions, as Linux file systems chain it: `seed` in, raw remainder out. */
export function rawCrc32c(seed: number, bytes: Buffer): number {
  return ~castagnoli(bytes, ~seed >>> 0) >>> 0;
}

/** CRC-32 without inversions, as F2FS chains it. */
export function rawCrc32(seed: number, bytes: Buffer): number {
  return ~ieee(bytes, ~seed >>> 0) >>> 0;
}
