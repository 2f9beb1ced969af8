// Volumes in memory for tests of the engine: small blocks, so that a MiB has many pages.

import { createTally } from '../../src/engine/tally.js';
import type { VolumeCopy } from '../../src/engine/volume-copy.js';
import { mapOfExtents } from '../../src/map/allocation-map.js';
import { type BlockMap, PAGE_BYTES, pageCount } from '../../src/map/block-map.js';
import type { Extent } from '../../src/map/extent.js';
import { memoryBlockMap } from '../../src/map/memory-block-map.js';
import { memoryTarget } from '../../src/source/memory.js';
import type { Source, Target } from '../../src/source/types.js';
import type { Random } from './random.js';

export const BLOCK = 4096;
/** Bytes of a volume that one page of its map covers. */
export const PAGE_LENGTH = 256 * BLOCK;

export interface VolumeOptions {
  readonly source: Source | Buffer;
  readonly target: Target;
  readonly used?: readonly Extent[];
  readonly map?: BlockMap;
  readonly mode?: 'first' | 'hash' | 'resume' | 'compare';
  readonly wiped?: readonly Extent[];
  readonly held?: readonly Extent[];
}

/** As operation/clone-volumes makes them for the modes of a clone. */
export function volumeOf({
  source,
  target,
  used,
  map,
  mode = 'first',
  wiped = [],
  held = [],
}: VolumeOptions): VolumeCopy {
  const from = Buffer.isBuffer(source) ? memoryTarget(source, 'source') : source;
  return {
    name: 'volume',
    source: from,
    target,
    allocation: mapOfExtents(used ?? [{ offset: 0, length: from.size }], BLOCK),
    wiped,
    held,
    map: map ?? memoryBlockMap({ size: from.size, blockSize: BLOCK }),
    tally: createTally(),
    known: mode === 'hash' || mode === 'resume',
    unknown: mode === 'first' || mode === 'hash' ? 'write' : 'compare',
    discardFree: mode === 'first',
  };
}

/** Extents at odd places that cover a part of `size` bytes; long gaps between some. */
export function someExtents(size: number, random: Random): Extent[] {
  const extents: Extent[] = [];
  for (let at = random.below(3 * BLOCK); at < size; ) {
    const length = Math.min(size - at, random.between(1, random.pick([600, BLOCK, 40 * BLOCK])));
    extents.push({ offset: at, length });
    at += length + random.between(1, random.pick([300, 2 * BLOCK, PAGE_LENGTH + 5000]));
  }
  return extents;
}

/** What a copy must leave on the target: used bytes as they are, the rest of their blocks zeros. */
export function masked(source: Buffer, used: readonly Extent[]): { bytes: Buffer; blocks: Set<number> } {
  const bytes = Buffer.alloc(source.length);
  const blocks = new Set<number>();
  for (const { offset, length } of used) {
    source.copy(bytes, offset, offset, offset + length);
    for (let block = Math.floor(offset / BLOCK); block * BLOCK < offset + length; block += 1) blocks.add(block);
  }
  return { bytes, blocks };
}

/** All pages of a map in a row. */
export async function digestsOf(map: BlockMap): Promise<Buffer> {
  const pages = [];
  for (let page = 0; page < pageCount(map.grid); page += 1) pages.push(await map.readPage(page));
  return pages.length > 0 ? Buffer.concat(pages) : Buffer.alloc(PAGE_BYTES);
}
