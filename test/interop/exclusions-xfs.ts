// Swap files on XFS are left out if everything speaks for it: mkswap and the kernel make them, xfs_db shows in which form
// they and their directories lie, xfs_repair and the kernel judge the copy.

import { chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { KiB, MiB } from '../../src/base/units.js';
import { readFromFile } from '../../src/filesystem/file.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import { oldFile } from '../support/clone-judge.js';
import { fillFolder } from '../support/ext4-corpus.js';
import { cloned, verified } from '../support/in-process.js';
import { demandKept, demandLeftOut, writePaged } from '../support/paged.js';
import { thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { demandSameButSwapped, excludablePaths, makeSwapFile } from '../support/swap-file.js';
import { demandPerfectXfs, growByTurns, makeXfs, mountedXfs, patchFile, withXfs, xfsDb } from '../support/xfs-image.js';

const SIZE = 64 * MiB;
const SWAP = 3 * MiB;
const PAGE = 4 * KiB;
const FILES = { files: 60, largest: 200 * KiB, total: 2 * MiB };
const scratch = scratchFolder();
const source = join(scratch, 'source');
const target = join(scratch, 'target');

interface Wish {
  readonly options?: readonly string[];
  readonly fstab?: string;
  /** Makes the swap file, and what else there shall be. */
  readonly fill?: (folder: string) => void;
}

function plain(folder: string): void {
  makeSwapFile(join(folder, 'swapfile'), SWAP);
}

function made({ options = [], fstab = '/swapfile none swap sw 0 0\n', fill = plain }: Wish = {}): void {
  makeXfs(source, SIZE, options);
  mountedXfs(source, (folder) => {
    fillFolder(folder, randomFrom(SEED), FILES);
    mkdirSync(join(folder, 'etc'));
    writeFileSync(join(folder, 'etc/fstab'), fstab);
    fill(folder);
  });
}

interface Expected {
  readonly name?: string;
  readonly size?: number;
  /** Bytes of paged memory in it; all behind the header if not given. */
  readonly paged?: number;
}

/** Clones, and demands that nothing is missing but the swap file behind its header. */
async function demandSwapFile({ name = 'swapfile', size = SWAP, paged }: Expected = {}): Promise<void> {
  rmSync(target, { force: true });
  const { plan } = await cloned(source, oldFile(target, SIZE));
  assert.equal(plan.volumes[0]?.excluded, [{ path: `/${name}`, kind: 'swap file', bytes: size - PAGE }]);
  demandLeftOut(source, target, paged ?? size - PAGE);
  demandPerfectXfs(target);
  demandSameButSwapped(source, target, { name, mounted: mountedXfs });
}

/** What xfs_db says of the inode at the end of a path. */
function shown(path: string, ...fields: string[]): string {
  return xfsDb(source, `path ${path}`, ...fields.map((field) => `p ${field}`));
}

test('all but the header is left out', async () => {
  made();
  await demandSwapFile();
  assert.ok((await verified(source, target)).equal);
  assert.not.ok((await cloned(source, target)).changed);
});

test('an allocated file of which pages were never written, its extents in a btree', async () => {
  let paged = 0;
  made({
    fill(folder) {
      const path = join(folder, 'swapfile');
      run('fallocate', ['-l', `${SWAP}`, path]);
      chmodSync(path, 0o600);
      run('mkswap', ['-q', path]);
      for (let offset = 2 * PAGE; offset < SWAP; offset += 2 * PAGE) {
        writePaged(path, { offset, length: PAGE });
        paged += PAGE;
      }
    },
  });
  assert.match(shown('/swapfile', 'core.format'), /btree/);
  await demandSwapFile({ paged });
});

const LAYOUTS: Readonly<Record<string, readonly string[]>> = {
  'version 5 by default': [],
  'blocks of 2 KiB, inodes of 1 KiB, large extent counts': ['-b', 'size=2048', '-i', 'size=1024,nrext64=1'],
  'blocks of 1 KiB, directory blocks of 16 KiB': ['-b', 'size=1024', '-n', 'size=16384'],
};

/** A swap file of which no two blocks lie in a row. */
function makeInPieces(path: string, size: number): void {
  growByTurns(path, { count: size / KiB, blockSize: KiB });
  run('dd', ['if=/dev/zero', `of=${path}`, `bs=${size}`, 'count=1', 'conv=notrunc', 'status=none']);
  chmodSync(path, 0o600);
  run('mkswap', ['-q', path]);
  writePaged(path, { offset: PAGE, length: size - PAGE });
}

for (const [name, options] of Object.entries(LAYOUTS)) {
  test(`${name}: a file in pieces below a directory with an index`, async () => {
    made({
      options,
      fstab: '/var/big/paged swap swap defaults 0 0\n',
      fill(folder) {
        mkdirSync(join(folder, 'var/big'), { recursive: true });
        const names = Array.from({ length: 700 }, (_, index) => `${index}`.padStart(60, 'x'));
        for (const each of names) writeFileSync(join(folder, 'var/big', each), '');
        for (const each of names.slice(100, 300)) rmSync(join(folder, 'var/big', each));
        makeInPieces(join(folder, 'var/big/paged'), 2 * MiB);
      },
    });
    assert.match(shown('/var/big/paged', 'u3.bmbt.level'), name.includes('1 KiB, dir') ? /= 2/ : /= 1/);
    assert.ok(Number(/nextents = (\d+)/.exec(shown('/var/big/paged', 'core.nextents'))?.[1]) > 300);
    assert.match(xfsDb(source, 'path /var/big', 'dblock 8388608', 'p'), /leaf|node|hdr/);
    await demandSwapFile({ name: 'var/big/paged', size: 2 * MiB });
  });
}

const COPIED: Readonly<Record<string, Wish>> = {
  'no fstab names it': { fstab: 'UUID=x none swap sw 0 0\n' },
  'it is a link': {
    fill(folder) {
      makeSwapFile(join(folder, 'other'), SWAP);
      symlinkSync('other', join(folder, 'swapfile'));
    },
  },
  'it has a hole': {
    fill(folder) {
      plain(folder);
      run('fallocate', ['-p', '-o', `${MiB}`, '-l', `${PAGE}`, join(folder, 'swapfile')]);
    },
  },
  'everybody may read it': {
    fill(folder) {
      plain(folder);
      chmodSync(join(folder, 'swapfile'), 0o604);
    },
  },
  'it shares its blocks with a copy': {
    fill(folder) {
      plain(folder);
      run('cp', ['--reflink=always', join(folder, 'swapfile'), join(folder, 'copy')]);
    },
  },
};

test(`copied like any other file: ${Object.keys(COPIED).join(', ')}`, async () => {
  for (const [name, wish] of Object.entries(COPIED)) {
    made(wish);
    assert.equal(await excludablePaths(source), [], name);
  }
  rmSync(target, { force: true });
  await cloned(source, oldFile(target, SIZE));
  demandKept(source, target);
});

test('suspended: refused', async () => {
  made({
    fill(folder) {
      plain(folder);
      patchFile(join(folder, 'swapfile'), { offset: 4086, length: 10 }, (bytes) => bytes.write('S1SUSPEND\0'));
    },
  });
  const error = await thrownBy(() => cloned(source, target));
  assert.ok(error instanceof ToolError && error.code === 'filesystem.unclean', `${error}`);
  assert.match(error.message, /hibernates in its swap file \/swapfile/);
});

/** Newer kernels do not mount version 4: mkfs.xfs fills it from the files of a folder. */
function makeV4(options: readonly string[]): ReadonlyMap<string, Buffer> {
  const folder = join(scratch, 'files');
  mkdirSync(folder);
  makeSwapFile(join(folder, 'swapfile'), SWAP);
  const random = randomFrom(SEED);
  const files = Array.from({ length: 300 }, (_, index) => `the-file-with-number-${index}`);
  for (const name of files) writeFileSync(join(folder, name), random.bytes(random.between(1, 9000)));
  writeFileSync(join(folder, 'fstab'), '/a/swapfile none swap sw 0 0\n');
  const line = (name: string): string => `${name} ---600 0 0 ${join(folder, name)}`;
  const inner = [...files, 'swapfile'].map(line);
  const lines = [
    '/boot',
    '0 0',
    'd--755 0 0',
    'etc d--755 0 0',
    line('fstab'),
    '$',
    'a d--755 0 0',
    ...inner,
    '$',
    '$',
  ];
  writeFileSync(join(scratch, 'prototype'), [...lines, ''].join('\n'));
  makeXfs(source, SIZE, ['-m', 'crc=0', '-p', join(scratch, 'prototype'), ...options]);
  const contents = new Map(files.map((name) => [`/a/${name}`, readFileSync(join(folder, name))]));
  rmSync(folder, { recursive: true });
  return contents;
}

for (const options of [
  ['-n', 'ftype=0'],
  ['-b', 'size=512', '-n', 'ftype=1'],
]) {
  test(`version 4, ${options.join(' ')}`, async () => {
    const contents = makeV4(options);
    rmSync(target, { force: true });
    const { plan } = await cloned(source, oldFile(target, SIZE));
    assert.is(plan.excludedBytes, SWAP - PAGE);
    demandLeftOut(source, target, SWAP - PAGE);
    demandPerfectXfs(target);
    await withXfs(target, async (volume, info) => {
      for (const [path, content] of contents) {
        const file = await xfs.findFile?.(volume, info, path);
        assert.is(file?.size, content.length, path);
        const found = Buffer.alloc(content.length);
        await readFromFile(volume, file ?? { size: 0, extents: [] }, { into: found, position: 0 });
        assert.ok(found.equals(content), path);
      }
    });
  });
}

test.run();
