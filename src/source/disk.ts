// Raw image files and block devices as Source and Target.
// Invariant: a source is opened O_RDONLY, whatever the caller holds.

import { cannotWrite } from '../base/errors/device.js';
import { errnoOf } from '../base/tool-error.js';
import { MiB } from '../base/units.js';
import { type Extent, extentEnd } from '../map/extent.js';
import {
  blockDiscard,
  blockZeroOut,
  flushDeviceCache,
  punchHole,
  rereadPartitionTable,
  seekData,
  seekHole,
  zeroRange,
} from '../native/syscalls.js';
import { checked, checkedSource } from './checked.js';
import { Medium, wholeSectors } from './medium.js';
import type { SeenMedium, Source, SourceExtent, Target } from './types.js';

export interface OpenOptions {
  /** Nobody else may use the medium meanwhile: O_EXCL on devices, a lock on files. Default false. */
  readonly exclusive?: boolean;
  /** False goes through the page cache. Default true. */
  readonly direct?: boolean;
  /** Refuse unless the path still means this medium. */
  readonly seen?: SeenMedium | undefined;
}

/** A source that is a medium of its own. */
export interface DiskSource extends Source {
  /** What is read next comes from the medium, not from the page cache. */
  dropCache(): void;
}

/** Opens `path` for reading. Throws ToolError: not there, not a disk, in use. */
export function openDiskSource(path: string, options: OpenOptions = {}): DiskSource {
  const medium = new Medium(path, {
    write: false,
    exclusive: options.exclusive ?? false,
    direct: options.direct ?? true,
    seen: options.seen,
  });
  return { ...checkedSource(reading(medium)), dropCache: () => medium.dropCache() };
}

/** A target that is a medium of its own. */
export interface DiskTarget extends Target {
  /** What is read next comes from the medium, not from the page cache. */
  dropCache(): void;
  /** Makes the kernel look at the partition table again. Returns why it did not: `EBUSY`, or undefined. */
  rereadTable(): string | undefined;
}

/** Opens `path` for writing; its content stays as it is until the first write. */
export function openDiskTarget(path: string, options: OpenOptions = {}): DiskTarget {
  const medium = new Medium(path, {
    write: true,
    exclusive: options.exclusive ?? false,
    direct: options.direct ?? true,
    seen: options.seen,
  });
  const target = checked({
    ...reading(medium),
    async write(from, offset) {
      medium.write(from, offset);
    },
    zero: (extent) => zeroExtent(medium, extent),
    async discard(extent) {
      discardExtent(medium, extent);
    },
    flush: () => medium.flush(),
  });
  return { ...target, dropCache: () => medium.dropCache(), rereadTable: () => rereadTable(medium) };
}

/** Devices that cannot have partitions (loop devices without scanning) answer EINVAL: nothing to do there. */
function rereadTable(medium: Medium): string | undefined {
  if (!medium.isDevice) return undefined;
  try {
    flushDeviceCache(medium.fd);
    rereadPartitionTable(medium.fd);
    return undefined;
  } catch (cause) {
    const errno = errnoOf(cause);
    return errno === 'EINVAL' || errno === 'ENOTTY' ? undefined : (errno ?? 'unknown error');
  }
}

function reading(medium: Medium): Source {
  return {
    name: medium.path,
    size: medium.size,
    sectorSize: medium.sectorSize,
    spec: {
      kind: medium.isDevice ? 'device' : 'file',
      path: medium.path,
      seen: { node: medium.node, size: medium.size },
    },
    async read(into, offset) {
      medium.read(into, offset);
    },
    extents: medium.isDevice ? undefined : (within) => fileExtents(medium, within),
    async close() {
      medium.close();
    },
  };
}

/** SEEK_HOLE says "reads as zeros", never "not allocated by the file system inside". */
async function* fileExtents(medium: Medium, within: Extent): AsyncGenerator<SourceExtent> {
  medium.settle();
  const end = extentEnd(within);
  let position = within.offset;
  while (position < end) {
    const data = Math.min(seekData(medium.fd, position) ?? end, end);
    if (data === end) medium.refuseShrunk();
    if (data > position) yield { offset: position, length: data - position, kind: 'zero' };
    if (data >= end) return;
    const hole = Math.min(seekHole(medium.fd, data) ?? end, end);
    yield { offset: data, length: hole - data, kind: 'data' };
    position = hole;
  }
}

const NOT_SUPPORTED = new Set(['EOPNOTSUPP', 'ENOTSUP', 'EINVAL', 'ENOSYS', 'ENOTTY']);

function supported(action: () => void): boolean {
  try {
    action();
    return true;
  } catch (cause) {
    if (NOT_SUPPORTED.has(errnoOf(cause) ?? '')) return false;
    throw cause;
  }
}

async function zeroExtent(medium: Medium, extent: Extent): Promise<void> {
  try {
    if (medium.isDevice) {
      if (supported(() => blockZeroOut(medium.fd, extent))) return;
    } else if (supported(() => punchHole(medium.fd, extent)) || supported(() => zeroRange(medium.fd, extent))) {
      return;
    }
  } catch (cause) {
    throw cannotWrite(medium.path, extent.offset, extent.length, cause);
  }
  const zeros = Buffer.alloc(Math.min(extent.length, MiB));
  for (let done = 0; done < extent.length; done += zeros.length) {
    medium.write(zeros.subarray(0, Math.min(zeros.length, extent.length - done)), extent.offset + done);
  }
}

function discardExtent(medium: Medium, extent: Extent): void {
  try {
    if (medium.isDevice) {
      const sectors = wholeSectors(extent, medium.sectorSize ?? 512);
      if (sectors.length > 0) supported(() => blockDiscard(medium.fd, sectors));
    } else {
      supported(() => punchHole(medium.fd, extent));
    }
  } catch (cause) {
    throw cannotWrite(medium.path, extent.offset, extent.length, cause);
  }
}
