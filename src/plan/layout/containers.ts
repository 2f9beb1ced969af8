// The extended partitions of an MBR on the target. Invariant: one holds all its logical partitions and a sector before
// the first of them, and nothing else lies in it; one in which nothing changed stays as it is.

import { assert } from '../../base/assert.js';
import type { Bytes } from '../../base/units.js';
import { type Extent, extentEnd, overlaps } from '../../map/extent.js';
import { ALIGNMENT, alignDown } from './area.js';
import type { LayoutRequest, PlacedContainer, Placement } from './types.js';

/** `placements` are those of all partitions of the request, in the order of the disk; `areaEnd` is that of the area. */
export function placeContainers(
  { table, containers, partitions, target: { sectorSize } }: LayoutRequest,
  { placements, areaEnd }: { placements: readonly Placement[]; areaEnd: Bytes },
): PlacedContainer[] {
  if (table === 'gpt') return [];
  const logicals = partitions.filter(({ role }) => role === 'logical');
  const placed: PlacedContainer[] = [];
  let found = 0;
  // From the last one on: where the next one starts is where this one must have ended.
  for (const source of [...containers].sort((a, b) => b.offset - a.offset)) {
    const numbers = logicals.filter(({ extent }) => overlaps(extent, source)).map(({ number }) => number);
    const inside = placements.filter(({ number }) => numbers.includes(number));
    const [first] = inside;
    const last = inside.at(-1);
    if (!first || !last) continue;
    found += inside.length;
    const before = placements[placements.indexOf(first) - 1];
    const after = placements[placements.indexOf(last) + 1];
    const limits = {
      start: before ? extentEnd(before.extent) : sectorSize,
      end: Math.min(areaEnd, after?.extent.offset ?? areaEnd, placed[0]?.extent.offset ?? areaEnd),
    };
    placed.unshift({ source, extent: containerFor(source, { inside, first, last, limits, sectorSize }) });
  }
  assert(found === logicals.length, 'a logical partition lies in no extended partition');
  return placed;
}

interface Room {
  /** Not empty; `first` and `last` are its ends. */
  readonly inside: readonly Placement[];
  readonly first: Placement;
  readonly last: Placement;
  readonly limits: { readonly start: Bytes; readonly end: Bytes };
  readonly sectorSize: Bytes;
}

function containerFor(source: Extent, room: Room): Extent {
  const { inside, first, last, limits, sectorSize } = room;
  const stays = !first.moved && source.offset % sectorSize === 0 && source.offset >= limits.start;
  const offset = stays ? source.offset : recordBefore(first.extent.offset, room);
  const unchanged = stays && inside.every(({ moved, size }) => !moved && size === 'same');
  const former = alignDown(Math.min(extentEnd(source), limits.end), sectorSize);
  const end = unchanged ? Math.max(former, extentEnd(last.extent)) : extentEnd(last.extent);
  return { offset, length: end - offset };
}

/** 1 MiB before where there is room, as other tools do, else the sector right before. */
function recordBefore(start: Bytes, { limits, sectorSize }: Room): Bytes {
  const usual = start - ALIGNMENT;
  return usual >= limits.start && usual % ALIGNMENT === 0 ? usual : start - sectorSize;
}
