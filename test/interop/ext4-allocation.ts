// Copies only what the map calls used onto garbage; e2fsck, dumpe2fs and the kernel judge the copy. One test a layout.

import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import { type CorpusOptions, digestFolder, fillFolder, thinFolder } from '../support/ext4-corpus.js';
import { demandPerfect, makeImage, mounted, usedByDumpe2fs, withVolume } from '../support/ext4-image.js';
import { randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { copyUsedOntoGarbage } from '../support/sparse-copy.js';

const scratch = scratchFolder();
const corpus: CorpusOptions = { files: 500, largest: 2 * MiB, total: 36 * MiB };
let number = 0;

interface Layout {
  readonly name: string;
  readonly size: number;
  readonly options: readonly string[];
  /** Between filling and copying. */
  readonly finish?: (image: string) => void;
  /** Size of the file system before `finish` makes it larger; else all of the image. */
  readonly smallAtFirst?: string;
  /** The kernel cannot mount it: filled by mke2fs -d, read by debugfs. */
  readonly unmountable?: boolean;
}

const MOUNTABLE: readonly Layout[] = [
  { name: 'ext4 by default', size: 256 * MiB, options: ['-t', 'ext4', '-b', '4096'] },
  { name: 'ext2 with 1 KiB blocks', size: 64 * MiB, options: ['-t', 'ext2', '-b', '1024'] },
  { name: 'ext3 with 1 KiB blocks', size: 72 * MiB, options: ['-t', 'ext3', '-b', '1024', '-I', '128'] },
  { name: '2 KiB blocks', size: 96 * MiB, options: ['-t', 'ext4', '-b', '2048'] },
  {
    name: 'small groups without flex_bg',
    size: 160 * MiB,
    options: ['-t', 'ext4', '-b', '4096', '-O', '^flex_bg', '-g', '8192'],
  },
  {
    name: 'meta_bg with 1 KiB blocks',
    size: 300 * MiB,
    options: ['-t', 'ext4', '-b', '1024', '-O', 'meta_bg,^resize_inode'],
  },
  {
    name: 'meta_bg with 4 KiB blocks and 1 MiB groups',
    size: 200 * MiB,
    options: ['-t', 'ext4', '-b', '4096', '-O', 'meta_bg,^resize_inode', '-g', '256', '-N', '6400'],
  },
  {
    name: 'meta_bg without flex_bg and checksums',
    size: 100 * MiB,
    options: ['-t', 'ext4', '-b', '1024', '-O', 'meta_bg,^resize_inode,^flex_bg,^metadata_csum,^uninit_bg,^64bit'],
  },
  {
    name: 'bigalloc with 8 KiB clusters in many groups',
    size: 200 * MiB,
    options: ['-t', 'ext4', '-b', '4096', '-O', 'bigalloc', '-C', '8192', '-g', '4096'],
  },
  {
    name: 'bigalloc with 16 KiB clusters',
    size: 200 * MiB,
    options: ['-t', 'ext4', '-b', '4096', '-O', 'bigalloc', '-C', '16384'],
  },
  {
    name: 'bigalloc with 1 KiB blocks',
    size: 200 * MiB,
    options: ['-t', 'ext4', '-b', '1024', '-O', 'bigalloc', '-C', '16384'],
  },
  {
    name: 'bigalloc, meta_bg and 1 KiB blocks',
    size: 200 * MiB,
    options: ['-t', 'ext4', '-b', '1024', '-O', 'bigalloc,meta_bg,^resize_inode', '-C', '4096', '-g', '1024'],
  },
  { name: 'no 64bit', size: 160 * MiB, options: ['-t', 'ext4', '-b', '4096', '-O', '^64bit'] },
  {
    name: 'sparse_super2',
    size: 160 * MiB,
    options: ['-t', 'ext4', '-b', '1024', '-O', 'sparse_super2', '-E', 'num_backup_sb=2'],
  },
  {
    name: 'no sparse_super',
    size: 160 * MiB,
    options: ['-t', 'ext4', '-b', '1024', '-O', '^sparse_super,^resize_inode'],
  },
  {
    name: 'uninit_bg without metadata_csum',
    size: 200 * MiB,
    options: ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum,uninit_bg,^64bit'],
  },
  {
    name: 'uninit_bg with 64-byte descriptors',
    size: 200 * MiB,
    options: ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum,uninit_bg,64bit,^flex_bg'],
  },
  { name: 'no journal', size: 160 * MiB, options: ['-t', 'ext4', '-b', '4096', '-O', '^has_journal'] },
  {
    name: 'inline_data, ea_inode and orphan_file',
    size: 160 * MiB,
    options: ['-t', 'ext4', '-b', '4096', '-O', 'inline_data,ea_inode,orphan_file'],
  },
  {
    name: 'metadata_csum_seed with a new UUID',
    size: 160 * MiB,
    options: ['-t', 'ext4', '-b', '4096', '-O', '64bit,metadata_csum,metadata_csum_seed'],
    finish: (image) => void run('tune2fs', ['-U', 'random', image]),
  },
  {
    name: 'flex_bg of 64 groups, packed, on a stripe',
    size: 300 * MiB,
    options: ['-t', 'ext4', '-b', '1024', '-G', '64', '-E', 'packed_meta_blocks=1,stride=16,stripe_width=64'],
  },
  {
    name: 'grown far beyond its reserved descriptors',
    size: 400 * MiB,
    options: ['-t', 'ext4', '-b', '1024', '-E', 'resize=49152'],
    smallAtFirst: '40M',
    finish: (image) => {
      // resize2fs demands it if the mount was a second later than mke2fs.
      run('e2fsck', ['-fp', image]);
      run('resize2fs', [image]);
    },
  },
  {
    name: 'grown while mounted',
    size: 300 * MiB,
    options: ['-t', 'ext4', '-b', '4096', '-g', '2048', '-O', 'meta_bg,^resize_inode'],
    smallAtFirst: '40M',
    finish: growMounted,
  },
  {
    name: 'shrunk',
    size: 300 * MiB,
    options: ['-t', 'ext4', '-b', '1024'],
    finish: (image) => {
      run('e2fsck', ['-fp', image]);
      run('resize2fs', [image, '150M']);
    },
  },
  {
    name: 'turned to 64bit afterwards',
    size: 160 * MiB,
    options: ['-t', 'ext4', '-b', '1024', '-O', '^64bit'],
    finish: (image) => {
      run('e2fsck', ['-fp', image]);
      run('resize2fs', ['-b', image]);
    },
  },
  {
    name: 'checksums taken away afterwards',
    size: 160 * MiB,
    options: ['-t', 'ext4', '-b', '1024'],
    finish: (image) => {
      run('e2fsck', ['-fp', image]);
      run('tune2fs', ['-O', '^metadata_csum', image]);
    },
  },
  {
    name: 'fast_commit and stable_inodes',
    size: 160 * MiB,
    options: ['-t', 'ext4', '-b', '4096', '-O', 'fast_commit,stable_inodes,large_dir,mmp'],
  },
  {
    name: 'a size that ends inside a group',
    size: 77 * MiB + 333 * KiB,
    options: ['-t', 'ext4', '-b', '1024'],
  },
];

const UNMOUNTABLE: readonly Layout[] = [
  { name: '16 KiB blocks', size: 160 * MiB, options: ['-t', 'ext4', '-b', '16384'], unmountable: true },
  { name: '64 KiB blocks', size: 160 * MiB, options: ['-t', 'ext4', '-b', '65536'], unmountable: true },
  {
    name: 'quota, casefold, encrypt and verity',
    size: 160 * MiB,
    options: ['-t', 'ext4', '-b', '4096', '-O', 'quota,project,casefold,encrypt,verity'],
    // mke2fs -d leaves the quota of its files uncounted.
    finish: (image) => void tryRun('e2fsck', ['-fy', image]),
    unmountable: true,
  },
];

function make(image: string, { size, options, smallAtFirst }: Layout): void {
  run('truncate', ['-s', String(size), image]);
  run('mke2fs', ['-q', '-F', ...options, image, ...(smallAtFirst === undefined ? [] : [smallAtFirst])]);
}

/** The kernel adds the groups itself and leaves their bitmaps uninitialised. */
function growMounted(image: string): void {
  mounted(image, (folder) => {
    const device = run('findmnt', ['-n', '-o', 'SOURCE', folder]).trim();
    const { status, stderr } = tryRun('resize2fs', [device]);
    if (/Permission denied/.test(stderr)) console.log('not grown: no CAP_SYS_RESOURCE here');
    else assert.is(status, 0, stderr);
  });
}

async function roundTrip(layout: Layout): Promise<void> {
  number += 1;
  const image = join(scratch, `${number}.img`);
  const copy = join(scratch, `${number}.copy`);
  const random = randomFrom(SEED + number);
  const wanted = layout.unmountable ? fillByMke2fs(image, layout, random) : fillByMount(image, layout, random);
  layout.finish?.(image);

  const used = await withVolume(image, async (volume, info) => {
    const state = await ext4.readState(volume, info);
    assert.equal(state.kind, 'clean', state.reason);
    const map = await ext4.openAllocationMap(volume, info);
    const bytes = await copyUsedOntoGarbage(volume, map, copy);
    assert.is(bytes, info.used, 'used by the superblock');
    return bytes;
  });
  assert.is(used, usedByDumpe2fs(image), 'used by dumpe2fs');
  demandPerfect(copy);
  const found = layout.unmountable ? readByDebugfs(copy) : mounted(copy, digestFolder, 'ro');
  assert.equal([...found], [...wanted]);
  rmSync(image);
  rmSync(copy);
}

function fillByMount(image: string, layout: Layout, random: ReturnType<typeof randomFrom>): Map<string, string> {
  make(image, layout);
  return mounted(image, (folder) => {
    // The grown one starts small; its corpus has to fit before it grows.
    const total = layout.smallAtFirst !== undefined ? 16 * MiB : corpus.total;
    fillFolder(folder, random, { ...corpus, total });
    run('sync', ['-f', folder]);
    thinFolder(folder, random);
    return digestFolder(folder);
  });
}

function fillByMke2fs(image: string, layout: Layout, random: ReturnType<typeof randomFrom>): Map<string, string> {
  const folder = `${image}.d`;
  mkdirSync(folder);
  fillFolder(folder, random, corpus);
  make(image, { ...layout, options: [...layout.options, '-d', folder] });
  const digests = digestFolder(folder);
  rmSync(folder, { recursive: true });
  return digests;
}

function readByDebugfs(image: string): Map<string, string> {
  const folder = `${image}.d`;
  mkdirSync(folder);
  run('debugfs', ['-R', `rdump / ${folder}`, image]);
  const digests = digestFolder(folder);
  rmSync(folder, { recursive: true });
  return digests;
}

for (const layout of [...MOUNTABLE, ...UNMOUNTABLE]) {
  test(layout.name, () => roundTrip(layout));
}

test('what lies past the end of the file system is not its own', async () => {
  const image = join(scratch, 'short.img');
  makeImage(image, 64 * MiB, ['-t', 'ext4', '-b', '4096']);
  copyFileSync(image, `${image}.2`);
  run('truncate', ['-s', String(80 * MiB + 512), `${image}.2`]);
  await withVolume(`${image}.2`, async (volume, info) => {
    assert.is(info.size, 64 * MiB);
    const map = await ext4.openAllocationMap(volume, info);
    let end = 0;
    for await (const extent of map.usedExtents({ offset: 0, length: volume.size })) end = extent.offset + extent.length;
    assert.ok(end <= 64 * MiB);
    const beyond: unknown[] = [];
    for await (const extent of map.usedExtents({ offset: 64 * MiB, length: 16 * MiB })) beyond.push(extent);
    assert.equal(beyond, []);
  });
});

test.run();
