// Copies only what an allocation map calls used onto a target full of 0xA5: what the map forgot shows as garbage.

import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import type { AllocationMap } from '../../src/map/allocation-map.js';
import type { Source } from '../../src/source/types.js';

const PIECE = 1 << 20;

/** Writes `path` anew: 0xA5 everywhere, then the used bytes of `volume`. Returns how many bytes were used. */
export async function copyUsedOntoGarbage(volume: Source, map: AllocationMap, path: string): Promise<number> {
  const fd = openSync(path, 'w');
  try {
    ftruncateSync(fd, volume.size);
    const garbage = Buffer.alloc(PIECE, 0xa5);
    for (let offset = 0; offset < volume.size; offset += PIECE) {
      writeSync(fd, garbage, 0, Math.min(PIECE, volume.size - offset), offset);
    }
    let used = 0;
    const piece = Buffer.alloc(PIECE);
    for await (const extent of map.usedExtents({ offset: 0, length: volume.size })) {
      used += extent.length;
      for (let done = 0; done < extent.length; done += PIECE) {
        const part = piece.subarray(0, Math.min(PIECE, extent.length - done));
        await volume.read(part, extent.offset + done);
        writeSync(fd, part, 0, part.length, extent.offset + done);
      }
    }
    return used;
  } finally {
    closeSync(fd);
  }
}
