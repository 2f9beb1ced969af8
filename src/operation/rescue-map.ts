// The mapfile of a rescue: every byte of the source disk, and whether it was wanted, read, or bad.
// Memory grows with the damage, never with the disk: the allocation maps are read once more.

import type { PlacedVolume } from '../engine/commit.js';
import type { Damage } from '../engine/damage.js';
import type { AllocationMap } from '../map/allocation-map.js';
import { type Grid, pageLength } from '../map/block-map.js';
import { type Extent, extentEnd, gaps, intersect, normalise } from '../map/extent.js';
import { structures } from '../partition/layout.js';
import type { MapExtent } from '../state/mapfile.js';
import type { PreparedClone } from './clone-types.js';

/** A stretch of the source that is described as a whole. */
interface Area {
  readonly offset: number;
  extents(): AsyncIterable<MapExtent>;
}

/** Offsets are those of the source disk, also where only a partition was cloned. Ascending. */
export async function* rescueMap(prepared: PreparedClone, placed: readonly PlacedVolume[]): AsyncGenerator<MapExtent> {
  const { source, layout } = prepared;
  const base = source.place.offsetOnDisk;
  const volumes = layout.volumes.map(({ sourceExtent, allocation }, index): Area => {
    const { map, rescue } = placed[index]?.volume ?? {};
    const extents = async function* (): AsyncGenerator<MapExtent> {
      if (map && rescue) yield* ofVolume(allocation.map, map.grid, rescue.damage);
    };
    return { offset: sourceExtent.offset, extents };
  });
  for (const { offset, extents } of [...volumes, ...ofSurroundings(prepared)].sort((a, b) => a.offset - b.offset)) {
    for await (const extent of extents()) yield { ...extent, offset: base + offset + extent.offset };
  }
}

async function* ofVolume(allocation: AllocationMap, grid: Grid, damage: Damage): AsyncGenerator<MapExtent> {
  const bad: MapExtent[] = [
    ...damage.holes().map(({ offset, length, tried }) => ({ offset, length, status: tried ? '-' : '*' }) as const),
    ...damage.postponed().map(({ offset, length }) => ({ offset, length, status: '*' }) as const),
  ].sort((a, b) => a.offset - b.offset);
  let next = 0;
  for await (const used of allocation.usedExtents({ offset: 0, length: grid.size })) {
    const inside: MapExtent[] = [];
    for (; next < bad.length; next += 1) {
      const each = bad[next];
      if (!each || each.offset >= extentEnd(used)) break;
      const part = intersect(each, used);
      if (part) inside.push({ ...each, ...part });
      if (extentEnd(each) > extentEnd(used)) break; // it goes on in the next used extent
    }
    const read = [...gaps(inside, used)].flatMap((extent) => [...byPage(extent, grid, damage)]);
    yield* [...inside, ...read].sort((a, b) => a.offset - b.offset);
  }
}

/** Read, as far as the first pass came. */
function* byPage(extent: Extent, grid: Grid, damage: Damage): Generator<MapExtent> {
  const length = pageLength(grid);
  for (let { offset } = extent; offset < extentEnd(extent); ) {
    const page = Math.floor(offset / length);
    const end = Math.min((page + 1) * length, extentEnd(extent));
    yield { offset, length: end - offset, status: damage.isSeen(page) ? '+' : '?' };
    offset = end;
  }
}

function ofSurroundings({ sourceReport, source, layout }: PreparedClone): Area[] {
  const holes = normalise([...layout.tableHoles, ...layout.pieces.flatMap(({ holes: each }) => each)]);
  const tables = sourceReport.table ? structures(sourceReport.table) : [];
  const whole = { offset: 0, length: source.medium.size };
  const read = normalise([...tables, ...layout.pieces.flatMap(({ travelling }) => travelling)]);
  return read
    .flatMap((extent) => intersect(extent, whole) ?? [])
    .map(({ offset, length }): Area => {
      const within = { offset, length };
      const bad = holes.flatMap((hole) => intersect(hole, within) ?? []);
      const all = [
        ...bad.map((each) => ({ ...each, status: '-' as const })),
        ...[...gaps(bad, within)].map((each) => ({ ...each, status: '+' as const })),
      ].sort((a, b) => a.offset - b.offset);
      return {
        offset,
        async *extents() {
          for (const each of all) yield { ...each, offset: each.offset - offset };
        },
      };
    });
}
