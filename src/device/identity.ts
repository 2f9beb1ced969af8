// Which medium is this? Disks by serial number or WWN, files and loop devices by path and inode.
// Invariant: a kernel name (/dev/sdb) never decides; it can mean another disk after the next start.

import { realpathSync, statSync } from 'node:fs';
import { digestOf } from '../base/digest.js';
import { cannotOpen } from '../base/errors/device.js';
import type { Bytes } from '../base/units.js';
import { type BlockDevice, blockDevice, readAttribute, stableNames } from './sysfs.js';

export interface DiskIdentity {
  readonly kind: 'disk' | 'loop' | 'file';
  /** The name it was asked for by. */
  readonly path: string;
  /** What a person types to mean just this medium: the serial number, else the WWN; the path of files and loop devices. */
  readonly id: string;
  readonly model: string;
  readonly size: Bytes;
  /** Equal for two looks at the same medium, different otherwise: what state is filed under. */
  readonly key: string;
  /** True if `path` is a kernel name that may mean another disk tomorrow. */
  readonly volatileName: boolean;
}

/** Number of a device node ("8:1") from its st_rdev. */
export function deviceNumber(rdev: number): string {
  // Linux's encoding of dev_t in user space (glibc, sys/sysmacros.h), for numbers below 2^32.
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  return `${major}:${minor}`;
}

/** The block device that `path` names, through links; undefined for anything else. */
export function blockDeviceAt(path: string): BlockDevice | undefined {
  const stats = statSync(path);
  return stats.isBlockDevice() ? blockDevice(deviceNumber(stats.rdev)) : undefined;
}

/** Throws ToolError if `path` is not there. A partition's identity is its disk's. */
export function identify(path: string, size: Bytes): DiskIdentity {
  try {
    const stats = statSync(path);
    const device = stats.isBlockDevice() ? blockDevice(deviceNumber(stats.rdev)) : undefined;
    if (!device) return identifyFile(path, size);
    const disk = blockDevice(device.disk) ?? device;
    return disk.backingFile === undefined ? identifyDisk(path, disk, size) : identifyLoop(path, disk, size);
  } catch (cause) {
    throw cannotOpen(path, cause);
  }
}

function keyOf(...facts: (string | number)[]): string {
  return digestOf(Buffer.from(JSON.stringify(facts))).toString('hex', 0, 8);
}

function identifyFile(path: string, size: Bytes): DiskIdentity {
  const real = realpathSync(path);
  const { ino } = statSync(real);
  return {
    kind: 'file',
    path,
    id: real,
    model: 'raw image file',
    size,
    key: keyOf('file', real, ino, size),
    volatileName: false,
  };
}

function identifyLoop(path: string, disk: BlockDevice, size: Bytes): DiskIdentity {
  const backing = disk.backingFile ?? '';
  const facts = ((): (string | number)[] => {
    try {
      return [backing, statSync(backing).ino];
    } catch {
      return [backing];
    }
  })();
  return {
    kind: 'loop',
    path,
    id: disk.path,
    model: `loop device over ${backing}`,
    size,
    key: keyOf('loop', ...facts, size),
    volatileName: false,
  };
}

function identifyDisk(path: string, disk: BlockDevice, size: Bytes): DiskIdentity {
  const model = [readAttribute(disk.folder, 'device/vendor'), readAttribute(disk.folder, 'device/model')]
    .filter((word) => word !== undefined && word !== '')
    .join(' ');
  const mapped = readAttribute(disk.folder, 'dm/uuid');
  const serial =
    readAttribute(disk.folder, 'device/serial') ?? readAttribute(disk.folder, 'serial') ?? vitalProductSerial(disk);
  const wwn = readAttribute(disk.folder, 'wwid') ?? readAttribute(disk.folder, 'device/wwid');
  const stable = stableNames(disk)[0];
  const id = mapped || serial || wwn || stable || disk.path;
  return {
    kind: 'disk',
    path,
    id,
    model: model || readAttribute(disk.folder, 'dm/name') || 'disk',
    size,
    key: keyOf('disk', id, wwn ?? '', size),
    volatileName: !path.startsWith('/dev/disk/') && !path.startsWith('/dev/mapper/'),
  };
}

/** SCSI vital product data page 0x80: four bytes of header, then the serial number (SPC-4). */
function vitalProductSerial(disk: BlockDevice): string | undefined {
  const page = readAttribute(disk.folder, 'device/vpd_pg80');
  const serial = page?.replace(/[^\x20-\x7e]+/g, '').trim();
  return serial === '' ? undefined : serial;
}
