// What of a volume is copied: the file system's own map where it can be trusted, every byte otherwise; without the
// files that are left out.
// Invariant: what no map vouches for is copied.

import { FormatError } from '../base/u64.js';
import { type Bytes, MiB } from '../base/units.js';
import { type ExcludedFile, OutOfReach } from '../filesystem/plugin.js';
import { type AllocationMap, everythingUsed, joinNeighbours, without } from '../map/allocation-map.js';
import { type Extent, normalise, totalLength } from '../map/extent.js';
import { isUnreadable } from '../source/around.js';
import type { Source } from '../source/types.js';
import type { VolumeReport } from './inspect.js';

/** Behind a file system's end RAID keeps its superblock: that much of the volume's end is copied too. */
const VOLUME_TAIL = MiB;

export interface Allocation {
  readonly map: AllocationMap;
  /** `allocated`: what the file system uses. `whole`: every byte. */
  readonly method: 'allocated' | 'whole';
  /** Why every byte is copied; empty for `allocated`. */
  readonly reason: string;
  /** True if that reason is worth a warning. */
  readonly damaged: boolean;
  /** Files whose content is left out. */
  readonly excluded: readonly ExcludedFile[];
  /** Their bytes, which the map has no more: they read as zeros on the target. Sorted, disjoint. */
  readonly wiped: readonly Extent[];
  /** Why files that might be left out are copied after all; empty if none are. */
  readonly notLeftOut: string;
}

export interface AllocationOptions {
  readonly forensic: boolean;
  readonly leaveOut: boolean;
}

/** Throws ToolError only if the volume cannot be read. */
export async function allocationOf(
  volume: Source,
  report: VolumeReport,
  { forensic, leaveOut }: AllocationOptions,
): Promise<Allocation> {
  const everything = whole(volume, 'every byte was asked for (--forensic)');
  if (!leaveOut || report.excludable.length === 0) return forensic ? everything : ownAllocation(volume, report);
  const own = await ownAllocation(volume, report);
  return withoutFiles(forensic ? everything : own, { own, report, volume });
}

function whole(volume: Source, reason: string, damaged = false): Allocation {
  const map = everythingUsed(volume.size);
  return { map, method: 'whole', reason, damaged, excluded: [], wiped: [], notLeftOut: '' };
}

async function ownAllocation(volume: Source, report: VolumeReport): Promise<Allocation> {
  const { plugin, filesystem } = report;
  if (!plugin || !filesystem) return whole(volume, report.unrecognised, report.isUnreadable);
  try {
    const map = await plugin.openAllocationMap(volume, filesystem);
    const tailed = withTail(map, { filesystemSize: filesystem.size, size: volume.size });
    if (volume.readAround) await usedBytes(tailed, volume.size); // all of it, before it is believed
    return {
      map: volume.readAround ? usedFromDamage(tailed) : tailed,
      method: 'allocated',
      reason: '',
      damaged: false,
      excluded: [],
      wiped: [],
      notLeftOut: '',
    };
  } catch (error) {
    if (volume.readAround && isUnreadable(error)) return whole(volume, 'its allocation map cannot be read', true);
    if (!(error instanceof FormatError)) throw error;
    if (error instanceof OutOfReach) return whole(volume, error.message);
    return whole(volume, `its allocation map contradicts itself (${error.message})`, true);
  }
}

/** Takes the files out of `all`, if the file system's own map agrees that these bytes are used, each by one of them. */
async function withoutFiles(
  all: Allocation,
  { own, report, volume }: { own: Allocation; report: VolumeReport; volume: Source },
): Promise<Allocation> {
  const extents = report.excludable.flatMap((file) => file.extents);
  const wiped = normalise(extents);
  if (own.method === 'whole') return { ...all, notLeftOut: 'its allocation map cannot be read' };
  const used = await usedBytes(own.map, volume.size);
  const left = await usedBytes(without(own.map, wiped), volume.size);
  if (used - left !== totalLength(extents)) {
    const paths = report.excludable.map(({ path }) => path).join(', ');
    return { ...all, notLeftOut: `its allocation map contradicts the place of ${paths}` };
  }
  return { ...all, map: without(all.map, wiped), wiped, excluded: report.excludable };
}

function withTail(map: AllocationMap, { filesystemSize, size }: { filesystemSize: Bytes; size: Bytes }): AllocationMap {
  if (filesystemSize >= size) return map;
  const tail = Math.max(filesystemSize, size - VOLUME_TAIL);
  return {
    blockSize: map.blockSize,
    usedExtents: (within) =>
      joinNeighbours(followedBy(map, { offset: tail, length: size - tail }, { within, filesystemSize }), within),
  };
}

/** A map that could be read while planning and fails while copying: from there on everything counts as used. */
function usedFromDamage(map: AllocationMap): AllocationMap {
  return {
    blockSize: map.blockSize,
    async *usedExtents(within) {
      let position = within.offset;
      try {
        for await (const extent of map.usedExtents(within)) {
          yield extent;
          position = extent.offset + extent.length;
        }
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        const length = within.offset + within.length - position;
        if (length > 0) yield { offset: position, length };
      }
    },
  };
}

async function* followedBy(
  map: AllocationMap,
  tail: Extent,
  { within, filesystemSize }: { within: Extent; filesystemSize: Bytes },
): AsyncGenerator<Extent> {
  const length = Math.min(within.offset + within.length, filesystemSize) - within.offset;
  if (length > 0) yield* map.usedExtents({ offset: within.offset, length });
  yield tail;
}

/** How many bytes are copied. One pass over the map. */
export async function usedBytes(map: AllocationMap, size: Bytes): Promise<Bytes> {
  let total = 0;
  for await (const { length } of map.usedExtents({ offset: 0, length: size })) total += length;
  return total;
}
