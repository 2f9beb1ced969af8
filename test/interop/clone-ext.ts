// ext2, ext3 and ext4 of every make through the command line, judged by e2fsck and the kernel.

import { test } from 'uvu';
import { type Bytes, KiB, MiB } from '../../src/base/units.js';
import { testVariants, type Variant } from '../support/clone-variants.js';
import { scratchFolder } from '../support/scratch.js';

function ext(name: string, size: Bytes, ...options: string[]): Variant {
  return { name, size, content: { kind: 'ext', options } };
}

testVariants(scratchFolder(), [
  ext('ext2 with 1 KiB blocks', 40 * MiB, '-t', 'ext2', '-b', '1024'),
  ext('ext3 with 2 KiB blocks', 60 * MiB + 2 * KiB, '-t', 'ext3', '-b', '2048'),
  ext('ext4 with 1 KiB blocks and a ragged end', 61 * MiB + 1536, '-t', 'ext4', '-b', '1024'),
  ext('small groups, no flex_bg', 60 * MiB, '-t', 'ext4', '-b', '4096', '-O', '^flex_bg', '-g', '2048'),
  ext('meta_bg', 60 * MiB, '-t', 'ext4', '-b', '1024', '-O', 'meta_bg,^resize_inode'),
  ext('bigalloc', 80 * MiB, '-t', 'ext4', '-b', '4096', '-O', 'bigalloc', '-C', '16384'),
  ext('bigalloc with 1 KiB blocks', 80 * MiB, '-t', 'ext4', '-b', '1024', '-O', 'bigalloc', '-C', '8192'),
  ext('bigalloc with 128 KiB clusters', 120 * MiB, '-t', 'ext4', '-b', '4096', '-O', 'bigalloc', '-C', '131072'),
  ext('no 64bit, no checksums', 48 * MiB, '-t', 'ext4', '-b', '4096', '-O', '^64bit,^metadata_csum,uninit_bg'),
  ext('sparse_super2', 48 * MiB, '-t', 'ext4', '-b', '1024', '-O', 'sparse_super2', '-E', 'num_backup_sb=2'),
  ext('no journal', 48 * MiB, '-t', 'ext4', '-b', '4096', '-O', '^has_journal'),
  ext('inline data', 48 * MiB, '-t', 'ext4', '-b', '4096', '-O', 'inline_data,ea_inode,orphan_file'),
]);

test.run();
