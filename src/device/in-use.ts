// Who uses a medium, and what it is made of: mounts, swap, device mapper, loop devices, partitions.
// Invariant: every path from one medium to another is followed; in doubt a medium is in use.

import { readFileSync, realpathSync, statSync } from 'node:fs';
import { deviceNumber } from './identity.js';
import {
  type BlockDevice,
  blockDevice,
  holdersOf,
  loopDevices,
  mountedBtrfsDevices,
  partitionsOf,
  slavesOf,
} from './sysfs.js';

/** A node in the graph of media: "b:8:1" a block device, "f:8:1:77" a file or folder (its file system's device, its inode). */
type MediumNode = string;

interface Mount {
  readonly device: string;
  readonly point: string;
  readonly source: string;
}

/** Mounts of this process's name space (proc(5): mountinfo, fields 3, 5 and the second after the dash). */
function mounts(): Mount[] {
  const unescaped = (text: string): string =>
    text.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(parseInt(code, 8)));
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ');
      const dash = fields.indexOf('-');
      return { device: fields[2] ?? '', point: unescaped(fields[4] ?? ''), source: unescaped(fields[dash + 2] ?? '') };
    });
}

function swaps(): string[] {
  try {
    return readFileSync('/proc/swaps', 'utf8')
      .split('\n')
      .slice(1)
      .flatMap((line) => line.split(/\s+/)[0] || []);
  } catch {
    return [];
  }
}

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

/** The device that holds the file system of a file: by number, or by the mount's source where the number is made up (btrfs). */
function hostOf(node: MediumNode, path: string): MediumNode | undefined {
  const number = node.split(':').slice(1, 3).join(':');
  if (blockDevice(number)) return `b:${number}`;
  const real = realpathSync(path);
  const mount = mounts()
    .filter(({ point }) => real === point || real.startsWith(point === '/' ? '/' : `${point}/`))
    .sort((a, b) => b.point.length - a.point.length)[0];
  return mount && nodeOf(mount.source);
}

/** Every medium that the bytes of `path` lie on, itself included: partition → disk, loop → file → its disk, dm → slaves. */
export function mediaBelow(path: string): Set<MediumNode> {
  const found = new Set<MediumNode>();
  const follow = (node: MediumNode | undefined, name: string): void => {
    if (node === undefined || found.has(node)) return;
    found.add(node);
    const device = deviceOf(node);
    if (!device) {
      follow(hostOf(node, name), name);
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

/**
 * Every device made of `path`: partitions, holders and loop devices over it, again and again. Itself included if a
 * device. A second loop device over the same file is another name of the first.
 */
function devicesAbove(path: string): BlockDevice[] {
  const found = new Map<string, BlockDevice>();
  const add = (device: BlockDevice | undefined): void => {
    if (!device || found.has(device.number)) return;
    found.set(device.number, device);
    partitionsOf(device).forEach(add);
    holdersOf(device).forEach(add);
    loopsOver(`b:${device.number}`).forEach(add);
    const file = device.backingFile === undefined ? undefined : nodeOf(device.backingFile);
    if (file !== undefined) loopsOver(file).forEach(add);
  };
  const node = nodeOf(path);
  if (node === undefined) return [];
  if (node.startsWith('b:')) add(deviceOf(node));
  else loopsOver(node).forEach(add);
  return [...found.values()];
}

function loopsOver(node: MediumNode): BlockDevice[] {
  return loopDevices().filter(({ backingFile }) => backingFile !== undefined && nodeOf(backingFile) === node);
}

/** In words, why `path` is not free: "mounted on /home (/dev/sdb1)". Empty if nothing uses it. */
export function usesOf(path: string): string[] {
  const uses: string[] = [];
  const above = devicesAbove(path);
  const nodes = new Set([nodeOf(path), ...above.map(({ number }) => `b:${number}`)]);
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
  for (const device of above) {
    for (const holder of holdersOf(device)) uses.push(`${holder.path} is made of ${device.path}`);
    if (device.backingFile !== undefined && `b:${device.number}` !== nodeOf(path)) {
      uses.push(`attached as ${device.path}`);
    }
  }
  return [...new Set(uses)];
}
