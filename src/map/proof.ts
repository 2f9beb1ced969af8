// Which bytes of a volume are proved to be what they were when they were copied last: they need not be read again.
// Invariant: default-deny. A block counts as proved only if each of its used bytes was proved and none was spoiled; what
// does not fit into the memory kept for it is not proved. Asked only after `settle`.

import type { Bytes } from '../base/units.js';
import { type Grid, PAGE_DIGESTS, pageExtent, pageLength } from './block-map.js';
import { type Extent, extentEnd, intersect, normalise } from './extent.js';

/** Pages of which only parts are proved: 64 MiB of bits at 4 KiB a unit. Beyond that, parts of pages are read. */
const MOST_PARTIAL = 2 ** 17;

/** All of the page. */
const WHOLE: unique symbol = Symbol('whole');

/** The blocks [first, end) of a page, or units of the volume. */
export interface ProvedRun {
  readonly first: number;
  readonly end: number;
}

export class Proof {
  readonly #grid: Grid;
  readonly #unit: Bytes;
  readonly #unitsPerPage: number;
  readonly #pages = new Map<number, Uint8Array | typeof WHOLE>();
  #partial = 0;
  readonly #spoiled = new Stretches();

  /** `unit`: the file system's allocation unit; parts of units are never proved. */
  constructor(grid: Grid, unit: Bytes) {
    this.#grid = grid;
    this.#unit = unitFor(grid, unit);
    this.#unitsPerPage = pageLength(grid) / this.#unit;
  }

  /** The source still holds what it held. */
  prove(offset: Bytes, length: Bytes): void {
    let unit = Math.ceil(offset / this.#unit);
    const end = Math.floor((offset + length) / this.#unit);
    while (unit < end) {
      const page = Math.floor(unit / this.#unitsPerPage);
      const start = page * this.#unitsPerPage;
      const until = Math.min(end, start + this.#unitsPerPage);
      this.#provePart(page, unit - start, until - start);
      unit = until;
    }
  }

  #provePart(page: number, first: number, end: number): void {
    const known = this.#pages.get(page);
    if (known === WHOLE) return;
    if (first === 0 && end === this.#unitsPerPage) {
      if (known) this.#partial -= 1;
      this.#pages.set(page, WHOLE);
      return;
    }
    if (!known && this.#partial >= MOST_PARTIAL) return;
    const bits = known ?? new Uint8Array(this.#unitsPerPage / 8);
    if (!known) {
      this.#partial += 1;
      this.#pages.set(page, bits);
    }
    setBits(bits, first, end);
    if (end === this.#unitsPerPage && bits.every((byte) => byte === 0xff)) {
      this.#partial -= 1;
      this.#pages.set(page, WHOLE);
    }
  }

  /** Something claims the bytes that changed, came or went: they are read if they are used, whatever else is known of them. */
  spoil(offset: Bytes, length: Bytes): void {
    this.#spoiled.add(Math.floor(offset / this.#unit), Math.ceil((offset + length) / this.#unit));
  }

  /** Takes out of what is proved what is spoiled. */
  settle(): void {
    if (this.#spoiled.isFull) this.#pages.clear();
    else for (const { first, end } of this.#spoiled.all()) this.#disprove(first, end);
    this.#spoiled.clear();
  }

  #disprove(first: number, end: number): void {
    for (let unit = first; unit < end; ) {
      const page = Math.floor(unit / this.#unitsPerPage);
      const start = page * this.#unitsPerPage;
      const until = Math.min(end, start + this.#unitsPerPage);
      const known = this.#pages.get(page);
      if (known) this.#pages.set(page, this.#without(known, unit - start, until - start));
      unit = until;
    }
  }

  #without(known: Uint8Array | typeof WHOLE, first: number, end: number): Uint8Array {
    const bits = known === WHOLE ? new Uint8Array(this.#unitsPerPage / 8).fill(0xff) : known;
    for (let unit = first; unit < end; unit += 1) clearBit(bits, unit);
    return bits;
  }

  /** Blocks of a page all of whose used bytes are proved; `used` lies in the page. Blocks without any are not among them. */
  provedBlocks(page: number, used: readonly Extent[]): ProvedRun[] {
    const bits = this.#pages.get(page);
    if (bits === undefined) return [];
    const { blockSize } = this.#grid;
    const { offset } = pageExtent(this.#grid, page);
    const touched = new Uint8Array(PAGE_DIGESTS);
    const refused = new Uint8Array(PAGE_DIGESTS);
    for (const extent of used) {
      const first = Math.floor((extent.offset - offset) / blockSize);
      const last = Math.ceil((extentEnd(extent) - offset) / blockSize);
      touched.fill(1, first, last);
      if (bits !== WHOLE) this.#refuse(refused, bits, { offset: extent.offset - offset, length: extent.length });
    }
    const runs: ProvedRun[] = [];
    for (let block = 0; block < PAGE_DIGESTS; block += 1) {
      if (touched[block] !== 1 || refused[block] !== 0) continue;
      const last = runs.at(-1);
      if (last?.end === block) runs[runs.length - 1] = { first: last.first, end: block + 1 };
      else runs.push({ first: block, end: block + 1 });
    }
    return runs;
  }

  /** The units that meet the extent and are not proved, clipped to it; for people who want to know what changed. */
  unprovedIn(extent: Extent): Extent[] {
    const found: Extent[] = [];
    const end = Math.ceil(extentEnd(extent) / this.#unit);
    for (let unit = Math.floor(extent.offset / this.#unit); unit < end; unit += 1) {
      const part = intersect({ offset: unit * this.#unit, length: this.#unit }, extent);
      if (part && !this.#isProved(unit)) found.push(part);
    }
    return normalise(found);
  }

  #isProved(unit: number): boolean {
    const bits = this.#pages.get(Math.floor(unit / this.#unitsPerPage));
    return bits === WHOLE || (bits !== undefined && hasBit(bits, unit % this.#unitsPerPage));
  }

  /** Marks the blocks in which a unit that meets the extent is not proved; offsets are the page's. */
  #refuse(refused: Uint8Array, bits: Uint8Array, extent: Extent): void {
    const unitsPerBlock = this.#grid.blockSize / this.#unit;
    const end = Math.ceil(extentEnd(extent) / this.#unit);
    for (let unit = Math.floor(extent.offset / this.#unit); unit < end; unit += 1) {
      if ((unit & 7) === 0 && unit + 8 <= end && bits[unit >> 3] === 0xff) unit += 7;
      else if (!hasBit(bits, unit)) refused[Math.floor(unit / unitsPerBlock)] = 1;
    }
  }
}

/** At least eight units a page, and whole units a block: then blocks and bytes of bits fit together. */
function unitFor({ blockSize }: Grid, unit: Bytes): Bytes {
  const fits = unit > 0 && blockSize % unit === 0 && Number.isInteger(Math.log2(unit));
  return fits ? Math.max(unit, 512) : blockSize;
}

function hasBit(bits: Uint8Array, index: number): boolean {
  return ((bits[Math.floor(index / 8)] ?? 0) & (1 << (index % 8))) !== 0;
}

function setBits(bits: Uint8Array, first: number, end: number): void {
  let index = first;
  for (; index < end && index % 8 !== 0; index += 1) setBit(bits, index);
  const whole = Math.floor((end - index) / 8);
  if (whole > 0) {
    bits.fill(0xff, index / 8, index / 8 + whole);
    index += whole * 8;
  }
  for (; index < end; index += 1) setBit(bits, index);
}

function setBit(bits: Uint8Array, index: number): void {
  const at = Math.floor(index / 8);
  bits[at] = (bits[at] ?? 0) | (1 << (index % 8));
}

function clearBit(bits: Uint8Array, index: number): void {
  const at = Math.floor(index / 8);
  bits[at] = (bits[at] ?? 0) & ~(1 << (index % 8));
}

/** So many changed files, at 16 bytes each: where more changed, reading everything is the least of it. */
const MOST_SPOILED = 2 ** 22;

/** Pairs of unit numbers, without an object for each. */
class Stretches {
  #pairs = new Float64Array(1024);
  #count = 0;

  get isFull(): boolean {
    return this.#count >= MOST_SPOILED;
  }

  add(first: number, end: number): void {
    if (end <= first || this.isFull) return;
    if (this.#count * 2 === this.#pairs.length) {
      const larger = new Float64Array(this.#pairs.length * 2);
      larger.set(this.#pairs);
      this.#pairs = larger;
    }
    this.#pairs[this.#count * 2] = first;
    this.#pairs[this.#count * 2 + 1] = end;
    this.#count += 1;
  }

  *all(): Generator<ProvedRun> {
    for (let at = 0; at < this.#count * 2; at += 2)
      yield { first: this.#pairs[at] ?? 0, end: this.#pairs[at + 1] ?? 0 };
  }

  clear(): void {
    this.#pairs = new Float64Array(0);
    this.#count = 0;
  }
}
