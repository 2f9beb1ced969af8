// The checksums that btrfs can protect its superblock and tree blocks with.
// Invariant: an unknown type never matches.
// Source: btrfs on-disk format documentation (csum_type); kernel fs/btrfs/disk-io.c (csum_tree_block).

import { createHash } from 'node:crypto';
import xxhash from 'xxhash-addon';
import { blake2b } from '../../base/blake2b.js';
import { crc32c } from '../../base/checksum.js';

/** Superblocks and tree blocks begin with their checksum, zero-padded; it covers everything behind it. */
export const CHECKSUM_LENGTH = 32;

export function isIntact(block: Buffer, checksumType: number): boolean {
  const expected = checksumOf(block.subarray(CHECKSUM_LENGTH), checksumType);
  return expected?.equals(block.subarray(0, expected.length)) === true;
}

/** Only its significant bytes; undefined for types that are not known. */
export function checksumOf(bytes: Buffer, checksumType: number): Buffer | undefined {
  switch (checksumType) {
    case 0: {
      const checksum = Buffer.alloc(4);
      checksum.writeUInt32LE(crc32c(bytes));
      return checksum;
    }
    case 1:
      // The addon prints the number as text would, most significant byte first.
      return xxhash.XXHash64.hash(bytes).reverse();
    case 2:
      return createHash('sha256').update(bytes).digest();
    case 3:
      return blake2b(bytes, CHECKSUM_LENGTH);
    default:
      return undefined;
  }
}
