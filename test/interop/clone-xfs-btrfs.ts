// XFS and btrfs of every make through the command line, judged by xfs_repair, btrfs check and the kernel.

import { test } from 'uvu';
import { type Bytes, KiB, MiB } from '../../src/base/units.js';
import { testVariants, type Variant } from '../support/clone-variants.js';
import { LONG } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

function xfs(name: string, size: Bytes, ...options: string[]): Variant {
  return { name: `XFS ${name}`, size, content: { kind: 'xfs', options } };
}

function btrfs(name: string, size: Bytes, ...options: string[]): Variant {
  return { name: `btrfs ${name}`, size, content: { kind: 'btrfs', options } };
}

const ALWAYS: readonly Variant[] = [
  xfs('by default', 64 * MiB),
  xfs('with 1 KiB blocks and a ragged end', 70 * MiB + 300 * KiB, '-b', 'size=1024'),
  btrfs('by default (DUP metadata)', 128 * MiB),
  btrfs('with mixed groups', 64 * MiB, '--mixed'),
];

/** Their maps are judged in every run (xfs-allocation, btrfs-allocation); whole clones of them in the long one. */
const SOMETIMES: readonly Variant[] = [
  xfs('with reverse map and 4096-byte sectors', 64 * MiB, '-m', 'rmapbt=1,reflink=1,bigtime=1', '-s', 'size=4096'),
  xfs('in small groups', 90 * MiB, '-d', 'agsize=16m'),
  xfs('with 512-byte sectors and without a free inode btree', 64 * MiB, '-s', 'size=512', '-m', 'finobt=0,reflink=0'),
  btrfs('with single metadata', 128 * MiB, '-m', 'single'),
  btrfs('with DUP data', 256 * MiB, '-d', 'dup'),
  btrfs('with tree blocks of 4 KiB', 128 * MiB, '-n', '4096', '-m', 'single'),
  btrfs('without skinny metadata', 128 * MiB, '-O', '^skinny-metadata', '-R', '^free-space-tree'),
  btrfs('with sha256', 128 * MiB, '--csum', 'sha256'),
];

testVariants(scratchFolder(), LONG ? [...ALWAYS, ...SOMETIMES] : ALWAYS);

test.run();
