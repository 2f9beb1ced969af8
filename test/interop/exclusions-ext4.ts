// Swap files on ext2/3/4 are left out if everything speaks for it: mkswap and the kernel make them, e2fsck, blkid and
// swapon judge the copy.

import { chmodSync, chownSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { KiB, MiB } from '../../src/base/units.js';
import { oldFile, sha256 } from '../support/clone-judge.js';
import { fillFolder } from '../support/ext4-corpus.js';
import { demandPerfect, makeImage, mounted, patch } from '../support/ext4-image.js';
import { cloned, verified } from '../support/in-process.js';
import { demandKept, demandLeftOut } from '../support/paged.js';
import { thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { demandSameButSwapped, excludablePaths, makeSwapFile } from '../support/swap-file.js';

const SIZE = 32 * MiB;
const SWAP = 3 * MiB;
const PAGE = 4 * KiB;
const EXT4 = ['-t', 'ext4', '-b', '4096'];
const FSTAB = '# a root\nUUID=none /none ext4 defaults 0 0\n/swapfile\tnone swap sw,pri=5 0 0\n';
const scratch = scratchFolder();
const source = join(scratch, 'source');
const target = join(scratch, 'target');
const FILES = { files: 60, largest: 200 * KiB, total: 2 * MiB };

interface Wish {
  readonly options?: readonly string[];
  readonly fstab?: string;
  /** After everything else. */
  readonly change?: (folder: string) => void;
}

function made({ options = EXT4, fstab = FSTAB, change = () => {} }: Wish = {}, path = source): void {
  makeImage(path, SIZE, options);
  mounted(path, (folder) => {
    fillFolder(folder, randomFrom(SEED), FILES);
    mkdirSync(join(folder, 'etc'));
    writeFileSync(join(folder, 'etc/fstab'), fstab);
    makeSwapFile(join(folder, 'swapfile'), SWAP);
    change(folder);
  });
}

function fresh(): string {
  rmSync(target, { force: true });
  return oldFile(target, SIZE);
}

/** The copy is a sound file system, all files but `name` are the same, and that one is a swap area of nothing else. */
function demandSwapFile(name = 'swapfile'): void {
  demandPerfect(target);
  demandSameButSwapped(source, target, { name, mounted });
}

const LAYOUTS: Readonly<Record<string, readonly string[]>> = {
  'ext4 by default': EXT4,
  'ext4 without checksums': [...EXT4, '-O', '^metadata_csum,^64bit'],
  'ext3 with blocks of 1 KiB': ['-t', 'ext3', '-b', '1024'],
  'ext2 with small inodes': ['-t', 'ext2', '-b', '2048', '-I', '128'],
  'ext4 with bigalloc': [...EXT4, '-O', 'bigalloc', '-C', '16384'],
};

for (const [name, options] of Object.entries(LAYOUTS)) {
  test(`${name}: all but the header is left out`, async () => {
    made({ options });
    const { plan, excludedBytes } = await cloned(source, fresh());
    const kept = name.includes('bigalloc') ? 16 * KiB : PAGE;
    const excluded = [{ path: '/swapfile', kind: 'swap file', bytes: SWAP - kept }];
    assert.equal(plan.volumes[0]?.excluded, excluded);
    assert.is(excludedBytes, SWAP - kept);
    if (kept === PAGE) {
      demandLeftOut(source, target, SWAP - PAGE);
      demandSwapFile();
    }
    demandPerfect(target);
    assert.ok((await verified(source, target)).equal);
    assert.not.ok((await cloned(source, target)).changed);
  });
}

test('the copied swap file can be swapped to', async () => {
  made();
  await cloned(source, fresh());
  mounted(target, (folder) => {
    const file = join(folder, 'swapfile');
    const tags = (path: string): string => run('blkid', ['-p', '-o', 'export', path]).replace(path, '');
    const wanted = mounted(source, (other) => tags(join(other, 'swapfile')), 'ro');
    assert.is(tags(file).replace(/DEVNAME=.*\n/, ''), wanted.replace(/DEVNAME=.*\n/, ''));
    const { status, stderr } = tryRun('swapon', [file]);
    if (status === 0) run('swapoff', [file]);
    else assert.match(stderr, /not permitted/i, 'swapon is allowed, and takes the file');
  });
});

test('options change from run to run', async () => {
  made();
  await cloned(source, fresh());
  assert.ok((await cloned(source, target, { keepExcluded: true })).changed);
  demandKept(source, target);
  assert.not.ok((await verified(source, target)).equal);
  assert.ok((await cloned(source, target, { verify: true })).changed);
  demandSwapFile();
});

test('a fragmented swap file in a directory with an index', async () => {
  made({
    options: [...EXT4, '-N', '4096'],
    fstab: '/var/big/swap\\040file swap swap defaults 0 0\n',
    change(folder) {
      rmSync(join(folder, 'swapfile'));
      mkdirSync(join(folder, 'var/big'), { recursive: true });
      const names = Array.from({ length: 1500 }, (_, index) => join(folder, 'var/big', `${index}`.padStart(30, 'x')));
      for (const name of names) writeFileSync(name, 'x');
      run('sync', ['-f', folder]);
      for (const [index, name] of names.entries()) if (index % 2 === 0) rmSync(name);
      writeFileSync(join(folder, 'rest'), Buffer.alloc(10 * MiB, 'r'));
      run('sync', ['-f', folder]);
      makeSwapFile(join(folder, 'var/big/swap file'), 2 * MiB);
    },
  });
  const { plan } = await cloned(source, fresh());
  assert.is(plan.excludedBytes, 2 * MiB - PAGE);
  demandLeftOut(source, target, 2 * MiB - PAGE);
  demandSwapFile('var/big/swap file');
});

const COPIED: Readonly<Record<string, Wish>> = {
  'no fstab names it': { fstab: 'UUID=x none swap sw 0 0\n' },
  'the line is a comment': { fstab: '#/swapfile none swap sw 0 0\n' },
  'the line means something else': { fstab: '/swapfile /mnt ext4 loop 0 0\n' },
  'the path goes up': { fstab: '/etc/../swapfile none swap sw 0 0\n' },
  'it lies on another file system': { fstab: `${FSTAB}UUID=0000-1111 / ext4 defaults 0 0\n` },
  'it is not owned by root': { change: (folder) => chownSync(join(folder, 'swapfile'), 1000, 0) },
  'a high user number': { change: (folder) => chownSync(join(folder, 'swapfile'), 65536, 0) },
  'the group may read it': { change: (folder) => chmodSync(join(folder, 'swapfile'), 0o640) },
  'everybody may read it': { change: (folder) => chmodSync(join(folder, 'swapfile'), 0o604) },
  'it is longer than its header says': { change: (folder) => truncateSync(join(folder, 'swapfile'), SWAP + PAGE) },
  'it is shorter': { change: (folder) => truncateSync(join(folder, 'swapfile'), SWAP - PAGE) },
  'its version is unknown': { change: (folder) => poke(join(folder, 'swapfile'), 1024, [2, 0, 0, 0]) },
  'it has bad pages': { change: (folder) => poke(join(folder, 'swapfile'), 1032, [1, 0, 0, 0]) },
  'it has no header': { change: (folder) => poke(join(folder, 'swapfile'), 4086, [0]) },
  'it has a hole': {
    change: (folder) => run('fallocate', ['-p', '-o', `${MiB}`, '-l', `${PAGE}`, join(folder, 'swapfile')]),
  },
  'it is a link': {
    change: (folder) => {
      run('mv', [join(folder, 'swapfile'), join(folder, 'other')]);
      symlinkSync('other', join(folder, 'swapfile'));
    },
  },
};

function poke(path: string, offset: number, bytes: readonly number[]): void {
  patch(path, offset, bytes.length, (at) => at.set(bytes));
}

test(`copied like any other file: ${Object.keys(COPIED).join(', ')}`, async () => {
  for (const [name, wish] of Object.entries(COPIED)) {
    made(wish);
    assert.equal(await excludablePaths(source), [], name);
  }
  await cloned(source, fresh());
  demandKept(source, target);
});

test('a damaged inode names no extents', async () => {
  made();
  const where = /located at block (\d+), offset (0x[0-9a-f]+)/.exec(run('debugfs', ['-R', 'imap /swapfile', source]));
  poke(source, Number(where?.[1]) * 4096 + Number(where?.[2]) + 0x28 + 12 + 8, [0x99]);
  assert.equal(await excludablePaths(source), []);
});

test('suspended: refused, also if an fsck would make the rest clean; a forensic copy is whole', async () => {
  for (const signature of ['S1SUSPEND', 'S2SUSPEND']) {
    made({ change: (folder) => poke(join(folder, 'swapfile'), 4086, [...Buffer.from(`${signature}\0`)]) });
    const error = await thrownBy(() => cloned(source, target));
    assert.ok(error instanceof ToolError && error.code === 'filesystem.unclean', `${error}`);
    assert.match(error.message, /hibernates in its swap file \/swapfile/);
    assert.match(error.hint ?? '', /shut it down/);
  }
  const { plan } = await cloned(source, fresh(), { forensic: true, excludePageFiles: true });
  assert.is(plan.excludedBytes, 0);
  assert.is(sha256(target), sha256(source));
});

test.run();
