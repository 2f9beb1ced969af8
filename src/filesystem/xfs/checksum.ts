// The checksums of XFS version 5: CRC-32C, little-endian in an otherwise big-endian format, over a whole sector or block.
// Invariant: the field itself counts as zeros.

import { crc32c } from '../../base/checksum.js';

const NO_CHECKSUM = Buffer.alloc(4);

/** True if the checksum at byte `at` is that of `bytes`. */
export function isSealed(bytes: Buffer, at: number): boolean {
  const before = crc32c(bytes.subarray(0, at));
  return crc32c(bytes.subarray(at + 4), crc32c(NO_CHECKSUM, before)) === bytes.readUInt32LE(at);
}
