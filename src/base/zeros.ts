// Bytes that are all zeros: freed, erased or never written.

import { KiB } from './units.js';

const ZEROS = Buffer.alloc(64 * KiB);

/** True if every byte is zero; true for no bytes at all. */
export function isZero(bytes: Buffer): boolean {
  // Nearly everything else shows itself in its first bytes.
  if (bytes.length >= 4 && bytes.readInt32LE(0) !== 0) return false;
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const length = Math.min(ZEROS.length, bytes.length - at);
    if (bytes.compare(ZEROS, 0, length, at, at + length) !== 0) return false;
  }
  return true;
}
