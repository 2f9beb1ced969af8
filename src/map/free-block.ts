// Finds room in a volume's free space. Pure data, no I/O of its own: it reads the allocation map lazily.

import type { Bytes } from '../base/units.js';
import type { AllocationMap } from './allocation-map.js';
import type { Grid } from './block-map.js';
import { type Extent, extentEnd, gaps, normalise } from './extent.js';

/** Offset of the first whole block of the grid that is free and touches nothing of `reserved`; undefined if there is none. */
export async function firstFreeBlock(
  allocation: AllocationMap,
  grid: Grid,
  reserved: readonly Extent[],
): Promise<Bytes | undefined> {
  const { blockSize } = grid;
  const taken = normalise(reserved);
  const blockIn = (free: Extent): Bytes | undefined => {
    for (const gap of gaps(taken, free)) {
      const offset = Math.ceil(gap.offset / blockSize) * blockSize;
      if (offset + blockSize <= extentEnd(gap)) return offset;
    }
    return undefined;
  };
  let position = 0;
  for await (const used of allocation.usedExtents({ offset: 0, length: grid.size })) {
    const found = blockIn({ offset: position, length: used.offset - position });
    if (found !== undefined) return found;
    position = extentEnd(used);
  }
  return blockIn({ offset: position, length: grid.size - position });
}
