// One volume of a copy: its ends, what is used, what is known, and how unknown blocks are treated.

import { assert } from '../base/assert.js';
import { DIGEST_LENGTH, digestOfZeros } from '../base/digest.js';
import type { AllocationMap } from '../map/allocation-map.js';
import { type BlockMap, pageExtent, pageLength } from '../map/block-map.js';
import { clip, type Extent, extentEnd, intersect } from '../map/extent.js';
import type { Proof } from '../map/proof.js';
import { smallestUnit } from '../source/around.js';
import type { Source, Target } from '../source/types.js';
import type { Damage } from './damage.js';
import { type Keep, type RescueOrder, type Stretch, spared } from './stretch.js';
import type { Tally } from './tally.js';
import type { Task } from './task.js';
import { WINDOW_LENGTH } from './window.js';

export interface VolumeCopy {
  readonly name: string;
  /** The volume on either side, from its first byte. The target may be larger, never smaller. */
  readonly source: Source;
  readonly target: Target;
  readonly allocation: AllocationMap;
  /** Must read as zeros although nobody needs them: places of old signatures, files left out. Sorted, disjoint. */
  readonly wiped: readonly Extent[];
  /** Volume offsets that the commit writes: the armed parts of the target. */
  readonly held: readonly Extent[];
  readonly map: BlockMap;
  /** Counts this volume's bytes. */
  readonly tally: Tally;
  /** False: the map is new and knows nothing; it is not read. */
  readonly known: boolean;
  readonly unknown: Stretch['unknown'];
  /** Free space is discarded although nothing is known of it: a first copy. */
  readonly discardFree: boolean;
  /** The target holds all of it already, and that is known: nothing of it is looked at but what the commit writes. */
  readonly isUntouched?: boolean;
  /** Blocks that need not be read, because the source still holds there what it held when they were copied. */
  readonly proof?: Proof | undefined;
  /** What to do where the source cannot be read; missing: the first unreadable sector ends the run. */
  readonly rescue?: VolumeRescue | undefined;
}

export interface VolumeRescue {
  readonly keep: Keep;
  /** Filled while copying. */
  readonly damage: Damage;
  /** What the target held of a held block before the marker covered it; undefined where that is not known. */
  readonly former?: (block: Extent) => Promise<Buffer | undefined>;
}

/** A task and the page of the block map it belongs to; undefined for tasks that yield no digests. */
export interface WorkItem {
  readonly page: number | undefined;
  readonly task: Task;
}

/** Everything there is to do for a volume, in ascending order. */
export async function* workItems(volume: VolumeCopy, sink: Stretch['sink']): AsyncGenerator<WorkItem> {
  const { grid } = volume.map;
  assert(grid.blockSize <= WINDOW_LENGTH, 'a block fits into a window');
  let next = 0;
  for await (const { page, used } of usedPages(volume)) {
    if (volume.discardFree) yield* discards(volume, next, page);
    next = page + 1;
    const known = volume.known ? await volume.map.readPage(page) : undefined;
    const proved = known && volume.proof?.provedBlocks(page, used);
    const stretch = stretchOf(volume, { page, used, sink, known, proved, rescue: firstOrder(volume) });
    const { bytes, isSettled } = spared(stretch);
    volume.tally.add('done', bytes);
    volume.tally.add('skipped', bytes);
    if (!isSettled && !isKnownZero(stretch)) yield { page, task: { kind: 'stretch', stretch } };
  }
  const pages = Math.ceil(grid.size / pageLength(grid));
  if (volume.discardFree) yield* discards(volume, next, pages);
}

/** Pages that one task discards: 1 GiB at 64 KiB a block. A stop waits for no more than that, and workers share a long one. */
const DISCARD_PAGES = 64;

function* discards({ map: { grid } }: VolumeCopy, first: number, end: number): Generator<WorkItem> {
  for (let page = first; page < end; page += DISCARD_PAGES) {
    const offset = pageExtent(grid, page).offset;
    const length = extentEnd(pageExtent(grid, Math.min(page + DISCARD_PAGES, end) - 1)) - offset;
    yield { page: undefined, task: { kind: 'discard', extent: { offset, length } } };
  }
}

/** All of it is to be zeros, and is: a page file of many GiB that was left out before asks nothing of the workers. */
function isKnownZero({ extent, blockSize, used, wiped, held, known }: Stretch): boolean {
  const [only] = wiped;
  if (!known || used.length > 0 || held.length > 0 || only?.length !== extent.length) return false;
  if (extent.length % blockSize !== 0) return false;
  const zeros = digestOfZeros(blockSize);
  for (let at = 0; at < extent.length / blockSize; at += 1) {
    if (zeros.compare(known, at * DIGEST_LENGTH, (at + 1) * DIGEST_LENGTH) !== 0) return false;
  }
  return true;
}

function firstOrder({ source, rescue }: VolumeCopy): RescueOrder | undefined {
  if (!rescue) return undefined;
  return { pass: 'postpone', unit: smallestUnit(source), bad: [], keep: rescue.keep, until: Number.POSITIVE_INFINITY };
}

type StretchOptions = Pick<Stretch, 'used' | 'sink' | 'known' | 'proved' | 'rescue'> & { readonly page: number };

/** The whole page as one stretch. */
export function stretchOf(volume: VolumeCopy, { page, used, sink, known, proved, rescue }: StretchOptions): Stretch {
  const extent = pageExtent(volume.map.grid, page);
  return {
    extent,
    blockSize: volume.map.grid.blockSize,
    used,
    wiped: [...clip(volume.wiped, extent)],
    held: volume.held.flatMap((each) => intersect(each, extent) ?? []),
    known,
    unknown: volume.unknown,
    sink,
    discardFree: volume.discardFree,
    ...(proved && proved.length > 0 ? { proved } : {}),
    ...(rescue ? { rescue } : {}),
  };
}

/**
 * The pages that hold anything used, wiped or known, ascending, each with its used extents. Free stretches of a disk
 * cost nothing, however long they are: neither time nor memory.
 */
async function* usedPages(volume: VolumeCopy): AsyncGenerator<{ page: number; used: Extent[] }> {
  const { grid } = volume.map;
  const length = pageLength(grid);
  const others = mergeNumbers(wipedPages(volume), volume.known ? volume.map.knownPages(0) : nothing());
  let other = await others.next();
  let current: { page: number; used: Extent[] } | undefined;
  for await (const extent of volume.allocation.usedExtents({ offset: 0, length: grid.size })) {
    const last = Math.floor((extentEnd(extent) - 1) / length);
    for (let page = Math.floor(extent.offset / length); page <= last; page += 1) {
      if (current && current.page !== page) {
        yield current;
        current = undefined;
      }
      while (!other.done && other.value <= page) {
        if (other.value < page) yield { page: other.value, used: [] };
        other = await others.next();
      }
      current ??= { page, used: [] };
      const part = intersect(extent, pageExtent(grid, page));
      if (part) current.used.push(part);
    }
  }
  if (current) yield current;
  for (; !other.done; other = await others.next()) yield { page: other.value, used: [] };
}

function* wipedPages({ wiped, map: { grid } }: VolumeCopy): Generator<number> {
  for (const extent of wiped) {
    const last = Math.floor((extentEnd(extent) - 1) / pageLength(grid));
    for (let page = Math.floor(extent.offset / pageLength(grid)); page <= last; page += 1) yield page;
  }
}

async function* nothing(): AsyncGenerator<number> {}

/** Two ascending streams as one, each number once. */
async function* mergeNumbers(a: Iterable<number>, b: AsyncIterable<number>): AsyncGenerator<number> {
  const left = a[Symbol.iterator]();
  const right = b[Symbol.asyncIterator]();
  let x = left.next();
  let y = await right.next();
  let last = -1;
  while (!x.done || !y.done) {
    let value: number;
    if (!x.done && (y.done || x.value <= y.value)) {
      value = x.value;
      x = left.next();
    } else {
      value = y.value as number;
      y = await right.next();
    }
    if (value !== last) yield value;
    last = value;
  }
}
