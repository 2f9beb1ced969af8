// Structures of whole sectors, for a target whose sectors have another size.

import type { Bytes } from '../base/units.js';

/** A copy of `bytes` in whole sectors: cut or filled up with zeros where the sectors have another size. */
export function resized(bytes: Buffer, length: Bytes): Buffer {
  const copy = Buffer.alloc(length);
  bytes.copy(copy);
  return copy;
}

/** `length` rounded up to whole sectors. */
export function wholeSectors(length: Bytes, sectorSize: Bytes): Bytes {
  return Math.ceil(length / sectorSize) * sectorSize;
}
