// Block digests: XXH3-128. They guard against accidents, not against somebody who chooses a disk's content.
// Invariant: 16 zero bytes never stand for content; they mean "unknown".

import xxhash from 'xxhash-addon';

export const DIGEST_LENGTH = 16;

/** Name of the digest, as written into block maps and records. */
export const DIGEST_KIND = 'xxh3-128';

/** XXH3-128 of `bytes`; content whose digest would be all zeros gets one with the last bit set instead. */
export function digestOf(bytes: Buffer): Buffer {
  const digest = xxhash.XXHash128.hash(bytes);
  if (isUnknown(digest, 0)) digest[DIGEST_LENGTH - 1] = 1;
  return digest;
}

const zeroDigests = new Map<number, Buffer>();

/** The digest of so many zeros, made once for each length. */
export function digestOfZeros(length: number): Buffer {
  const digest = zeroDigests.get(length) ?? digestOf(Buffer.alloc(length));
  zeroDigests.set(length, digest);
  return digest;
}

/** True if the 16 bytes at `offset` say that nothing is known of the block. */
export function isUnknown(digests: Uint8Array, offset: number): boolean {
  for (let at = offset; at < offset + DIGEST_LENGTH; at += 1) if (digests[at] !== 0) return false;
  return true;
}

/** Stands where a digest would: the block holds what could be read of the source, and other bytes in its holes. */
const HOLED = Buffer.from('ectype: holed\0\0\0', 'latin1');

/** Marks a block that was written with holes. No content is expected to match it, so the next run reads it again. */
export function markHoled(digests: Uint8Array, offset: number): void {
  digests.set(HOLED, offset);
}

/** True if the 16 bytes at `offset` say that the block was written with holes: known to be ours, but no digest. */
export function isHoled(digests: Uint8Array, offset: number): boolean {
  if (digests[offset] !== HOLED[0]) return false; // asked of every block
  return HOLED.equals(digests.subarray(offset, offset + DIGEST_LENGTH));
}

/** A digest over several pieces in order, each preceded by its length so that pieces cannot shift into each other. */
export class DigestStream {
  readonly #hash = new xxhash.XXHash128(Buffer.alloc(8));

  add(piece: Buffer): void {
    const length = Buffer.alloc(8);
    length.writeDoubleLE(piece.length);
    this.#hash.update(length);
    this.#hash.update(piece);
  }

  finish(): Buffer {
    return this.#hash.digest();
  }
}
