// Whether a file looks like a swap area: the kernel writes there without a trace in the inode.
// Invariant: only the file's own first bytes are read; what cannot be judged counts as no swap area only if it is too small
// or has no whole pages.
// Source: kernel mm/swapfile.c (read_swap_header): ten bytes at the end of the first page; at least ten pages.

import { KiB } from '../base/units.js';
import type { FileRecord } from '../filesystem/plugin.js';
import type { Source } from '../source/types.js';

const SIGNATURES: ReadonlySet<string> = new Set([
  'SWAPSPACE2',
  'SWAP-SPACE',
  'S1SUSPEND\0',
  'S2SUSPEND\0',
  'ULSUSPEND\0',
]);
const SMALLEST_PAGE = 4 * KiB;
const LARGEST_PAGE = 64 * KiB;
const FEWEST_PAGES = 10;

/** True for a file whose content bears the signature of a swap area, for pages of any size. */
export async function looksLikeSwap(volume: Source, { size, extents }: FileRecord): Promise<boolean> {
  const [first] = extents;
  if (size === undefined || first === undefined) return false; // no swap area can be made on such file systems
  if (size < FEWEST_PAGES * SMALLEST_PAGE || size % SMALLEST_PAGE !== 0) return false;
  const page = Math.min(LARGEST_PAGE, size);
  if (first.length < page) return true; // its head lies in several places: no reason to look for them
  const head = Buffer.alloc(page);
  await volume.read(head, first.offset);
  for (let end = SMALLEST_PAGE; end <= head.length; end *= 2) {
    if (SIGNATURES.has(head.toString('latin1', end - 10, end))) return true;
  }
  return false;
}
