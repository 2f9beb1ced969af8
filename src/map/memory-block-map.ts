// A block map that is forgotten after the run: for volumes that are compared with the target every time.

import { type BlockMap, type Grid, PAGE_BYTES } from './block-map.js';

export function memoryBlockMap(grid: Grid): BlockMap {
  const pages = new Map<number, Buffer>();
  return {
    grid,
    async readPage(page) {
      return Buffer.from(pages.get(page) ?? Buffer.alloc(PAGE_BYTES));
    },
    async writePage(page, digests) {
      pages.set(page, Buffer.from(digests));
    },
    async flush() {},
    async *knownPages(first) {
      for (const page of [...pages.keys()].sort((a, b) => a - b)) if (page >= first) yield page;
    },
    async close() {},
  };
}
