// Bytes that are all zeros: freed, erased or never written.

import { KiB } from './units.js';

const ZEROS = Buffer.alloc(64 * KiB);

/** True if every byte is zero; true for no bytes at all. */
export function isZero(bytes: Buffer): boolean {
  if (bytes.length > 0 && bytes[0] !== 0) return false; // most of what is not shows it here, without a call
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const length = Math.min(ZEROS.length, bytes.length - at);
    if (bytes.compare(ZEROS, 0, length, at, at + length) !== 0) return false;
  }
  return true;
}
