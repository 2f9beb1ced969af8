// Bytes of a file that a plugin has found, read through its extents.
// Invariant: holes and what was never written read as zeros, as the file's own system would have it.

import type { Bytes } from '../base/units.js';
import type { Extent } from '../map/extent.js';
import type { Source } from '../source/types.js';
import type { FoundFile } from './plugin.js';

/** Fills `into` with the file's bytes at `position`; what lies behind its end are zeros. */
export async function readFromFile(
  volume: Source,
  { size, extents }: Pick<FoundFile, 'size' | 'extents'>,
  { into, position }: { into: Buffer; position: Bytes },
): Promise<void> {
  into.fill(0);
  const end = Math.min(position + into.length, size);
  for (const extent of extents) {
    const from = Math.max(extent.position, position);
    const to = Math.min(extent.position + extent.length, end);
    if (from >= to || extent.unwritten) continue;
    const offset = extent.offset + from - extent.position;
    await volume.read(into.subarray(from - position, to - position), offset);
  }
}

/** True if every byte of the file has a place. */
export function isSolid({ size, extents }: FoundFile): boolean {
  let end = 0;
  for (const { position, length } of extents) {
    if (position > end) break;
    end = position + length;
  }
  return end >= size;
}

/** The whole blocks between two places of the file, where they lie on the volume. */
export function wholeBlocks({ extents }: FoundFile, within: Extent, blockSize: Bytes): Extent[] {
  return extents.flatMap(({ position, offset, length }) => {
    const from = Math.max(position, within.offset);
    const to = Math.min(position + length, within.offset + within.length);
    const first = Math.ceil((offset + from - position) / blockSize) * blockSize;
    const end = Math.floor((offset + to - position) / blockSize) * blockSize;
    return end > first ? [{ offset: first, length: end - first }] : [];
  });
}
