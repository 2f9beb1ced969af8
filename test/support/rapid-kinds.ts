// The file systems that clones read only the changes of: how each is made, mounted, judged by its own tools, and listed.
// Invariant: nothing here asks the code under test, but whether a file system has records at all.

import { closeSync, openSync, statSync, truncateSync } from 'node:fs';
import { type Bytes, MiB } from '../../src/base/units.js';
import { btrfs } from '../../src/filesystem/btrfs/plugin.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import { ntfs } from '../../src/filesystem/ntfs/plugin.js';
import type { FilesystemPlugin } from '../../src/filesystem/plugin.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import { demandPerfect as demandPerfectBtrfs, mounted as mountedBtrfs } from './btrfs-image.js';
import { demandPerfect as demandPerfectExt4, mounted as mountedExt4 } from './ext4-image.js';
import { withNtfsMounted } from './ntfs-mount.js';
import { SEED } from './random.js';
import { run, tryRun } from './run.js';
import type { Abilities } from './workload.js';
import { ALL } from './workload.js';
import { demandPerfectXfs, mountedXfs } from './xfs-image.js';

export interface RapidKind {
  readonly name: string;
  readonly size: Bytes;
  readonly plugin: FilesystemPlugin;
  readonly can: Abilities;
  /** The kernel takes swap files on it. */
  readonly swap: boolean;
  /** Mount options, one of them each time. */
  readonly mounts: readonly string[];
  /** Makes it in a file that is there; `uuid` in place of a random one. */
  make(image: string, uuid?: string): void;
  uuidOf(image: string): string;
  mounted<T>(image: string, work: (folder: string) => T, options?: string): Promise<T>;
  /** Throws unless the checker finds nothing. */
  check(image: string): void;
}

const blkid = (image: string): string => run('blkid', ['-p', '-o', 'value', '-s', 'UUID', image]).trim();

const EXT4: RapidKind = {
  name: 'ext4',
  size: 160 * MiB,
  plugin: ext4,
  can: { ...ALL, reflink: false },
  swap: true,
  mounts: ['rw', 'noatime', 'strictatime', 'lazytime', 'data=journal', 'nodelalloc'],
  make(image, uuid) {
    const blocks = ['-b', SEED % 2 === 0 ? '1024' : '4096'];
    run('mke2fs', [
      '-q',
      '-F',
      '-t',
      'ext4',
      ...blocks,
      '-E',
      'lazy_itable_init=0',
      ...(uuid ? ['-U', uuid] : []),
      image,
    ]);
  },
  uuidOf: blkid,
  mounted: async (image, work, options) => mountedExt4(image, work, options),
  check: demandPerfectExt4,
};

const XFS: RapidKind = {
  name: 'XFS',
  size: 320 * MiB,
  plugin: xfs,
  can: ALL,
  swap: true,
  mounts: ['rw', 'noatime', 'strictatime', 'lazytime', 'wsync'],
  make: (image, uuid) => void run('mkfs.xfs', ['-q', '-f', ...(uuid ? ['-m', `uuid=${uuid}`] : []), image]),
  uuidOf: blkid,
  mounted: async (image, work, options) => mountedXfs(image, work, options),
  check: demandPerfectXfs,
};

const BTRFS: RapidKind = {
  name: 'btrfs',
  size: 400 * MiB,
  plugin: btrfs,
  can: { ...ALL, shift: false },
  swap: true,
  mounts: ['rw', 'noatime', 'compress=zstd', 'autodefrag', 'max_inline=0', 'flushoncommit', 'discard=async'],
  make(image, uuid) {
    const { size } = statSync(image);
    truncateSync(image, 0); // or the kernel finds the old superblock's device in the new file system
    truncateSync(image, size);
    run('mkfs.btrfs', ['-q', '-f', ...(uuid ? ['-U', uuid] : []), image]);
  },
  uuidOf: blkid,
  mounted: async (image, work, options) => mountedBtrfs([image], work, options),
  check: (image) => demandPerfectBtrfs([image]),
};

const NTFS: RapidKind = {
  name: 'NTFS',
  size: 160 * MiB,
  plugin: ntfs,
  can: { ...ALL, fallocate: false, punch: false, shift: false, reflink: false, mmap: false, direct: false },
  swap: false,
  mounts: ['rw', 'noatime', 'big_writes'],
  make(image, uuid) {
    run('mkntfs', ['-F', '-Q', '-q', '-s', '512', '-p', '0', '-H', '0', '-S', '0', image]);
    if (uuid) run('ntfslabel', [`--new-serial=${uuid}`, image]);
  },
  uuidOf: blkid,
  mounted: (image, work, options = '') => withNtfsMounted(image, work, { options }),
  check(image) {
    const fixed = tryRun('ntfsfix', ['-n', image]);
    if (fixed.status !== 0) throw new Error(`ntfsfix -n ${image}: ${fixed.stdout}${fixed.stderr}`);
    run('ntfsinfo', ['-m', image]);
  },
};

export const RAPID_KINDS: readonly RapidKind[] = [EXT4, XFS, BTRFS, NTFS];

/** An empty sparse file of the kind's size, or another, with a new file system in it. */
export function newImage(kind: RapidKind, image: string, size: Bytes = kind.size): void {
  closeSync(openSync(image, 'w'));
  truncateSync(image, size);
  kind.make(image);
}

/** Names, modes, owners, sizes, times, digests and attributes of everything, by programs of others. */
export function listing(folder: string): string {
  const facts = `find . -mindepth 1 -not -type d -printf '%p %y %m %U %s %T@ %l\\n' -o -printf '%p %y %m\\n' | LC_ALL=C sort`;
  const digests = `find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum`;
  const streams = `find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r getfattr -d -m user -e hex`;
  return run('sh', ['-c', `cd "$1" && ${facts} && ${digests} && ${streams}`, 'sh', folder]);
}

/** Content of `from` in place of that of `to`, which stays the same file if it was there. */
export function copyInto(from: string, to: string): void {
  run('cp', ['--sparse=always', '--reflink=never', from, to]);
}
