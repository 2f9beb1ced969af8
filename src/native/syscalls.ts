// The system calls that Node.js lacks, with types. Each throws an Error whose `code` is the errno's name.
// Invariant: no policy here; a caller decides what an errno means.

import type { Bytes } from '../base/units.js';
import type { Extent } from '../map/extent.js';
import { binding } from './binding.js';

export interface DeviceGeometry {
  readonly size: Bytes;
  readonly logicalSectorSize: Bytes;
  readonly physicalSectorSize: Bytes;
}

export function deviceGeometry(fd: number): DeviceGeometry {
  return {
    size: binding.blockDeviceSize(fd),
    logicalSectorSize: binding.logicalSectorSize(fd),
    physicalSectorSize: binding.physicalSectorSize(fd),
  };
}

/** Content undefined afterwards. EOPNOTSUPP where the device cannot. */
export function blockDiscard(fd: number, { offset, length }: Extent): void {
  binding.blockDiscard(fd, offset, length);
}

/** Reads as zeros afterwards; the kernel writes zeros itself where the device cannot. */
export function blockZeroOut(fd: number, { offset, length }: Extent): void {
  binding.blockZeroOut(fd, offset, length);
}

/** Writes back and drops the kernel's cached pages of a device. */
export function flushDeviceCache(fd: number): void {
  binding.flushDeviceCache(fd);
}

/** EBUSY while a partition is in use, EINVAL for devices without partitions. */
export function rereadPartitionTable(fd: number): void {
  binding.rereadPartitionTable(fd);
}

/** Frees a file's bytes; they read as zeros. EOPNOTSUPP on file systems without holes. */
export function punchHole(fd: number, { offset, length }: Extent): void {
  binding.punchHole(fd, offset, length);
}

/** Zeros a file's bytes and keeps them allocated. */
export function zeroRange(fd: number, { offset, length }: Extent): void {
  binding.zeroRange(fd, offset, length);
}

/** Offset of the next data at or after `offset`, or undefined if only holes follow. */
export function seekData(fd: number, offset: Bytes): Bytes | undefined {
  const found = binding.seekData(fd, offset);
  return found < 0 ? undefined : found;
}

/** Offset of the next hole at or after `offset` (a file's end counts as one), or undefined beyond the end. */
export function seekHole(fd: number, offset: Bytes): Bytes | undefined {
  const found = binding.seekHole(fd, offset);
  return found < 0 ? undefined : found;
}

/** Forgets cached pages that are already on the medium. */
export function dropCache(fd: number, { offset, length }: Extent): void {
  binding.dropCache(fd, offset, length);
}

/** What direct I/O on a file must be aligned to; zeros if the kernel does not tell or cannot. */
export function directIoAlignment(fd: number): { memory: Bytes; offset: Bytes } {
  return binding.directIoAlignment(fd);
}

/**
 * Whoever writes to the file system that holds `fd` waits from now on. EBUSY if it is frozen already, EOPNOTSUPP if it
 * cannot be. Takes as long as writing back what is dirty.
 */
export function freezeFilesystem(fd: number): void {
  binding.freezeFilesystem(fd);
}

/** EINVAL if it is not frozen. */
export function thawFilesystem(fd: number): void {
  binding.thawFilesystem(fd);
}

/** Writes back what is dirty in the file system that holds `fd`. */
export function syncFilesystem(fd: number): void {
  binding.syncFilesystem(fd);
}

/** True if the lock is ours now. It ends when `fd` is closed, or with the process. */
export function tryLock(fd: number, { exclusive }: { exclusive: boolean }): boolean {
  return binding.tryLock(fd, exclusive);
}
