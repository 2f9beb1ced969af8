// Who uses a medium, and what it is made of: mounts, swap, device mapper, loop devices, partitions.
// Invariant: every path from one medium to another is followed; in doubt a medium is in use.

import { statSync } from 'node:fs';
import type { Bytes } from '../base/units.js';
import { deviceNumber } from './identity.js';
import { mountHolding, mounts, swaps } from './mount-table.js';
import {
  type BlockDevice,
  blockDevice,
  holdersOf,
  loopDevices,
  loopOffset,
  mountedBtrfsDevices,
  partitionsOf,
  slavesOf,
} from './sysfs.js';

/** A node in the graph of media: "b:8:1" a block device, "f:8:1:77" a file or folder (its file system's device, its inode). */
export type MediumNode = string;

/** Loop devices over loop devices: more would be no disk but a joke. */
const MOST_LAYERS = 100;

function nodeOf(path: string): MediumNode | undefined {
  try {
    const stats = statSync(path);
    if (stats.isBlockDevice()) return `b:${deviceNumber(stats.rdev)}`;
    return stats.isFile() || stats.isDirectory() ? `f:${deviceNumber(stats.dev)}:${stats.ino}` : undefined;
  } catch {
    return undefined;
  }
}

function deviceOf(node: MediumNode): BlockDevice | undefined {
  return node.startsWith('b:') ? blockDevice(node.slice(2)) : undefined;
}

/**
 * What holds the file system of a file, and its name: a device by the file system's number, or by the mount's source
 * where the number is made up (btrfs), or the folder that an overlay writes to.
 */
function hostOf(node: MediumNode, path: string): { node: MediumNode | undefined; path: string } | undefined {
  const number = node.split(':').slice(1, 3).join(':');
  const device = blockDevice(number);
  if (device) return { node: `b:${number}`, path: device.path };
  const mount = mountHolding(path);
  const upper = mount?.type === 'overlay' && mount.options.find((option) => option.startsWith('upperdir='));
  const host = upper ? upper.slice('upperdir='.length) : mount?.source;
  return host?.startsWith('/') ? { node: nodeOf(host), path: host } : undefined;
}

/**
 * Every medium that the bytes of `path` lie on, with a name of it, itself included: partition → disk, loop → file → its
 * disk, dm → slaves.
 */
export function mediaBelow(path: string): Map<MediumNode, string> {
  const found = new Map<MediumNode, string>();
  const follow = (node: MediumNode | undefined, name: string): void => {
    if (node === undefined || found.has(node)) return;
    found.set(node, name);
    const device = deviceOf(node);
    if (!device) {
      const host = hostOf(node, name);
      follow(host?.node, host?.path ?? '');
      return;
    }
    if (device.disk !== device.number) follow(`b:${device.disk}`, device.path);
    for (const slave of slavesOf(device)) follow(`b:${slave.number}`, slave.path);
    if (device.backingFile !== undefined) follow(nodeOf(device.backingFile), device.backingFile);
  };
  follow(nodeOf(path), path);
  return found;
}

/** The medium itself without what lies below it; undefined if there is nothing at `path`. */
export function mediumNode(path: string): MediumNode | undefined {
  return nodeOf(path);
}

/** A device that is made of a medium, and where on that medium its bytes are. */
export interface DeviceAbove {
  readonly device: BlockDevice;
  /** Where on the medium it lies, or what it is made of there; the length may be infinite: not known. */
  readonly offset: Bytes;
  readonly length: Bytes;
  /** False if something lies between that moves bytes: device mapper, md. */
  readonly direct: boolean;
}

/**
 * Every device made of a medium: partitions, holders and loop devices over it, again and again. Itself included if a
 * device. A second loop device over the same file is another name of the first. Once for each place that it has.
 */
export function devicesAbove(node: MediumNode | undefined): DeviceAbove[] {
  const found = new Map<string, DeviceAbove>();
  const add = (above: DeviceAbove): void => {
    const { device, offset, length, direct } = above;
    const key = `${device.number} ${offset} ${length} ${direct}`;
    if (found.has(key)) return;
    found.set(key, above);
    const addPart = (part: BlockDevice, start: Bytes): void =>
      add(direct ? placed(part, offset + start) : { device: part, offset, length, direct });
    for (const part of partitionsOf(device)) addPart(part, part.start);
    for (const holder of holdersOf(device)) add({ device: holder, offset, length, direct: false });
    for (const loop of loopsOver(`b:${device.number}`)) addPart(loop, loopOffset(loop));
    const file = device.backingFile === undefined ? undefined : nodeOf(device.backingFile);
    if (file === undefined) return;
    for (const loop of loopsOver(file)) addPart(loop, loopOffset(loop) - loopOffset(device));
  };
  if (node === undefined) return [];
  const device = deviceOf(node);
  if (device) add(placed(device, 0));
  else for (const loop of loopsOver(node)) add(placed(loop, loopOffset(loop)));
  return [...found.values()];
}

function placed(device: BlockDevice, offset: Bytes): DeviceAbove {
  return { device, offset, length: device.size || Number.POSITIVE_INFINITY, direct: true };
}

function loopsOver(node: MediumNode): BlockDevice[] {
  return loopDevices().filter(({ backingFile }) => backingFile !== undefined && nodeOf(backingFile) === node);
}

/** What the bytes of a partition or loop device really are: a part of a disk or file. */
export function mediumUnder(medium: MediumNode): { readonly node: MediumNode; readonly offset: Bytes } {
  let node = medium;
  let offset = 0;
  for (let depth = 0; depth < MOST_LAYERS; depth += 1) {
    const device = deviceOf(node);
    if (!device) break;
    if (device.disk !== device.number) {
      node = `b:${device.disk}`;
      offset += device.start;
      continue;
    }
    const backing = device.backingFile === undefined ? undefined : nodeOf(device.backingFile);
    if (backing === undefined) break;
    node = backing;
    offset += loopOffset(device);
  }
  return { node, offset };
}

/** In words, why `path` is not free: "mounted on /home (/dev/sdb1)". Empty if nothing uses it. */
export function usesOf(path: string): string[] {
  const uses: string[] = [];
  const above = new Map(devicesAbove(nodeOf(path)).map(({ device }) => [device.number, device]));
  const nodes = new Set([nodeOf(path), ...[...above.keys()].map((number) => `b:${number}`)]);
  const allMounts = mounts();
  for (const { device, point, source } of allMounts) {
    // FUSE file systems (ntfs-3g) have no device number of their own; their source names the device or file.
    const node = source.startsWith('/') ? nodeOf(source) : undefined;
    if (nodes.has(`b:${device}`) || (node !== undefined && nodes.has(node)))
      uses.push(`mounted on ${point} (${source})`);
  }
  if (uses.length === 0) {
    for (const { number, uuid } of mountedBtrfsDevices()) {
      if (nodes.has(`b:${number}`)) uses.push(`mounted as a part of btrfs ${uuid}`);
    }
  }
  for (const swap of swaps()) {
    const node = nodeOf(swap);
    if (node !== undefined && nodes.has(node)) uses.push(`swap space in use (${swap})`);
  }
  for (const device of above.values()) {
    for (const holder of holdersOf(device)) uses.push(`${holder.path} is made of ${device.path}`);
    if (device.backingFile !== undefined && `b:${device.number}` !== nodeOf(path)) {
      uses.push(`attached as ${device.path}`);
    }
  }
  return [...new Set(uses)];
}
