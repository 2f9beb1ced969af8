// A block map whose changes stay in memory until they are let through: while no file may be written.
// Invariant: whoever buffers a map has made sure that nobody believes the map below before `release` has ended.

import { type BlockMap, PAGE_BYTES } from './block-map.js';

export interface BufferedBlockMap extends BlockMap {
  /** Writes everything that was held back, durably; from then on changes go straight through. */
  release(): Promise<void>;
}

export function bufferedBlockMap(map: BlockMap): BufferedBlockMap {
  let pages: Map<number, Buffer> | undefined = new Map();
  return {
    grid: map.grid,
    async readPage(page) {
      const held = pages?.get(page);
      return held ? Buffer.from(held) : map.readPage(page);
    },
    async writePage(page, digests) {
      if (!pages) return map.writePage(page, digests);
      const whole = Buffer.alloc(PAGE_BYTES);
      digests.copy(whole);
      pages.set(page, whole);
    },
    async flush() {
      if (!pages) await map.flush();
    },
    /** Pages that came up since the walk began may be missing. */
    knownPages: (first) => map.knownPages(first),
    async release() {
      const held = pages ?? new Map<number, Buffer>();
      pages = undefined;
      for (const [page, digests] of held) await map.writePage(page, digests);
      await map.flush();
    },
    close: () => map.close(),
  };
}
