// Opens what a user named: a whole disk, or one partition of it.
// Invariant: both ends are claimed for the whole run, the partition's own node where the kernel has one, else the disk.

import { accessSync, closeSync, constants, existsSync, ftruncateSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { cannotOpen, noFolder } from '../base/errors/device.js';
import { noSuchPartition } from '../base/errors/partition.js';
import { noTable } from '../base/errors/usage.js';
import type { ToolError } from '../base/tool-error.js';
import type { Bytes } from '../base/units.js';
import { blockDeviceAt, type DiskIdentity, identify } from '../device/identity.js';
import { blockDevice, partitionsOf } from '../device/sysfs.js';
import type { Extent } from '../map/extent.js';
import { readTable } from '../partition/read.js';
import { aroundHoles } from '../source/around.js';
import { checkedSource } from '../source/checked.js';
import { type DiskTarget, openDiskSource, openDiskTarget } from '../source/disk.js';
import { sliceSource, sliceTarget } from '../source/slice.js';
import type { Source } from '../source/types.js';
import { syncFolder } from '../state/folder.js';
import { formatLocation, type Location } from './location.js';

/** What a location means, before anything is opened for long. */
export interface Place {
  readonly location: Location;
  readonly name: string;
  readonly scope: 'disk' | 'volume';
  /** The path to open: the disk, the file, or the partition's own node. */
  readonly path: string;
  /** The part of `path` that is meant; undefined means all of it. */
  readonly extent: Extent | undefined;
  /** Where the volume begins on its disk; 0 for disks. */
  readonly offsetOnDisk: Bytes;
  /** In which the table counts that names the volume: a raw file has no other sectors. Undefined without such a table. */
  readonly tableSectorSize?: Bytes;
}

export interface SourceEnd {
  readonly place: Place;
  readonly identity: DiskIdentity;
  readonly medium: Source;
  /** What is read next comes from the medium, not from the page cache; missing where there is none. */
  readonly dropCache?: () => void;
  close(): Promise<void>;
}

export interface TargetEnd {
  readonly place: Place;
  readonly identity: DiskIdentity;
  readonly medium: DiskTarget;
  close(): Promise<void>;
}

/** Finds out what is meant. Reads the partition table for "#N". Throws ToolError if it is not there. */
export async function resolve(location: Location): Promise<Place> {
  const { path, partition } = location;
  const name = formatLocation(location);
  if (!existsSync(path)) throw missing(path);
  const device = blockDeviceAt(path);
  if (partition === undefined) {
    const scope = device && device.partition > 0 ? 'volume' : 'disk';
    return { location, name, scope, path, extent: undefined, offsetOnDisk: device?.start ?? 0 };
  }
  const { extent, tableSectorSize } = await partitionExtent(path, partition);
  const node = device && partitionsOf(device).find((each) => each.partition === partition);
  // The kernel may still know an older table, in which the number means other bytes.
  const current = node?.start === extent.offset && node.size === extent.length;
  const base = { location, name, scope: 'volume', offsetOnDisk: extent.offset, tableSectorSize } as const;
  return current && existsSync(node.path) ? { ...base, path: node.path, extent: undefined } : { ...base, path, extent };
}

function missing(path: string): ToolError {
  return cannotOpen(path, Object.assign(new Error('no such file'), { code: 'ENOENT' }));
}

async function partitionExtent(path: string, number: number): Promise<{ extent: Extent; tableSectorSize: Bytes }> {
  const disk = aroundHoles(openDiskSource(path));
  try {
    const table = await readTable(disk);
    if (!table) throw noTable(path, number);
    const found = table.partitions.find((partition) => partition.number === number);
    if (!found)
      throw noSuchPartition(
        number,
        table.partitions.map((partition) => partition.number),
      );
    return { extent: found.extent, tableSectorSize: table.sectorSize };
  } finally {
    await disk.close();
  }
}

/** How large the medium at `path` seems before it is opened; 0 if there is none. */
export function expectedSize(path: string): Bytes {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats?.isBlockDevice() ? (blockDeviceAt(path)?.size ?? 0) : (stats?.size ?? 0);
}

/** The sectors that file systems at this end count in; undefined for raw files without a table. */
export function sectorSizeOf({ place, medium }: SourceEnd | TargetEnd): Bytes | undefined {
  return medium.sectorSize ?? place.tableSectorSize;
}

/** The whole disk's size, which its identity includes, whatever part of it is meant. */
function diskSize(path: string, medium: Source): Bytes {
  const device = blockDeviceAt(path);
  return (device && blockDevice(device.disk)?.size) || medium.size;
}

/** Opens and claims a source; `shared`: without a claim, because it stays in use. Read-only, always. */
export function openSourceEnd(place: Place, { shared = false }: { shared?: boolean } = {}): SourceEnd {
  const whole = openDiskSource(place.path, { exclusive: !shared });
  const medium = place.extent ? sliceSource(whole, place.extent, place.name) : whole;
  const identity = identify(place.path, diskSize(place.path, whole));
  return { place, identity, medium, dropCache: () => whole.dropCache(), close: () => whole.close() };
}

/** Opens and claims a target. Nothing is written. */
export function openTargetEnd(place: Place): TargetEnd {
  const whole = openDiskTarget(place.path, { exclusive: true });
  const slice = place.extent ? sliceTarget(whole, place.extent, place.name) : whole;
  const identity = identify(place.path, diskSize(place.path, whole));
  return {
    place,
    identity,
    medium: { ...slice, dropCache: () => whole.dropCache(), rereadTable: () => whole.rereadTable() },
    close: () => whole.close(),
  };
}

/** Opens a target for looking only: for --dry-run, and for verify. */
export function openTargetToRead(place: Place): SourceEnd {
  const whole = openDiskSource(place.path);
  const medium = place.extent ? sliceSource(whole, place.extent, place.name) : whole;
  return { place, identity: identify(place.path, diskSize(place.path, whole)), medium, close: () => whole.close() };
}

/** Stands for a target file that does not exist yet: all zeros, `size` bytes. */
export function absentFile(path: string, size: Bytes): SourceEnd {
  const medium = checkedSource({
    name: path,
    size,
    sectorSize: undefined,
    spec: undefined,
    async read(into) {
      into.fill(0);
    },
    async *extents(within) {
      yield { ...within, kind: 'zero' };
    },
    async close() {},
  });
  const place: Place = {
    location: { path, partition: undefined },
    name: path,
    scope: 'disk',
    path,
    extent: undefined,
    offsetOnDisk: 0,
  };
  const identity: DiskIdentity = {
    kind: 'file',
    path,
    id: path,
    model: 'new raw image file',
    size,
    key: '',
    volatileName: false,
  };
  return { place, identity, medium, close: async () => {} };
}

/** Makes a sparse file; refuses to touch one that is there. */
export function createTargetFile(path: string, size: Bytes): void {
  try {
    const fd = openSync(path, 'wx', 0o600);
    try {
      ftruncateSync(fd, size);
    } finally {
      closeSync(fd);
    }
    syncFolder(dirname(path)); // the name is as durable as what will be written under it
  } catch (cause) {
    throw cannotOpen(path, cause);
  }
}

/** Throws unless a new file can be made at `path`. Devices are never made. */
export function refuseUnmakeable(path: string): void {
  if (path.startsWith('/dev/') && !path.startsWith('/dev/shm/')) throw missing(path);
  const folder = dirname(path);
  if (!existsSync(folder)) throw noFolder(path, folder);
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw cannotOpen(path, cause);
  }
}
