// The update sequence: NTFS marks the end of every 512 bytes of a structure, so that a torn write shows.
// Invariant: bytes that come out of here were written in one piece, or a FormatError says that they were not.
// Format: ntfs-3g layout.h (NTFS_RECORD) and mst.c.

import { FormatError } from '../../base/u64.js';

/** The stride is 512 bytes whatever the sector size is. */
const STRIDE = 512;
const AT = { magic: 0, sequenceOffset: 4, sequenceCount: 6 } as const;

/**
 * Puts the real bytes back in place, in `bytes` itself.
 * Throws FormatError if the magic is none of `magics` or a stride was not written with the others.
 */
export function applyFixups(bytes: Buffer, magics: readonly string[], what: string): void {
  const magic = bytes.toString('latin1', AT.magic, AT.magic + 4);
  if (!magics.includes(magic)) throw new FormatError(`${what}: no ${magics.join(' or ')} signature`);
  const offset = bytes.readUInt16LE(AT.sequenceOffset);
  const count = bytes.readUInt16LE(AT.sequenceCount);
  const strides = bytes.length / STRIDE;
  if (count !== strides + 1 || offset % 2 !== 0 || offset < 8 || offset + count * 2 > bytes.length) {
    throw new FormatError(`${what}: impossible update sequence`);
  }
  const expected = bytes.readUInt16LE(offset);
  for (let stride = 0; stride < strides; stride += 1) {
    const last = (stride + 1) * STRIDE - 2;
    if (bytes.readUInt16LE(last) !== expected) throw new FormatError(`${what}: torn write in part ${stride}`);
    bytes.writeUInt16LE(bytes.readUInt16LE(offset + 2 + stride * 2), last);
  }
}
