// Digests of a volume's blocks as of the last copy. Pure geometry and data, no I/O.
// Invariant K: a digest says that the flushed target block holds exactly these bytes, all of them. Unknown is a state.

import { DIGEST_LENGTH } from '../base/digest.js';
import { type Bytes, KiB } from '../base/units.js';
import type { Extent } from './extent.js';

/** Default size of a block of the map; the grid starts at the volume's first byte. */
export const BLOCK_SIZE = 64 * KiB;

/** Digests are voided and filled a page at a time: 256 digests, 4 KiB of map, 16 MiB of volume at 64 KiB a block. */
export const PAGE_DIGESTS = 256;
export const PAGE_BYTES = PAGE_DIGESTS * DIGEST_LENGTH;

export interface Grid {
  readonly size: Bytes;
  readonly blockSize: Bytes;
}

export function blockCount({ size, blockSize }: Grid): number {
  return Math.ceil(size / blockSize);
}

export function pageCount(grid: Grid): number {
  return Math.ceil(blockCount(grid) / PAGE_DIGESTS);
}

/** Bytes of the volume that one page covers. */
export function pageLength({ blockSize }: Grid): Bytes {
  return PAGE_DIGESTS * blockSize;
}

/** The stretch of the volume that page `page` covers; the last one may be shorter. */
export function pageExtent(grid: Grid, page: number): Extent {
  const offset = page * pageLength(grid);
  return { offset, length: Math.min(pageLength(grid), grid.size - offset) };
}

/** A map that can be read and filled in pieces: a file in the state folder, or memory. */
export interface BlockMap {
  readonly grid: Grid;
  /** Digests of a page: PAGE_BYTES bytes, zeros where unknown. */
  readPage(page: number): Promise<Buffer>;
  /** Replaces a page's digests. Durable only after `flush`. */
  writePage(page: number, digests: Buffer): Promise<void>;
  flush(): Promise<void>;
  /** Ascending numbers of the pages that may hold a known digest, from `first` on. */
  knownPages(first: number): AsyncIterable<number>;
  close(): Promise<void>;
}
