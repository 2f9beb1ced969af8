// The checksums of XFS version 5: CRC-32C, little-endian in an otherwise big-endian format, over a whole sector or block.
// Invariant: the field itself counts as zeros.

import { crc32c } from '../../base/checksum.js';

/** True if the checksum at byte `at` is that of `bytes`, which are changed and made as they were: one call is quicker. */
export function isSealed(bytes: Buffer, at: number): boolean {
  const checksum = bytes.readUInt32LE(at);
  bytes.writeUInt32LE(0, at);
  const computed = crc32c(bytes);
  bytes.writeUInt32LE(checksum, at);
  return computed === checksum;
}
