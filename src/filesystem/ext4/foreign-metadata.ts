// Bitmaps and inode tables that lie in another group than their own, as flex_bg places them.
// Invariant: sorted and joined; with flex_bg each kind lies in long rows, so the list grows with the flex groups, not
// with the groups. It is what makes a group's metadata used even where that group's bitmap is said to be uninitialised.

import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import { Incompat } from './features.js';
import { type BlockRange, groupRange } from './geometry.js';
import { metadataOf, readDescriptors } from './group-descriptors.js';
import type { Superblock } from './superblock.js';

/** How many descriptors are read at once. */
const STRIDE = 1024;

/** 16 TiB by default have 25 thousand rows. More than this is an attack on our memory. */
const MOST_ROWS = 2 ** 21;

export interface ForeignMetadata {
  /** The parts that meet the blocks [start, end), ascending. */
  inside(range: BlockRange): Generator<BlockRange>;
}

/** Reads all descriptors once. Throws FormatError at the first that cannot be trusted. */
export async function collectForeignMetadata(volume: Source, superblock: Superblock): Promise<ForeignMetadata> {
  const rows = new Rows();
  const { groupCount } = superblock;
  for (let first = 0; first < groupCount; first += STRIDE) {
    const count = Math.min(STRIDE, groupCount - first);
    for (const descriptor of await readDescriptors(volume, superblock, { first, count })) {
      if (descriptor.problem !== undefined) throw new FormatError(descriptor.problem);
      if ((superblock.incompat & Incompat.FLEX_BG) === 0) continue;
      for (const [kind, range] of metadataOf(superblock, descriptor).entries()) {
        if (!liesInGroup(superblock, descriptor.group, range)) rows.add(kind, range);
      }
    }
  }
  return searchable(rows.finish());
}

function liesInGroup(superblock: Superblock, group: number, { start, end }: BlockRange): boolean {
  const own = groupRange(superblock, group);
  return start >= own.start && end <= own.end;
}

/** Joins what follows on the last range of its kind, so a row of a thousand bitmaps costs one entry. */
class Rows {
  readonly #open: (BlockRange | undefined)[] = [];
  readonly #done: BlockRange[] = [];

  add(kind: number, range: BlockRange): void {
    const open = this.#open[kind];
    if (open?.end === range.start) {
      this.#open[kind] = { start: open.start, end: range.end };
      return;
    }
    if (open) this.#done.push(open);
    if (this.#done.length > MOST_ROWS) throw new FormatError('the bitmaps and inode tables are scattered absurdly');
    this.#open[kind] = range;
  }

  finish(): BlockRange[] {
    for (const open of this.#open) if (open) this.#done.push(open);
    const sorted = this.#done.sort((a, b) => a.start - b.start);
    const joined: BlockRange[] = [];
    for (const range of sorted) {
      const last = joined.at(-1);
      if (last && last.end >= range.start) {
        joined[joined.length - 1] = { start: last.start, end: Math.max(last.end, range.end) };
      } else {
        joined.push(range);
      }
    }
    return joined;
  }
}

function searchable(ranges: readonly BlockRange[]): ForeignMetadata {
  return {
    *inside({ start, end }) {
      let low = 0;
      let high = ranges.length;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if ((ranges[middle]?.end ?? 0) <= start) low = middle + 1;
        else high = middle;
      }
      for (let index = low; index < ranges.length; index += 1) {
        const range = ranges[index];
        if (!range || range.start >= end) return;
        yield { start: Math.max(range.start, start), end: Math.min(range.end, end) };
      }
    },
  };
}
