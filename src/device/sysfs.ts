// What the kernel says of block devices in /sys. Missing files mean "not known", never an error.

import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Bytes } from '../base/units.js';

/** sysfs counts in 512-byte units whatever the device's sector is. */
const SYSFS_UNIT = 512;

/** A block device as sysfs shows it. */
export interface BlockDevice {
  /** "8:1" */
  readonly number: string;
  /** "sda1" */
  readonly kernelName: string;
  /** "/dev/sda1" */
  readonly path: string;
  readonly size: Bytes;
  readonly readOnly: boolean;
  /** Partition number on its disk, 0 for whole devices. */
  readonly partition: number;
  /** Start on its disk in bytes; 0 for whole devices. */
  readonly start: Bytes;
  /** Number of the disk it is a part of; itself for whole devices. */
  readonly disk: string;
  /** The file behind a loop device. */
  readonly backingFile: string | undefined;
  readonly folder: string;
}

/** The text of a sysfs file without the line end; undefined if it is not there. */
export function readAttribute(folder: string, name: string): string | undefined {
  const path = join(folder, name);
  if (!existsSync(path)) return undefined; // most of them are not there, and an exception costs more than a look
  try {
    return readFileSync(path, 'utf8')
      .replace(/[\0\s]+$/, '')
      .trimStart();
  } catch {
    return undefined;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

/** Devices of mounted btrfs file systems, by number, with the UUID: /proc/self/mountinfo names one of several only. */
export function mountedBtrfsDevices(): { readonly number: string; readonly uuid: string }[] {
  const root = '/sys/fs/btrfs';
  return namesIn(root).flatMap((uuid) =>
    namesIn(join(root, uuid, 'devices')).flatMap((name) => {
      const number = readAttribute(join(root, uuid, 'devices', name), 'dev');
      return number === undefined ? [] : { number, uuid };
    }),
  );
}

/** The kernel has a file system on this device mounted, in whatever name space. Not every type can be seen here. */
export function isMountedSomewhere(device: BlockDevice): boolean {
  const name = basename(device.folder);
  return (
    ['ext4', 'xfs', 'f2fs'].some((type) => existsSync(join('/sys/fs', type, name))) ||
    mountedBtrfsDevices().some(({ number }) => number === device.number)
  );
}

/** The device with this number ("8:1"), or undefined if there is none. */
export function blockDevice(number: string): BlockDevice | undefined {
  let folder: string;
  try {
    folder = realpathSync(`/sys/dev/block/${number}`);
  } catch {
    return undefined;
  }
  const partition = Number(readAttribute(folder, 'partition') ?? 0);
  const kernelName = basename(folder).replaceAll('!', '/');
  return {
    number,
    kernelName,
    path: `/dev/${kernelName}`,
    size: Number(readAttribute(folder, 'size') ?? 0) * SYSFS_UNIT,
    readOnly: readAttribute(folder, 'ro') === '1',
    partition,
    start: Number(readAttribute(folder, 'start') ?? 0) * SYSFS_UNIT,
    disk: partition === 0 ? number : (readAttribute(dirname(folder), 'dev') ?? number),
    backingFile: readAttribute(folder, 'loop/backing_file'),
    folder,
  };
}

/** All whole devices that have a medium: no partitions, nothing of size 0. */
export function wholeDevices(): BlockDevice[] {
  return namesIn('/sys/block').flatMap((name) => {
    const number = readAttribute(`/sys/block/${name}`, 'dev');
    const device = number === undefined ? undefined : blockDevice(number);
    return device && device.size > 0 ? [device] : [];
  });
}

/** The loop devices that have a file. */
export function loopDevices(): BlockDevice[] {
  return namesIn('/sys/block').flatMap((name) => {
    if (readAttribute(`/sys/block/${name}`, 'loop/backing_file') === undefined) return [];
    const number = readAttribute(`/sys/block/${name}`, 'dev');
    const device = number === undefined ? undefined : blockDevice(number);
    return device ? [device] : [];
  });
}

/** Where in its file a loop device begins. */
export function loopOffset(device: BlockDevice): Bytes {
  return Number(readAttribute(device.folder, 'loop/offset') ?? 0);
}

/** The partitions that the kernel knows of a whole device. */
export function partitionsOf(disk: BlockDevice): BlockDevice[] {
  const prefix = basename(disk.folder); // their folders are called after the disk's: sda1, nvme0n1p1
  return namesIn(disk.folder).flatMap((name) => {
    if (!name.startsWith(prefix)) return [];
    const folder = join(disk.folder, name);
    if (readAttribute(folder, 'partition') === undefined) return [];
    const number = readAttribute(folder, 'dev');
    const device = number === undefined ? undefined : blockDevice(number);
    return device ? [device] : [];
  });
}

function linkedDevices(folder: string, kind: 'slaves' | 'holders'): BlockDevice[] {
  return namesIn(join(folder, kind)).flatMap((name) => {
    const number = readAttribute(join(folder, kind, name), 'dev');
    const device = number === undefined ? undefined : blockDevice(number);
    return device ? [device] : [];
  });
}

/** Devices that this one is made of (device mapper, md). */
export function slavesOf(device: BlockDevice): BlockDevice[] {
  return linkedDevices(device.folder, 'slaves');
}

/** Devices that are made of this one. */
export function holdersOf(device: BlockDevice): BlockDevice[] {
  return linkedDevices(device.folder, 'holders');
}

/** Stable names of a device in /dev/disk/by-id, shortest first. */
export function stableNames(device: BlockDevice): string[] {
  const folder = '/dev/disk/by-id';
  return namesIn(folder)
    .filter((name) => {
      try {
        return basename(readlinkSync(join(folder, name))) === device.kernelName;
      } catch {
        return false;
      }
    })
    .map((name) => join(folder, name))
    .sort((a, b) => a.length - b.length);
}
