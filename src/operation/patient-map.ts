// An allocation map that is read while its file system changes it.
// Invariant: it may leave out what is used, and then only for a pass that is not the last.

import { FormatError } from '../base/u64.js';
import type { AllocationMap } from '../map/allocation-map.js';
import { extentEnd } from '../map/extent.js';

const MOST_TRIES = 5;
const PAUSE_MS = 100;

/** Opens the map again where it contradicts itself; after some tries the rest is left to the last pass. */
export function patientMap(map: AllocationMap, open: () => Promise<AllocationMap>): AllocationMap {
  let current = map;
  return {
    blockSize: map.blockSize,
    async *usedExtents(within) {
      const end = extentEnd(within);
      for (let tries = 1, position = within.offset; position < end && tries <= MOST_TRIES; tries += 1) {
        try {
          for await (const extent of current.usedExtents({ offset: position, length: end - position })) {
            yield extent;
            position = extentEnd(extent);
          }
          return;
        } catch (error) {
          if (!(error instanceof FormatError)) throw error;
          await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
          current = await open();
        }
      }
    },
  };
}
