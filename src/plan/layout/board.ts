// A request as the planner works on it: partitions in the order of the disk, each with the sizes it may have.
// Invariant: least <= length <= most, all whole sectors of the target; what has a wanted size has just that one.

import { sizeAboveMaximum, sizeBelowMinimum, sizeBeyondPartition, sizeOfFixed } from '../../base/errors/layout.js';
import { noSuchPartition } from '../../base/errors/partition.js';
import type { Bytes } from '../../base/units.js';
import { ALIGNMENT, type Area, alignDown, alignUp, areaOf } from './area.js';
import type { LayoutPartition, LayoutRequest, WantedSize } from './types.js';

/** A partition that wants a place. */
export interface Item {
  readonly partition: LayoutPartition;
  /** On the source. */
  readonly start: Bytes;
  /** On the source, in whole sectors of the target. */
  readonly length: Bytes;
  readonly least: Bytes;
  readonly most: Bytes;
  /** `--size` names it. */
  readonly wanted: 'nothing' | 'size' | 'rest';
  /** What the record of a logical partition takes before it. */
  readonly record: Bytes;
  /** It may start on the target where it starts on the source, if nothing else is in the way. */
  readonly keepable: boolean;
}

export interface Board {
  readonly items: readonly Item[];
  readonly area: Area;
  /** Nothing may start before this: the start of the area, or what the source has before its first partition. */
  readonly lowest: Bytes;
}

/**
 * Throws `usage.no-such-partition`, `usage.size-below-minimum`, `usage.size-above-maximum`,
 * `usage.size-beyond-partition` and `usage.size-of-fixed` for wanted sizes that cannot be.
 */
export function boardOf(request: LayoutRequest): Board {
  const { partitions, containers, sizes, firstStart } = request;
  const numbers = partitions.map(({ number }) => number);
  for (const number of sizes.keys()) if (!numbers.includes(number)) throw noSuchPartition(number, numbers);
  const area = areaOf(request);
  const starts = [...partitions.map(({ extent }) => extent), ...containers].map(({ offset }) => offset);
  if (firstStart !== undefined) starts.push(firstStart);
  return {
    items: [...partitions]
      .sort((a, b) => a.extent.offset - b.extent.offset)
      .map((partition) => toItem(partition, request, area)),
    area,
    lowest: Math.max(area.start, starts.length > 0 ? Math.min(...starts) : 0),
  };
}

function toItem(partition: LayoutPartition, { table, target, sizes }: LayoutRequest, area: Area): Item {
  const { extent, fixed, minimum, growable, maximum, role } = partition;
  const { sectorSize } = target;
  const length = alignUp(extent.length, sectorSize);
  const least = fixed ? length : Math.max(sectorSize, Math.min(length, alignUp(minimum, sectorSize)));
  const limit = alignDown(maximum ?? Number.MAX_SAFE_INTEGER, sectorSize);
  const most = fixed || !growable ? length : Math.max(length, limit);
  const wanted = sizes.get(partition.number);
  return {
    partition,
    start: extent.offset,
    length,
    ...range(partition, { least, length, most }, wanted),
    wanted: wanted === undefined ? 'nothing' : wanted === 'rest' ? 'rest' : 'size',
    record: table === 'mbr' && role === 'logical' ? sectorSize : 0,
    keepable: extent.offset % sectorSize === 0 && extent.offset >= area.start,
  };
}

function range(
  partition: LayoutPartition,
  { least, length, most }: { least: Bytes; length: Bytes; most: Bytes },
  wanted: WantedSize | undefined,
): { least: Bytes; most: Bytes } {
  const { number, fixed, extent, growable } = partition;
  if (wanted === undefined) return { least, most };
  if (wanted === 'min') return { least, most: least };
  if (wanted === extent.length || wanted === length) return { least: length, most: length };
  if (fixed) throw sizeOfFixed(number, fixed, extent.length);
  if (wanted === 'rest') {
    if (!growable) throw sizeBeyondPartition(number, extent.length);
    return { least, most };
  }
  const maximum = growable ? Math.max(length, partition.maximum ?? most) : length;
  if (wanted < Math.min(partition.minimum, least)) throw sizeBelowMinimum(number, { wanted, minimum: least });
  if (wanted > maximum) {
    throw growable ? sizeAboveMaximum(number, { wanted, maximum: most }) : sizeBeyondPartition(number, extent.length);
  }
  const size = Math.min(alignUp(wanted, ALIGNMENT), most);
  return { least: size, most: size };
}
