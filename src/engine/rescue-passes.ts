// The passes after the first: windows that could not be read are gone over down to their sectors, then what is still bad
// is tried again. They are work items like all others, and the one copy loop runs them.
// Invariant: a late item touches only blocks that an earlier pass left open; the digests of all others stay.

import { DIGEST_LENGTH } from '../base/digest.js';
import { pageExtent } from '../map/block-map.js';
import { type Extent, gaps, intersect, normalise, widen } from '../map/extent.js';
import { smallestUnit } from '../source/around.js';
import type { DamagedPage } from './damage.js';
import { classify, HELD, type RescueOrder, type Stretch } from './stretch.js';
import { stretchOf, type VolumeCopy, type WorkItem } from './volume-copy.js';

export interface RescueOptions {
  /** Passes over what is still bad after the one that halves. */
  readonly retries: number;
  /** For all passes after the first together. */
  readonly seconds: number;
  /** Told of every pass after the first. */
  readonly onPass?: (pass: RescuePass) => void;
}

export interface RescuePass {
  readonly kind: 'split' | 'again';
  /** 1 for the first of its kind. */
  readonly number: number;
  /** Bytes it goes over at most. */
  readonly bytes: number;
}

export interface VolumeItem {
  readonly volume: VolumeCopy;
  readonly item: WorkItem;
}

/** Each pass is made when the one before has ended. Time that is up ends them, but never before each block has its fate. */
export function* rescuePasses(
  volumes: readonly VolumeCopy[],
  { retries, seconds, onPass }: RescueOptions,
): Generator<AsyncGenerator<VolumeItem>> {
  const until = Date.now() + seconds * 1000;
  for (let number = 0; number <= retries; number += 1) {
    const kind = number === 0 ? 'split' : 'again';
    if (kind === 'again' && Date.now() >= until) return;
    const bytes = volumes.reduce((sum, volume) => sum + bytesLeft(volume, kind), 0);
    if (bytes === 0) continue;
    onPass?.({ kind, number: Math.max(1, number), bytes });
    yield items(volumes, kind, until);
  }
}

function left({ postponed, holes }: DamagedPage, kind: RescuePass['kind']): readonly Extent[] {
  return kind === 'split' ? postponed : holes.filter(({ tried }) => tried);
}

function bytesLeft({ rescue }: VolumeCopy, kind: RescuePass['kind']): number {
  const extents = rescue?.damage.pages().flatMap(([, page]) => left(page, kind)) ?? [];
  return extents.reduce((sum, { length }) => sum + length, 0);
}

async function* items(
  volumes: readonly VolumeCopy[],
  kind: RescuePass['kind'],
  until: number,
): AsyncGenerator<VolumeItem> {
  for (const volume of volumes) {
    for (const [page, damaged] of volume.rescue?.damage.pages() ?? []) {
      const extents = left(damaged, kind);
      if (extents.length > 0) yield { volume, item: await lateItem(volume, page, { extents, kind, until, damaged }) };
    }
  }
}

async function lateItem(
  volume: VolumeCopy,
  page: number,
  {
    extents,
    kind,
    until,
    damaged,
  }: { extents: readonly Extent[]; kind: RescuePass['kind']; until: number; damaged: DamagedPage },
): Promise<WorkItem> {
  const { grid } = volume.map;
  const whole = pageExtent(grid, page);
  const blocks = normalise(extents.map((extent) => widen(extent, { unit: grid.blockSize, limit: grid.size })));
  const used: Extent[] = [];
  for (const block of blocks) for await (const part of volume.allocation.usedExtents(block)) used.push(part);
  const rescue: RescueOrder = {
    pass: kind,
    unit: smallestUnit(volume.source),
    bad: kind === 'again' ? normalise(damaged.holes) : [],
    keep: volume.rescue?.keep ?? 'nothing',
    until,
  };
  const known = await volume.map.readPage(page);
  const all = stretchOf(volume, { page, used: normalise(used), sink: 'write', known, rescue });
  const stretch: Stretch = { ...all, held: normalise([...all.held, ...gaps(blocks, whole)]), discardFree: false };
  return { page, task: { kind: 'stretch', stretch } };
}

/** The digests of a late item's page: those of its own blocks are new, those that the commit writes are void. */
export function mergedDigests({ held }: VolumeCopy, stretch: Stretch, digests: Uint8Array): Uint8Array {
  const merged = Buffer.from(stretch.known ?? new Uint8Array(digests.length));
  const own = classify(stretch);
  const committed = held.flatMap((each) => intersect(each, stretch.extent) ?? []);
  const others = classify({ ...stretch, used: [], wiped: [], held: committed });
  for (let block = 0; block < own.length; block += 1) {
    const at = block * DIGEST_LENGTH;
    if (others[block] === HELD) merged.fill(0, at, at + DIGEST_LENGTH);
    else if (own[block] !== HELD) merged.set(digests.subarray(at, at + DIGEST_LENGTH), at);
  }
  return merged;
}
