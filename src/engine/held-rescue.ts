// Held blocks of a source that may be failing: read around holes, and completed from what the target held before.
// Invariant: the marker is never taken for content: without the bytes from before it, a hole becomes zeros.

import { isZero } from '../base/zeros.js';
import { type Extent, extentEnd, gaps, intersect } from '../map/extent.js';
import { readAround } from '../source/around.js';
import { checkedSource } from '../source/checked.js';
import type { Source } from '../source/types.js';
import { blocksIn, type Hole, runExtent, type Stretch } from './stretch.js';
import type { VolumeCopy } from './volume-copy.js';

export interface RescuedHeld {
  /** Answers for the held blocks, from memory. */
  readonly source: Source;
  readonly holes: readonly Hole[];
  /** Blocks of the stretch that got zeros where nothing could be read. */
  readonly holed: readonly number[];
}

interface Block {
  readonly extent: Extent;
  readonly bytes: Buffer;
  readonly holes: readonly Hole[];
}

/** `stretch`: a page in which everything but the held blocks counts as held. */
export async function rescueHeld(volume: VolumeCopy, stretch: Stretch): Promise<RescuedHeld> {
  const blocks: Block[] = [];
  const holed: number[] = [];
  const wanted = [...gaps(stretch.held, stretch.extent)];
  for (let index = 0; index < blocksIn(stretch); index += 1) {
    const extent = runExtent(stretch, { first: index, end: index + 1 });
    if (!wanted.some((each) => intersect(each, extent))) continue;
    const block = await rescueBlock(volume, stretch, extent);
    blocks.push(block);
    if (block.holes.some(({ fate }) => fate === 'zeros')) holed.push(index);
  }
  return { source: memoryOf(volume.source, blocks), holes: blocks.flatMap(({ holes }) => holes), holed };
}

async function rescueBlock({ source, rescue }: VolumeCopy, { used }: Stretch, extent: Extent): Promise<Block> {
  const bytes = Buffer.alloc(extent.length);
  const missing: Extent[] = [];
  for (const each of used) {
    const part = intersect(each, extent);
    if (!part) continue;
    const into = bytes.subarray(part.offset - extent.offset, extentEnd(part) - extent.offset);
    missing.push(...(await readAround(source, into, part.offset)));
  }
  const former = missing.length > 0 ? await rescue?.former?.(extent) : undefined;
  const isKept = former && missing.some((hole) => !isZero(partOf(former, hole, extent)));
  if (isKept) former.copy(bytes);
  return { extent, bytes, holes: missing.map((hole) => ({ ...hole, fate: isKept ? 'kept' : 'zeros', tried: true })) };
}

function partOf(bytes: Buffer, { offset, length }: Extent, within: Extent): Buffer {
  return bytes.subarray(offset - within.offset, offset - within.offset + length);
}

function memoryOf(source: Source, blocks: readonly Block[]): Source {
  return checkedSource({
    ...source,
    spec: undefined,
    extents: undefined,
    readAround: undefined,
    async read(into, offset) {
      const asked = { offset, length: into.length };
      for (const { extent, bytes } of blocks) {
        const part = intersect(extent, asked);
        if (part) partOf(bytes, part, extent).copy(into, part.offset - offset);
      }
    },
    async close() {},
  });
}
