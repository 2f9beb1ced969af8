// The mounted file systems and swap areas of a disk, in the order in which they can be frozen.
// Invariant: each file system is named once, however often it is mounted; one that the kernel knows to be mounted is
// named even if no mount of it is in sight.

import type { Bytes } from '../base/units.js';
import { blockDeviceAt } from './identity.js';
import { type DeviceAbove, devicesAbove, type MediumNode, mediaBelow, mediumNode, mediumUnder } from './in-use.js';
import { type Mount, mountHolding, mounts, swaps } from './mount-table.js';
import { type BlockDevice, isMountedSomewhere, loopDevices, mountedBtrfsDevices } from './sysfs.js';

/** Where on the disk a file system lies. */
export interface MountPlace {
  /** Its block device, or the image file itself. */
  readonly path: string;
  /** Where it begins on the disk; if not `direct`, where what it is made of begins (a physical volume of LVM). */
  readonly offset: Bytes;
  readonly direct: boolean;
}

export interface MountedFilesystem {
  /** Its number ("8:1"), made up for btrfs and FUSE: equal numbers mean the same file system. */
  readonly device: string;
  /** As the kernel's driver calls itself ("ext4", "vfat", "fuseblk"); empty if no mount is in sight. */
  readonly type: string;
  /** Where it is mounted, the shallowest first; empty if it is mounted only where this process does not see it. */
  readonly points: readonly string[];
  /** No mount of it can write. */
  readonly readOnly: boolean;
  /** Empty if it lies in a file of another of the file systems. */
  readonly places: readonly MountPlace[];
}

export interface Swap {
  readonly path: string;
  readonly isFile: boolean;
}

interface Found extends MountedFilesystem {
  /** How many other file systems of the disk it lies in: 0 for those that lie on the disk itself. */
  readonly level: number;
  readonly depth: number;
}

/**
 * Every mounted file system on the disk, device or image file, those inside others first: file systems in files of
 * others, and mounts below the mount points of others. This is the order to freeze them in.
 */
export function mountsOf(path: string): MountedFilesystem[] {
  const found = new Map<string, Found>();
  const seen = new Set<string>();
  const note = (filesystems: readonly Found[]): void => {
    // One that is met again lies deeper than was known: it has to be frozen earlier.
    for (const each of filesystems) {
      found.set(each.device, { ...each, places: found.get(each.device)?.places ?? each.places });
    }
  };
  note(filesystemsOn(path, above(path), 0));
  for (let level = 1; ; level += 1) {
    // Loop devices over files of what was found: what is written there ends up on the disk.
    const inner = loopDevices().filter((loop) => !seen.has(loop.number) && found.has(hostFilesystem(loop) ?? ''));
    if (inner.length === 0) break;
    for (const { number } of inner) seen.add(number);
    for (const loop of inner) note(filesystemsOn(loop.path, above(loop.path), level, true));
  }
  return [...found.values()]
    .reverse() // of two that lie equally deep, what was mounted last
    .sort((a, b) => b.level - a.level || b.depth - a.depth)
    .map(({ device, type, points, readOnly, places }) => ({ device, type, points, readOnly, places }));
}

/**
 * What lies on any of the asked bytes, however it gets at them: a loop device over the whole disk is met when a partition
 * is asked for. Without what lies on other parts of the same disk or file.
 */
function above(path: string): DeviceAbove[] {
  const asked = mediumNode(path);
  if (asked === undefined) return [];
  const { node, offset: start } = mediumUnder(asked);
  const size = blockDeviceAt(path)?.size ?? Number.POSITIVE_INFINITY;
  return devicesAbove(node)
    .map((each) => ({ ...each, offset: each.offset - start }))
    .filter(({ offset, length }) => offset < size && offset + length > 0);
}

function hostFilesystem({ backingFile }: BlockDevice): string | undefined {
  const file = backingFile === undefined ? undefined : mediumNode(backingFile);
  if (backingFile === undefined || !file?.startsWith('f:')) return undefined;
  return mountHolding(backingFile)?.device;
}

function filesystemsOn(path: string, devices: readonly DeviceAbove[], level: number, isInner = false): Found[] {
  const places = new Map<MediumNode, MountPlace[]>();
  const self = mediumNode(path);
  const file = self === undefined ? undefined : mediumUnder(self);
  if (file?.node.startsWith('f:')) places.set(file.node, [{ path, offset: 0 - file.offset, direct: true }]);
  for (const { device, offset, direct } of devices) {
    const known = places.get(`b:${device.number}`) ?? [];
    places.set(`b:${device.number}`, [...known, { path: device.path, offset, direct }]);
  }
  const placesOf = (nodes: readonly MediumNode[]): MountPlace[] =>
    isInner ? [] : nodes.flatMap((node) => places.get(node) ?? []);
  const found = new Map<string, Found>();
  const covered = new Set<MediumNode>();
  for (const group of groupedMounts()) {
    const nodes = nodesOf(group).filter((node) => places.has(node));
    for (const node of nodes) covered.add(node);
    const [first] = group;
    if (!first || nodes.length === 0) continue;
    found.set(first.device, {
      device: first.device,
      type: first.type,
      points: group.map(({ point }) => point),
      readOnly: first.options.includes('ro'),
      places: placesOf(nodes),
      level,
      depth: first.depth,
    });
  }
  for (const { device } of devices) {
    if (covered.has(`b:${device.number}`) || !isMountedSomewhere(device)) continue;
    const unseen = { device: device.number, type: '', points: [], readOnly: false };
    found.set(device.number, { ...unseen, places: placesOf([`b:${device.number}`]), level, depth: 0 });
  }
  return [...found.values()];
}

/** Mounts by file system, the shallowest first. */
function groupedMounts(): Mount[][] {
  const groups = new Map<string, Mount[]>();
  for (const mount of mounts()) groups.set(mount.device, [...(groups.get(mount.device) ?? []), mount]);
  return [...groups.values()].map((group) => group.sort((a, b) => a.depth - b.depth));
}

/** What a file system lies on: its own number, what its mounts name, and all devices of a btrfs over several. */
function nodesOf(group: readonly Mount[]): MediumNode[] {
  const nodes = new Set<MediumNode>(group.slice(0, 1).map(({ device }) => `b:${device}`));
  for (const { source } of group) {
    const node = source.startsWith('/') ? mediumNode(source) : undefined;
    if (node !== undefined) nodes.add(node);
  }
  const members = group[0]?.type === 'btrfs' ? mountedBtrfsDevices() : [];
  const uuids = new Set(members.filter(({ number }) => nodes.has(`b:${number}`)).map(({ uuid }) => uuid));
  for (const { number, uuid } of members) if (uuids.has(uuid)) nodes.add(`b:${number}`);
  return [...nodes];
}

/** Active swap on the disk: areas that lie on it, and files of its file systems. */
export function swapsOf(path: string): Swap[] {
  const nodes = new Set([mediumNode(path), ...above(path).map(({ device }) => `b:${device.number}`)]);
  const filesystems = new Set(mountsOf(path).map(({ device }) => device));
  return swaps().flatMap((swap) => {
    const node = mediumNode(swap);
    if (node === undefined) return [];
    const isFile = node.startsWith('f:');
    const isOn = nodes.has(node) || (isFile && filesystems.has(mountHolding(swap)?.device ?? ''));
    return isOn ? [{ path: swap, isFile }] : [];
  });
}

/** The mounted file system that holds a file or folder, or would hold it once it is made; undefined if not in sight. */
export function filesystemOf(path: string): Mount | undefined {
  return mountHolding(path);
}

/**
 * The numbers of all file systems that wait if `path` is written to: its own, and those that hold the file behind the
 * device that it lies on, and so on.
 */
export function filesystemsBelow(path: string): Set<string> {
  const found = new Set<string>();
  const add = (mount: Mount | undefined): void => {
    if (mount) found.add(mount.device);
  };
  const own = mountHolding(path);
  add(own);
  if (!own) return found;
  for (const [node, name] of mediaBelow(own.point)) if (node.startsWith('f:')) add(mountHolding(name));
  return found;
}
