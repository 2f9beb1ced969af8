// Who owns what on NTFS. Every cluster of every file has a content that lies nowhere else, so the volume itself tells
// where each file lies; ntfscluster and ntfsinfo tell of the rest.

import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { ntfs } from '../../src/filesystem/ntfs/plugin.js';
import type { Owner } from '../../src/filesystem/plugin.js';
import { extentEnd } from '../../src/map/extent.js';
import { memoryTarget } from '../../src/source/memory.js';
import { faultySource } from '../support/faulty.js';
import { hashTree, withNtfsMounted } from '../support/ntfs-mount.js';
import { fillFolder, fragment, makeNtfs } from '../support/ntfs-volume.js';
import { assertContent, assertSameInParts, bytesOf, ownerAt, ownersOf } from '../support/owners.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();

/** Path of the mounted file → how owners call it; several names for a file with several. */
type Names = Map<string, readonly string[]>;

const STREAMS = { options: 'streams_interface=windows' };

/** Hard links, a stream, a file inside its record, a name with half a surrogate pair and all that `fillFolder` makes. */
function fill(folder: string, random: Random, budget: number): Names {
  fillFolder(folder, random, { budget });
  const names: Names = new Map();
  mkdirSync(join(folder, 'one/two'), { recursive: true });
  writeFileSync(join(folder, 'one/two/linked with a long name.text'), random.bytes(200_000));
  linkSync(join(folder, 'one/two/linked with a long name.text'), join(folder, 'second name'));
  writeFileSync(join(folder, 'one/two/linked with a long name.text:stream'), random.bytes(150_000));
  writeFileSync(join(folder, 'one/small'), 'inside its record');
  for (let index = 0; index < 90; index += 1) writeFileSync(join(folder, 'one', `${index} of many long names`), 'x');
  const both = ['/one/two/linked with a long name.text', '/second name'];
  for (const name of both) {
    names.set(name.slice(1), both);
    names.set(
      `${name.slice(1)}:stream`,
      both.map((each) => `${each}:stream`),
    );
  }
  return names;
}

/** Where the content of each cluster of each file lies, by looking for it on the whole volume. */
async function assertFiles(owners: readonly Owner[], image: string, names: Names, clusterSize: number): Promise<void> {
  const files = await withNtfsMounted(
    image,
    (folder) => {
      const paths = new Set([...hashTree(folder).keys(), ...names.keys()]);
      return [...paths].map((path) => [names.get(path) ?? [`/${path}`], readFileSync(join(folder, path))] as const);
    },
    { options: `ro,${STREAMS.options}` },
  );
  const clusters = assertContent(owners, readFileSync(image), { files, clusterSize });
  assert.ok(clusters > 20, `${clusters} clusters`);
}

const SYSTEM = ['$MFT', '$MFTMirr', '$LogFile', '$AttrDef', '$Bitmap', '$Boot', '$UpCase', '$Secure'];

/** As ntfscluster calls the owner of a cluster: "Inode 66 /dir/sub/f/$DATA(ads)". */
function assertAsNtfscluster(owners: readonly Owner[], image: string, clusterSize: number, random: Random): void {
  for (let round = 0; round < rounds({ short: 12, long: 200 }); round += 1) {
    const { extent } = random.pick(owners);
    const cluster = Math.floor((extent.offset + random.below(extent.length)) / clusterSize);
    const said = run('ntfscluster', ['-f', '-c', `${cluster}-${cluster}`, image]);
    const [, inode = '', path = '', attribute = ''] = /^Inode (\d+) (\/.*)\/\$([A-Z_]+)(?:\(.*\))?$/m.exec(said) ?? [];
    const { kind, names } = ownerAt(owners, cluster * clusterSize);
    const told = `cluster ${cluster}: ${kind} ${names}\n${said}`;
    if (inode === '') assert.ok(kind === 'free' || /MFT record|record of|backup boot/.test(names[0] ?? ''), told);
    else if (inode === '0') assert.match(names[0] ?? '', /MFT|record|\$Boot/, told);
    else if (Number(inode) < 24 && SYSTEM.some((name) => path === `/${name}`)) assert.match(names[0] ?? '', /\$/, told);
    else if (attribute === 'INDEX_ALLOCATION') assert.match(names[0] ?? '', /^directory \//, told);
    else if (attribute === 'DATA') assert.ok(kind === 'file', told);
  }
}

function assertSystemFiles(owners: readonly Owner[], image: string): void {
  const names = new Set(owners.flatMap((owner) => owner.names));
  for (const name of ['$Boot', '$MFTMirr', '$LogFile', '$Bitmap', '$UpCase', 'backup boot sector', 'record of $MFT']) {
    assert.ok(names.has(name), name);
  }
  const unnamed = bytesOf(owners, ({ kind, names: some }) => kind !== 'free' && some.length === 0);
  assert.is(unnamed, 0, 'bytes without a name');
  const free = Number(/Free Clusters:\s+(\d+)/.exec(run('ntfsinfo', ['-m', '-f', image]))?.[1] ?? Number.NaN);
  const size = Number(/Cluster Size:\s+(\d+)/.exec(run('ntfsinfo', ['-m', '-f', image]))?.[1]);
  if (!Number.isNaN(free)) assert.ok(bytesOf(owners, ({ kind }) => kind === 'free') - free * size < size);
}

/** Every record by the name that ntfsinfo gives it: files inside their records too. */
function assertRecords(owners: readonly Owner[], path: string, image: string): void {
  const inode = Number(/Dumping Inode (\d+)/.exec(run('ntfsinfo', ['-F', path, image]))?.[1]);
  assert.ok(inode >= 24);
  assert.ok(
    owners.some(({ names }) => names.includes(`record of ${path}`)),
    `record ${inode} of ${path}`,
  );
}

for (const { clusterSize, size, budget } of [
  { clusterSize: 512, size: 24 * MiB, budget: 6 * MiB },
  { clusterSize: 4 * KiB, size: 48 * MiB + 512 * 5, budget: 8 * MiB },
  { clusterSize: 64 * KiB, size: 64 * MiB, budget: 8 * MiB },
]) {
  test(`clusters of ${clusterSize}: files, streams, hard links, records, directories, free space`, async () => {
    const image = join(scratch, `ntfs-${clusterSize}`);
    const random = randomFrom(SEED + clusterSize);
    makeNtfs(image, { size, clusterSize });
    const names = await withNtfsMounted(image, (folder) => fill(folder, random, budget), STREAMS);
    const volume = memoryTarget(readFileSync(image));
    const owners = await ownersOf(ntfs, volume);
    await assertFiles(owners, image, names, clusterSize);
    assertSystemFiles(owners, image);
    assertAsNtfscluster(owners, image, clusterSize, random);
    assertRecords(owners, '/one/small', image);
    assert.ok(owners.some(({ names: some }) => some[0] === 'directory /one'));
    await assertSameInParts(ntfs, volume, { whole: owners, random, count: 60 });
    rmSync(image);
  });
}

test('compressed and sparse files own the clusters that they have', async () => {
  const image = join(scratch, 'ntfs-compressed');
  makeNtfs(image, { size: 24 * MiB, clusterSize: 4096 });
  await withNtfsMounted(
    image,
    (folder) => {
      run('python3', [
        '-c',
        'import os,sys; os.setxattr(sys.argv[1], "system.ntfs_attrib_be", bytes([0,0,8,0]))',
        folder,
      ]);
      writeFileSync(join(folder, 'text'), 'all work and no play makes a dull file\n'.repeat(40_000));
    },
    { options: 'compression' },
  );
  const owners = await ownersOf(ntfs, memoryTarget(readFileSync(image)));
  const allocated = Number(
    /Allocated size:\s+(\d+)/.exec(run('ntfsinfo', ['-F', 'text', '-v', image]).split('(0x80)')[1] ?? '')?.[1],
  );
  const own = bytesOf(owners, ({ kind, names }) => kind === 'file' && names[0] === '/text');
  assert.ok(own > 0 && own < 2 * MiB && own % 4096 === 0, `${own} of ${allocated}`);
  assertSystemFiles(owners, image);
  rmSync(image);
});

test('a file in thousands of pieces, spread over extension records, and a fragmented table', async () => {
  const image = join(scratch, 'ntfs-fragmented');
  const random = randomFrom(SEED);
  makeNtfs(image, { size: 32 * MiB, clusterSize: 512 });
  await withNtfsMounted(image, (folder) => fragment(folder, random, { clusterSize: 2048, holes: 3000, names: 1000 }));
  assert.match(run('ntfsinfo', ['-F', 'fragmented', image]), /ATTRIBUTE_LIST/);
  const volume = memoryTarget(readFileSync(image));
  const owners = await ownersOf(ntfs, volume);
  await assertFiles(owners, image, new Map(), 512);
  assertSystemFiles(owners, image);
  const records = owners.filter(({ names }) => names[0] === 'record of /fragmented');
  assert.ok(records.length > 2, 'extension records go by the name of their file');
  rmSync(image);
});

test('a failing disk: names of unreadable records come from the directories, the table from its mirror', async () => {
  const image = join(scratch, 'ntfs-failing');
  makeNtfs(image, { size: 24 * MiB, clusterSize: 4096 });
  const random = randomFrom(SEED);
  await withNtfsMounted(image, (folder) => fill(folder, random, 2 * MiB), STREAMS);
  const volume = memoryTarget(readFileSync(image));
  const whole = await ownersOf(ntfs, volume);
  const where = (name: string): { offset: number; length: number } => {
    const owner = whole.find(({ names }) => names.includes(name));
    assert.ok(owner, name);
    return owner.extent;
  };
  const names = async (bad: readonly string[], asked: string): Promise<readonly string[]> => {
    const faults = bad.map((name) => ({ verbs: ['read'] as const, within: where(name), errno: 'EIO' as const }));
    const owners = await ownersOf(ntfs, faultySource(volume, { faults }), [where(asked)]);
    assert.ok(owners.every(({ extent }) => extentEnd(extent) <= volume.size));
    return [...(owners[0]?.names ?? [])].sort();
  };
  const linked = ['/one/two/linked with a long name.text', '/second name'];
  const record = linked.map((name) => `record of ${name}`);
  assert.equal(await names([record[0] ?? ''], record[0] ?? ''), record);
  assert.equal(await names(['record of $MFT'], linked[0] ?? ''), linked);
  assert.equal(await names(['record of /one'], 'record of /one/small'), ['record of /one/small']);
  assert.equal(await names(['directory /one'], 'directory /one'), ['directory /one']);
  assert.equal(await names(['$Bitmap'], '$Bitmap'), ['$Bitmap']);
  assert.equal(await names([record[0] ?? ''], linked[0] ?? ''), [], 'the record alone knew of the clusters');
  rmSync(image);
});

test('a name with half a surrogate pair is text all the same', async () => {
  const image = join(scratch, 'ntfs-name');
  makeNtfs(image, { size: 8 * MiB, clusterSize: 4096 });
  await withNtfsMounted(image, (folder) => writeFileSync(join(folder, 'ZZQQZZ'), randomFrom(SEED).bytes(20_000)));
  const bytes = readFileSync(image);
  const name = Buffer.from('ZZQQZZ', 'utf16le');
  for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name, at + 1)) bytes.writeUInt16LE(0xd800, at + 4);
  const owners = await ownersOf(ntfs, memoryTarget(bytes));
  const [found] = owners.filter(({ kind }) => kind === 'file');
  assert.equal(found?.names, ['/ZZ\ufffdQZZ']);
  rmSync(image);
});

test.run();
