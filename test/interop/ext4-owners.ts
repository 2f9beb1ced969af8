// Who owns what on ext2/3/4: every extent that the kernel tells of a file, every structure that dumpe2fs tells of, and
// what debugfs says of random blocks.

import {
  closeSync,
  constants,
  copyFileSync,
  linkSync,
  mkdirSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import type { Owner } from '../../src/filesystem/plugin.js';
import { digestFolder, fillFolder, thinFolder } from '../support/ext4-corpus.js';
import { makeImage, mounted } from '../support/ext4-image.js';
import { faultySource } from '../support/faulty.js';
import { fileSource } from '../support/file-source.js';
import { assertSameInParts, bytesOf, ownerAt, ownersOf } from '../support/owners.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const { O_WRONLY, O_CREAT, O_SYNC } = constants;

interface FileExtent {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

interface Filled {
  readonly image: string;
  readonly extents: readonly FileExtent[];
  /** Path → all paths of the same file. */
  readonly links: ReadonlyMap<string, readonly string[]>;
}

function fill(folder: string, random: Random): Pick<Filled, 'links'> {
  fillFolder(folder, random, { files: 150, largest: MiB, total: 8 * MiB });
  thinFolder(folder, random);
  fragmented(join(folder, 'in pieces'), join(folder, 'between'), random);
  const far = openSync(join(folder, 'far'), 'w');
  for (const at of [0, 300_000, 5 * MiB, 70 * MiB]) writeSync(far, random.bytes(5000), 0, 5000, at);
  closeSync(far);
  mkdirSync(join(folder, 'many/deep/er'), { recursive: true });
  for (let index = 0; index < 300; index += 1) writeFileSync(join(folder, 'many', `name number ${index}`), 'x');
  writeFileSync(join(folder, 'many/deep/er/linked'), random.bytes(30_000));
  // Too long for any inode, so it takes a block.
  run('python3', ['-c', 'import os,sys; os.setxattr(sys.argv[1], "user.note", b"n" * 900)', join(folder, 'far')]);
  linkSync(join(folder, 'many/deep/er/linked'), join(folder, 'also linked'));
  linkSync(join(folder, 'many/deep/er/linked'), join(folder, 'many', 'too'));
  const all = ['/also linked', '/many/deep/er/linked', '/many/too'];
  return { links: new Map(all.map((path) => [path, all])) };
}

/** Two files that grow in turns, so that neither gets its blocks in a row. */
function fragmented(one: string, other: string, random: Random): void {
  const files = [one, other].map((path) => openSync(path, O_WRONLY | O_CREAT | O_SYNC));
  for (let piece = 0; piece < 24; piece += 1) {
    for (const file of files) writeSync(file, random.bytes(4096), 0, 4096, piece * 2 * 4096);
  }
  for (const file of files) closeSync(file);
}

/** What the kernel tells: FIEMAP of every file and directory. */
function extentsIn(folder: string): FileExtent[] {
  run('sync', ['-f', folder]);
  const paths = [...digestFolder(folder)].filter(([, what]) => !what.startsWith('->')).map(([path]) => path);
  const found: FileExtent[] = [];
  let path = '';
  for (const line of run('filefrag', ['-v', '-b1024', ...paths.map((each) => join(folder, each))]).split('\n')) {
    path = /^File size of (.*) is \d+ \(/.exec(line)?.[1] ?? path;
    const numbers = /^\s*\d+:\s+\d+\.\.\s*\d+:\s+(\d+)\.\.\s*\d+:\s+(\d+):(.*)$/.exec(line);
    if (!numbers || /inline|unknown/.test(numbers[3] ?? '')) continue;
    const [offset, length] = [Number(numbers[1]) * 1024, Number(numbers[2]) * 1024];
    found.push({ path: path.slice(folder.length), offset, length });
  }
  return found;
}

const VARIANTS: readonly (readonly [name: string, size: number, options: readonly string[]])[] = [
  ['ext4', 96 * MiB, ['-t', 'ext4']],
  ['ext2 with 1 KiB blocks', 96 * MiB, ['-t', 'ext2', '-b', '1024']],
  ['ext3', 64 * MiB, ['-t', 'ext3', '-b', '4096']],
  ['meta_bg', 64 * MiB, ['-t', 'ext4', '-b', '1024', '-O', 'meta_bg,^resize_inode']],
  ['bigalloc', 96 * MiB, ['-t', 'ext4', '-b', '1024', '-O', 'bigalloc', '-C', '16384']],
  ['inline data', 64 * MiB, ['-t', 'ext4', '-O', 'inline_data,ea_inode', '-I', '256']],
  ['sparse_super2, no flex_bg', 64 * MiB, ['-t', 'ext4', '-b', '1024', '-O', 'sparse_super2,^flex_bg']],
  ['32 bit, no checksums', 64 * MiB, ['-t', 'ext4', '-b', '2048', '-O', '^64bit,^metadata_csum']],
];

for (const [index, [name, size, options]] of VARIANTS.entries()) {
  test(`${name}: as the kernel, dumpe2fs and debugfs see it`, async () => {
    const random = randomFrom(SEED + index);
    const image = join(scratch, 'volume.img');
    makeImage(image, size, options);
    const filled = mounted(image, (folder) => {
      const { links } = fill(folder, random);
      return { image, links, extents: extentsIn(folder) };
    });
    const volume = fileSource(image);
    const owners = await ownersOf(ext4, volume);
    assertFiles(owners, filled);
    assertStructures(owners, image);
    assertAsDebugfs(owners, image, random);
    await assertSameInParts(ext4, volume, { whole: owners, random, count: 60 });
    await volume.close();
    rmSync(image);
  });
}

function assertFiles(owners: readonly Owner[], { extents, links }: Filled): void {
  assert.ok(extents.length > 100);
  for (const { path, offset, length } of extents) {
    for (const at of [offset, offset + length - 1]) {
      const { kind, names } = ownerAt(owners, at);
      const told = `${path} at ${at}: ${kind} ${names.join(', ')}`;
      if (kind === 'file') assert.equal([...names].sort(), links.get(path) ?? [path], told);
      else assert.equal(names, [`directory ${path}`], told);
    }
  }
}

/** Every block is known, the free ones are as many as the superblock counts, and structures lie where dumpe2fs says. */
function assertStructures(owners: readonly Owner[], image: string): void {
  const text = run('dumpe2fs', [image]);
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1]);
  const blockSize = field('Block size');
  // With bigalloc nobody uses the rest of a cluster that holds a bitmap.
  const clusterSize = /^Cluster size:/m.test(text) ? field('Cluster size') : blockSize;
  const unnamed = owners.filter(({ kind, names }) => kind !== 'free' && names.length === 0);
  assert.ok(unnamed.every(({ extent }) => extent.length < clusterSize && clusterSize > blockSize));
  assert.is(
    bytesOf(owners, ({ kind }) => kind === 'free'),
    field('Free blocks') * blockSize,
  );
  const attribute = /^(extended attributes of \/far|inode \d+ \(value of an extended attribute\))$/;
  assert.ok(owners.some(({ names }) => attribute.test(names[0] ?? '')));
  const [, count = '0', unit] = /^Total journal size:\s+(\d+)([kM])/m.exec(text) ?? [];
  const journal = Number(count) * (unit === 'M' ? MiB : KiB);
  assert.is(
    bytesOf(owners, ({ names }) => names[0] === 'journal'),
    journal,
  );
  let groups = 0;
  for (const part of text.split(/^Group /m).slice(1)) {
    const group = Number.parseInt(part, 10);
    groups += 1;
    const expect = (pattern: RegExp, owner: string): void => {
      const block = pattern.exec(part)?.[1];
      if (block === undefined) return;
      assert.equal(ownerAt(owners, Math.max(1024, Number(block) * blockSize)).names, [owner], `group ${group}`);
    };
    expect(/Block bitmap at (\d+)/, `block bitmap of group ${group}`);
    expect(/Inode bitmap at (\d+)/, `inode bitmap of group ${group}`);
    expect(/Inode table at (\d+)/, `inode table of group ${group}`);
    expect(/Inode table at \d+-(\d+)/, `inode table of group ${group}`);
    expect(/Primary superblock at (\d+)/, 'superblock');
    expect(/Backup superblock at (\d+)/, `backup of the superblock in group ${group}`);
    const copies = group === 0 ? 'group descriptors' : `backup of the group descriptors in group ${group}`;
    expect(/Group descriptors at (\d+)/, copies);
    expect(/Group descriptors at \d+-(\d+)/, copies);
    expect(/Reserved GDT blocks at (\d+)/, `space for more group descriptors in group ${group}`);
    expect(/Reserved GDT blocks at \d+-(\d+)/, `space for more group descriptors in group ${group}`);
  }
  assert.ok(groups > 0);
}

/** icheck tells the inode of a block, ncheck all names of an inode. */
function assertAsDebugfs(owners: readonly Owner[], image: string, random: Random): void {
  const blockSize = Number(/^Block size:\s+(\d+)/m.exec(run('dumpe2fs', ['-h', image]))?.[1]);
  const used = owners.filter(({ kind }) => kind !== 'free');
  const blocks = Array.from({ length: rounds({ short: 80, long: 800 }) }, () => {
    const { offset, length } = random.pick(used).extent;
    return Math.floor((offset + random.below(length)) / blockSize);
  });
  const debugfs = (request: string): string[] => run('debugfs', ['-R', request, image]).split('\n');
  const inodeOf = new Map<number, number>();
  for (const line of debugfs(`icheck ${blocks.join(' ')}`)) {
    const [, block, inode] = /^(\d+)\t(\d+)$/.exec(line) ?? [];
    if (Number(inode) > 10) inodeOf.set(Number(block), Number(inode));
  }
  const namesOf = new Map<number, string[]>();
  for (const line of debugfs(`ncheck ${[...new Set(inodeOf.values())].join(' ')}`)) {
    const [, inode, path = ''] = /^(\d+)\t(.*)$/.exec(line) ?? [];
    if (inode !== undefined)
      namesOf.set(Number(inode), [...(namesOf.get(Number(inode)) ?? []), path.replace('//', '/')]);
  }
  assert.ok(namesOf.size > 0);
  for (const [block, inode] of inodeOf) {
    const names = ownerAt(owners, block * blockSize)
      .names.filter((name) => !/^inode \d+ \(value/.test(name))
      .map((name) => name.replace(/^(directory|block map of|extended attributes of) /, ''));
    assert.equal([...names].sort(), [...(namesOf.get(inode) ?? [])].sort(), `block ${block} of inode ${inode}`);
  }
}

test('a file that was deleted while it was open goes by its number', async () => {
  const image = join(scratch, 'orphan.img');
  const copy = join(scratch, 'orphan-copy.img');
  makeImage(image, 16 * MiB, ['-t', 'ext4']);
  const extents = mounted(image, (folder) => {
    const path = join(folder, 'gone');
    writeFileSync(path, randomFrom(SEED).bytes(50_000));
    const found = extentsIn(folder);
    const open = openSync(path, 'r');
    rmSync(path);
    run('fsfreeze', ['-f', folder]);
    copyFileSync(image, copy);
    run('fsfreeze', ['-u', folder]);
    closeSync(open);
    return found;
  });
  const volume = fileSource(copy);
  const { kind, names } = ownerAt(await ownersOf(ext4, volume), extents[0]?.offset ?? 0);
  assert.is(kind, 'file');
  assert.match(names[0] ?? '', /^inode \d+ \(deleted while it was open\)$/);
  await volume.close();
});

test('a failing disk: descriptors come from their backup, what cannot be read has no name or its number', async () => {
  const image = join(scratch, 'failing.img');
  makeImage(image, 64 * MiB, ['-t', 'ext4', '-b', '1024']);
  const extents = mounted(image, (folder) => {
    mkdirSync(join(folder, 'a/b'), { recursive: true });
    writeFileSync(join(folder, 'a/b/file'), randomFrom(SEED).bytes(100_000));
    return extentsIn(folder);
  });
  const at = (path: string): number => extents.find((extent) => extent.path === path)?.offset ?? 0;
  const volume = fileSource(image);
  const failing = (offset: number, length: number) =>
    faultySource(volume, { faults: [{ verbs: ['read'], within: { offset, length }, errno: 'EIO' }] });
  const file = [{ offset: at('/a/b/file'), length: 512 }];
  assert.equal((await ownersOf(ext4, failing(2048, 1024), file))[0]?.names, ['/a/b/file']);
  assert.equal((await ownersOf(ext4, failing(at('/a'), 1024), file))[0]?.names.length, 1);
  assert.match((await ownersOf(ext4, failing(at('/a'), 1024), file))[0]?.names[0] ?? '', /^inode \d+\/file$/);
  assert.match((await ownersOf(ext4, failing(at('/a/b'), 1024), file))[0]?.names[0] ?? '', /^inode \d+$/);
  const directory = [{ offset: at('/a/b'), length: 1024 }];
  assert.equal((await ownersOf(ext4, failing(at('/a/b'), 1024), directory))[0]?.names, ['directory /a/b']);
  const table = Number(/Inode table at (\d+)/.exec(run('dumpe2fs', [image]))?.[1]) * 1024;
  assert.equal((await ownersOf(ext4, failing(table, 64 * 1024), file))[0], {
    extent: file[0],
    kind: 'structure',
    names: [],
  });
  await volume.close();
});

test('a large file system costs no memory, and what is free no pass over its inodes', async () => {
  const image = join(scratch, 'large.img');
  makeImage(image, 2 * MiB * MiB, ['-t', 'ext4', '-T', 'largefile4', '-E', 'lazy_itable_init=1,nodiscard']);
  const volume = fileSource(image);
  const before = process.memoryUsage().rss;
  const [free] = await ownersOf(ext4, volume, [{ offset: MiB * MiB + 5 * MiB, length: 4096 }]);
  assert.is(free?.kind, 'free');
  assert.ok(volume.counted.bytes < 8 * MiB, `${volume.counted.bytes} bytes were read`);
  const root = await ownersOf(ext4, volume, [{ offset: 0, length: 64 * MiB }]);
  assert.ok(root.some(({ names }) => names[0] === 'inode table of group 1'));
  assert.ok(process.memoryUsage().rss - before < 200 * MiB);
  await volume.close();
});

test.run();
