// What could not be read of a volume so far, page by page: what later passes go over, and what the result tells.
// Memory grows with the damage, never with the disk.

import { type BlockMap, pageCount } from '../map/block-map.js';
import { type Extent, extentEnd } from '../map/extent.js';
import { type Hole, runExtent, type Stretch, type StretchResult } from './stretch.js';

export interface DamagedPage {
  /** Volume offsets; left for a later pass. */
  readonly postponed: readonly Extent[];
  readonly holes: readonly Hole[];
}

export class Damage {
  readonly #pages = new Map<number, DamagedPage>();
  /** A byte a page: 1 once the first pass has dealt with it. */
  readonly #seen: Uint8Array;
  #held: readonly Hole[] = [];

  constructor({ grid }: Pick<BlockMap, 'grid'>) {
    this.#seen = new Uint8Array(pageCount(grid));
  }

  /** What a pass over a page found: it replaces what the pass before said. */
  note(page: number, stretch: Stretch, { postponed, holes }: StretchResult): void {
    this.#seen[page] = 1;
    if (postponed.length === 0 && holes.length === 0) this.#pages.delete(page);
    else this.#pages.set(page, { postponed: postponed.map((run) => runExtent(stretch, run)), holes });
  }

  /** Holes of blocks that the commit writes; no pass goes over them. */
  noteHeld(holes: readonly Hole[]): void {
    this.#held = holes;
  }

  /** Ascending. */
  pages(): [number, DamagedPage][] {
    return [...this.#pages].sort(([a], [b]) => a - b);
  }

  isSeen(page: number): boolean {
    return this.#seen[page] === 1;
  }

  /** All holes, ascending, neighbours of one fate joined. */
  holes(): Hole[] {
    const joined: Hole[] = [];
    const all = [...this.#held, ...this.pages().flatMap(([, { holes }]) => holes)];
    for (const hole of all.sort((a, b) => a.offset - b.offset)) {
      const last = joined.at(-1);
      const follows = last && extentEnd(last) === hole.offset && last.fate === hole.fate && last.tried === hole.tried;
      if (follows) joined[joined.length - 1] = { ...last, length: last.length + hole.length };
      else joined.push(hole);
    }
    return joined;
  }

  /** What no pass has gone over yet: only where a run ended early. */
  postponed(): Extent[] {
    return this.pages().flatMap(([, { postponed }]) => postponed);
  }
}
