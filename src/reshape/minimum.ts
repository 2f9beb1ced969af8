// How small a volume can be made, and how much room that takes in the scratch folder.

import { type Bytes, MiB } from '../base/units.js';
import { identify } from '../filesystem/registry.js';
import { withOverlay } from './overlay.js';
import type { Minimum } from './resizer.js';
import { demandResizer, type VolumeOptions, withVolume } from './volume.js';

/** What tools write besides the bytes they move: tables, journals, and 64 KiB around each small change. */
const FIXED_COST = 64 * MiB;
/** Of the view: tables and bitmaps have entries for each block, and may be written anew and moved. */
const costShare = (blockSize: Bytes): number => Math.max(1 / 256, 16 / blockSize);

/**
 * The smallest size that `makeView` takes for this volume; some tools only tell it of a file they may write to, so this
 * takes as long as their check of it. Throws ToolError as `makeView` does.
 */
export function minimumSize(options: VolumeOptions): Promise<Minimum> {
  const { source: base, scratch, signal } = options;
  return withVolume(options, async (open) => {
    const { volume } = open;
    const { minimum } = demandResizer(open);
    if (minimum.by === 'reading') return minimum.find(volume);
    const found: Minimum[] = [];
    const overlay = await withOverlay(
      { base, volume: volume.name, size: base.length, scratch, signal },
      async (bench) => void found.push(await minimum.find(volume, bench)),
    );
    overlay.close();
    const [only] = found;
    if (!only) throw new Error('internal error: no minimum was found');
    return { ...only, minimum: Math.min(only.minimum, Math.ceil(volume.info.size / MiB) * MiB) };
  });
}

/**
 * Bytes that a view of `size` bytes may take in the scratch folder, estimated to the safe side: what is used beyond the new
 * end has to move, and a share for what the tools write besides. Throws ToolError as `makeView` does.
 */
export function scratchNeeded(options: VolumeOptions & { readonly size: Bytes }): Promise<Bytes> {
  const { size } = options;
  return withVolume(options, async (open) => {
    const { source, info } = open.volume;
    let moved = 0;
    if (size < info.size) {
      demandResizer(open);
      const { recognised } = await identify(source);
      const map = await recognised?.plugin.openAllocationMap(source, info);
      const beyond = { offset: size, length: source.size - size };
      for await (const { length } of map?.usedExtents(beyond) ?? []) moved += length;
    }
    return moved + FIXED_COST + Math.ceil(Math.max(size, source.size) * costShare(info.blockSize));
  });
}
