// A block device or a regular file, read and written past the page cache where the kernel allows it.
// Invariant: no read-modify-write. What direct I/O cannot address exactly goes through the page cache, byte by byte,
// because two workers may write the two halves of one page.

import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  type Stats,
  writeSync,
} from 'node:fs';
import { promisify } from 'node:util';
import {
  cannotFlush,
  cannotOpen,
  cannotRead,
  cannotWrite,
  mediumReplaced,
  notADisk,
  readPastEnd,
} from '../base/errors/device.js';
import { inUseByAnother } from '../base/errors/safety.js';
import { errnoOf } from '../base/tool-error.js';
import { type Bytes, MiB } from '../base/units.js';
import type { Extent } from '../map/extent.js';
import { allocateAligned, isAligned } from '../native/aligned.js';
import { deviceGeometry, directIoAlignment, dropCache, tryLock } from '../native/syscalls.js';
import type { SeenMedium } from './types.js';

const BOUNCE_LENGTH = MiB;
const fdatasyncLater = promisify(fdatasync);

export interface MediumOptions {
  readonly write: boolean;
  /** O_EXCL on block devices (no mount, no other exclusive opener); a lock on files (shared to read, exclusive to write). */
  readonly exclusive: boolean;
  /** False reads and writes through the page cache only. Default true. */
  readonly direct?: boolean;
  /** What the path must still mean, and how large the medium was then. */
  readonly seen?: SeenMedium | undefined;
}

/** An open medium. Offsets and lengths were checked by the choke point. */
export class Medium {
  readonly path: string;
  readonly isDevice: boolean;
  readonly size: Bytes;
  /** Tells it from every other medium that the path may come to mean. */
  readonly node: string;
  readonly sectorSize: Bytes | undefined;
  readonly physicalSectorSize: Bytes | undefined;
  /** For ioctl and fallocate; direct if the kernel allows it. */
  readonly fd: number;
  readonly #writable: boolean;
  /** Direct I/O must be aligned to this; 0 if there is none. */
  readonly #directUnit: Bytes;
  #bufferedFd: number | undefined;
  #bounce: Buffer | undefined;
  #settled = false;

  constructor(path: string, options: MediumOptions) {
    const stats = statOf(path, options);
    this.path = path;
    this.isDevice = stats.isBlockDevice();
    this.#writable = options.write;
    const opened = openMedium(path, { ...options, isDevice: this.isDevice });
    this.fd = opened.fd;
    try {
      this.node = nodeOf(fstatSync(this.fd));
      if (options.seen && options.seen.node !== this.node) throw mediumReplaced(path);
      if (this.isDevice) {
        const geometry = deviceGeometry(this.fd);
        this.size = options.seen?.size ?? geometry.size;
        this.sectorSize = geometry.logicalSectorSize;
        this.physicalSectorSize = geometry.physicalSectorSize;
        this.#directUnit = opened.direct ? geometry.logicalSectorSize : 0;
      } else {
        this.size = options.seen?.size ?? fstatSync(this.fd).size;
        this.sectorSize = undefined;
        this.physicalSectorSize = undefined;
        this.#directUnit = opened.direct ? fileDirectUnit(this.fd) : 0;
        if (options.exclusive && !tryLock(this.fd, { exclusive: options.write })) throw inUseByAnother(path);
      }
      if (this.#directUnit === 0) this.#bufferedFd = this.fd;
    } catch (cause) {
      closeSync(this.fd);
      throw cause;
    }
  }

  read(into: Buffer, offset: Bytes): void {
    if (this.#isDirect(into, offset)) {
      this.#readAll(this.fd, into, offset);
    } else {
      this.#readBounced(into, offset);
    }
  }

  write(from: Buffer, offset: Bytes): void {
    if (this.#isDirect(from, offset)) {
      this.#writeAll(this.fd, from, offset);
      return;
    }
    const unit = this.#directUnit;
    if (unit === 0 || offset % unit !== 0 || from.length % unit !== 0) {
      this.#writeAll(this.#buffered(), from, offset);
      return;
    }
    // Well-aligned on the medium, but in ordinary memory: through the bounce buffer, still past the cache.
    const bounce = this.#bounceBuffer();
    for (let done = 0; done < from.length; done += bounce.length) {
      const part = bounce.subarray(0, Math.min(bounce.length, from.length - done));
      from.copy(part, 0, done);
      this.#writeAll(this.fd, part, offset + done);
    }
  }

  /** Not in the way of this thread: a slow disk takes seconds. */
  async flush(): Promise<void> {
    try {
      await fdatasyncLater(this.fd);
    } catch (cause) {
      throw cannotFlush(this.path, cause);
    }
  }

  /** Delayed writes of others become durable, so that SEEK_DATA sees them. Once: a source does not change after that. */
  settle(): void {
    if (this.#settled) return;
    fsyncSync(this.fd);
    this.#settled = true;
  }

  /** Throws if the file has become shorter: what is missing reads as no data, but it is not zeros. */
  refuseShrunk(): void {
    const { size } = fstatSync(this.fd);
    if (size < this.size) throw readPastEnd(this.path, size, this.size - size);
  }

  /** What is read next comes from the medium, not from the page cache. */
  dropCache(): void {
    dropCache(this.fd, { offset: 0, length: this.size });
  }

  close(): void {
    if (this.#bufferedFd !== undefined && this.#bufferedFd !== this.fd) closeSync(this.#bufferedFd);
    closeSync(this.fd);
  }

  #isDirect(bytes: Buffer, offset: Bytes): boolean {
    const unit = this.#directUnit;
    return unit > 0 && offset % unit === 0 && bytes.length % unit === 0 && isAligned(bytes, unit);
  }

  /** Reads whole units around the wanted bytes into aligned memory; a file's ragged end comes from the page cache. */
  #readBounced(into: Buffer, offset: Bytes): void {
    const unit = this.#directUnit;
    if (unit === 0) {
      this.#readAll(this.fd, into, offset);
      return;
    }
    const bounce = this.#bounceBuffer();
    for (let done = 0; done < into.length; ) {
      const position = offset + done;
      const start = Math.floor(position / unit) * unit;
      const wanted = Math.min(bounce.length, Math.ceil((offset + into.length - start) / unit) * unit);
      if (start + wanted > this.size) {
        this.#readAll(this.#buffered(), into.subarray(done), position);
        return;
      }
      this.#readAll(this.fd, bounce.subarray(0, wanted), start);
      done += bounce.copy(into, done, position - start, wanted);
    }
  }

  #readAll(fd: number, into: Buffer, offset: Bytes): void {
    let done = 0;
    while (done < into.length) {
      let got: number;
      try {
        got = readSync(fd, into, done, into.length - done, offset + done);
      } catch (cause) {
        throw cannotRead(this.path, offset + done, into.length - done, cause);
      }
      if (got === 0) throw readPastEnd(this.path, offset + done, into.length - done);
      done += got;
    }
  }

  #writeAll(fd: number, from: Buffer, offset: Bytes): void {
    let done = 0;
    while (done < from.length) {
      try {
        done += writeSync(fd, from, done, from.length - done, offset + done);
      } catch (cause) {
        throw cannotWrite(this.path, offset + done, from.length - done, cause);
      }
    }
  }

  #buffered(): number {
    if (this.#bufferedFd === undefined) {
      try {
        // The very medium that is open, whatever its path means by now.
        const again = `/proc/self/fd/${this.fd}`;
        this.#bufferedFd = openSync(again, this.#writable ? constants.O_RDWR : constants.O_RDONLY);
      } catch (cause) {
        throw cannotOpen(this.path, cause);
      }
    }
    return this.#bufferedFd;
  }

  #bounceBuffer(): Buffer {
    this.#bounce ??= allocateAligned(BOUNCE_LENGTH);
    return this.#bounce;
  }
}

/** Bytes of an extent shrunk inwards to whole sectors: discarding must never touch a neighbour. */
export function wholeSectors(extent: Extent, sectorSize: Bytes): Extent {
  const offset = Math.ceil(extent.offset / sectorSize) * sectorSize;
  const end = Math.floor((extent.offset + extent.length) / sectorSize) * sectorSize;
  return { offset, length: Math.max(0, end - offset) };
}

function statOf(path: string, options: MediumOptions): Stats {
  // Looked at through a descriptor that only names the file: opening a tape or a FIFO for reading has effects.
  let stats: Stats;
  try {
    const fd = openSync(path, O_PATH);
    stats = fstatSync(fd);
    closeSync(fd);
  } catch (cause) {
    throw cannotOpen(path, cause);
  }
  if (stats.isBlockDevice() || stats.isFile()) return stats;
  const what = stats.isDirectory()
    ? 'a directory'
    : stats.isCharacterDevice()
      ? 'a character device'
      : 'a special file';
  throw notADisk(path, options.write ? `${what}, which cannot be a target` : what);
}

function nodeOf(stats: Stats): string {
  return stats.isBlockDevice() ? `device ${stats.rdev}` : `${stats.dev}:${stats.ino}`;
}

/** O_PATH of Linux (include/uapi/asm-generic/fcntl.h); Node does not name it. */
const O_PATH = 0o10000000;

function openMedium(
  path: string,
  { write, exclusive, direct, isDevice }: MediumOptions & { isDevice: boolean },
): { fd: number; direct: boolean } {
  const flags =
    (write ? constants.O_RDWR : constants.O_RDONLY) | (exclusive && isDevice ? constants.O_EXCL : 0) | O_CLOEXEC;
  if (direct !== false) {
    try {
      return { fd: openSync(path, flags | constants.O_DIRECT), direct: true };
    } catch (cause) {
      // EINVAL is how file systems without direct I/O answer (older tmpfs, some FUSE file systems).
      if (errnoOf(cause) !== 'EINVAL') throw cannotOpen(path, cause);
    }
  }
  try {
    return { fd: openSync(path, flags), direct: false };
  } catch (cause) {
    throw cannotOpen(path, cause);
  }
}

/** Node opens everything close-on-exec; named here so that nobody adds it twice. */
const O_CLOEXEC = 0o2000000;

/** A page where the kernel does not tell (before 6.1): every file system accepts that. */
function fileDirectUnit(fd: number): Bytes {
  const { offset } = directIoAlignment(fd);
  return offset > 0 ? offset : 4096;
}
