// Errors of media: opening, reading, writing (exit status 4).

import { errnoOf, ToolError } from '../tool-error.js';
import { type Bytes, formatBytes, formatBytesExact } from '../units.js';

const ERRNO_TEXT: Readonly<Record<string, string>> = {
  EIO: 'input/output error',
  ENOSPC: 'no space left on the device',
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EBUSY: 'device or resource busy',
  EROFS: 'read-only file system',
  ENOMEDIUM: 'no medium found',
  ENXIO: 'no such device or address',
  EFBIG: 'file too large',
  EEXIST: 'something of that name is there already',
  ENOTDIR: 'not a directory',
  EINVAL: 'invalid argument',
  EOPNOTSUPP: 'operation not supported',
};

/** An errno in words, with its name for the search engine; other errors as they say. */
export function describeCause(cause: unknown): string {
  const errno = errnoOf(cause);
  if (errno !== undefined) return `${ERRNO_TEXT[errno] ?? 'system error'} (${errno})`;
  return cause instanceof Error ? cause.message : String(cause);
}

function place(name: string, offset: Bytes): string {
  return `${name} at ${formatBytes(offset)} (byte ${offset}, LBA ${Math.floor(offset / 512)})`;
}

export function cannotOpen(path: string, cause: unknown): ToolError {
  const errno = errnoOf(cause);
  const hint =
    errno === 'EACCES' || errno === 'EPERM'
      ? 'Run as root, or as a user who may read and write it'
      : errno === 'EBUSY'
        ? 'Unmount it and stop what uses it'
        : errno === 'ENOENT'
          ? 'Check the name; `ectype disks` lists what is there'
          : 'Check that the medium is attached and readable';
  return new ToolError({
    code: 'device.cannot-open',
    message: `cannot open ${path}: ${describeCause(cause)}`,
    hint,
    details: { path, errno },
    cause,
  });
}

export function nativeMissing(cause: unknown): ToolError {
  return new ToolError({
    code: 'device.native-missing',
    message: `the native part of ectype cannot be loaded: ${cause instanceof Error ? cause.message.split('\n')[0] : cause}`,
    hint: 'Build it for this Node.js: run `npm rebuild` in the folder of ectype (a compiler and Python are needed)',
    cause,
  });
}

export function notADisk(path: string, what: string): ToolError {
  return new ToolError({
    code: 'device.not-a-disk',
    message: `${path} is ${what}: neither a block device nor a raw image file`,
    hint: 'Name a disk (/dev/…), a partition, or a raw image file',
    details: { path, what },
  });
}

export function emptyMedium(name: string): ToolError {
  return new ToolError({
    code: 'device.empty',
    message: `${name} is empty (0 bytes): there is nothing to clone`,
    hint: 'Check the name, and that the drive holds a medium',
    details: { name },
  });
}

/** A file that is to be made has no folder to be made in. */
export function noFolder(path: string, folder: string): ToolError {
  return new ToolError({
    code: 'device.no-folder',
    message: `cannot make ${path}: there is no folder ${folder}`,
    hint: 'Make the folder first, or name another place',
    details: { path, folder },
  });
}

export function cannotRead(name: string, offset: Bytes, length: Bytes, cause: unknown): ToolError {
  return new ToolError({
    code: 'device.cannot-read',
    message: `cannot read ${place(name, offset)}: ${describeCause(cause)}`,
    hint: 'Check the cable and the health of the disk (smartctl -a); `ectype clone --rescue` goes on over unreadable sectors, with --forensic even without a readable partition table',
    details: { name, offset, length, errno: errnoOf(cause) },
    cause,
  });
}

export function readPastEnd(name: string, offset: Bytes, missing: Bytes): ToolError {
  return new ToolError({
    code: 'device.read-past-end',
    message: `${place(name, offset)} ends ${formatBytesExact(missing)} too early`,
    hint: 'The medium shrank while it was read; check what else changes it, and start again',
    details: { name, offset, missing },
  });
}

export function cannotWrite(name: string, offset: Bytes, length: Bytes, cause: unknown): ToolError {
  const errno = errnoOf(cause);
  return new ToolError({
    code: 'device.cannot-write',
    message: `cannot write ${place(name, offset)}: ${describeCause(cause)}`,
    hint:
      errno === 'ENOSPC'
        ? 'Free some space where the target file lies, then run the same command again: it goes on where it stopped'
        : 'Check the target disk, then run the same command again: it goes on where it stopped',
    details: { name, offset, length, errno },
    cause,
  });
}

export function cannotFlush(name: string, cause: unknown): ToolError {
  return new ToolError({
    code: 'device.cannot-flush',
    message: `cannot make the writes to ${name} durable: ${describeCause(cause)}`,
    hint: 'Do not trust the target; check it, then run the same command again',
    details: { name, errno: errnoOf(cause) },
    cause,
  });
}

/** The path means another device or file than when the run began: a disk was replugged, a file replaced. */
export function mediumReplaced(path: string): ToolError {
  return new ToolError({
    code: 'device.replaced',
    message: `${path} is not the medium any more that the run began with`,
    hint: 'Check what was plugged in or out, or which file was replaced, and start again',
    details: { path },
  });
}

/** The target does not hold what was just written: a fake-capacity stick, or a broken one. */
export function readBackDiffers(name: string, offset: Bytes): ToolError {
  return new ToolError({
    code: 'device.read-back-differs',
    message: `${place(name, offset)} does not hold what was just written there`,
    hint: 'Do not use this device: its capacity may be fake, or it is failing',
    details: { name, offset },
  });
}
