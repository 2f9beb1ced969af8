// What the records of a btrfs cover, one thing at a time: what changes them, what does not, and what is in none.

import { closeSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GiB, KiB, MiB } from '../../src/base/units.js';
import { btrfs } from '../../src/filesystem/btrfs/plugin.js';
import { type FileRecord, OutOfReach } from '../../src/filesystem/plugin.js';
import { type Extent, gaps, totalLength } from '../../src/map/extent.js';
import { makeBtrfs, mounted, patch } from '../support/btrfs-image.js';
import { nodesOf, seal } from '../support/btrfs-nodes.js';
import { fileSource } from '../support/file-source.js';
import { randomFrom, SEED } from '../support/random.js';
import { assertUnchanged, type Scan, scanRecords, unreadExtents } from '../support/record-scan.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const random = randomFrom(SEED);
const SIZE = 512 * MiB;
const NODE = 16 * KiB;
const FILE = 100 * KiB;

async function scanOf(image: string): Promise<Scan> {
  const volume = fileSource(image);
  try {
    return await scanRecords(btrfs, volume);
  } finally {
    await volume.close();
  }
}

function copyImage(from: string, to: string): string {
  run('cp', ['--sparse=always', '--reflink=never', from, to]);
  return to;
}

/** Throws if a byte was missed; returns how many would not be read. */
async function unreadBetween(then: string, now: string): Promise<number> {
  const unread = unreadExtents(await scanOf(then), await scanOf(now));
  return assertUnchanged(unread, fileSource(then), fileSource(now));
}

function writeFiles(folder: string, names: readonly string[]): void {
  for (const name of names) writeFileSync(join(folder, name), random.bytes(FILE));
}

const NAMES = Array.from({ length: 20 }, (_, index) => `file ${index}`);

/** Addresses of the extents of a file. */
function addressesOf(path: string): number[] {
  const lines = run('filefrag', ['-e', '-b1', path]).matchAll(/^\s*\d+:\s*\d+\.\.\s*\d+:\s*(\d+)\.\./gm);
  return [...lines].map(([, address]) => Number(address));
}

/** Address, length and generation of every data extent, as btrfs-progs see them. */
function extentsIn(image: string): Set<string> {
  const dump = run('btrfs', ['inspect-internal', 'dump-tree', '-t', 'extent', image]);
  const items = dump.matchAll(/key \((\d+) EXTENT_ITEM (\d+)\).*\n\s*refs \d+ gen (\d+) flags DATA/g);
  return new Set([...items].map(([, address, length, generation]) => `${address} ${length} ${generation}`));
}

test('two futures of one image: the same addresses, lengths and generations, other bytes', async () => {
  const base = join(scratch, 'base');
  makeBtrfs([base], SIZE, []);
  mounted([base], (folder) => writeFiles(folder, NAMES));
  const [one, other] = ['one', 'other'].map((name) => copyImage(base, join(scratch, name)));
  assert.ok(one && other);
  for (const image of [one, other]) {
    mounted([image], (folder) =>
      writeFiles(
        folder,
        NAMES.map((name) => `new ${name}`),
      ),
    );
  }
  const extents = extentsIn(one);
  const common = [...extentsIn(other)].filter((extent) => extents.has(extent)).length;
  assert.ok(common > NAMES.length, `only ${common} extents look alike`);
  const unread = await unreadBetween(one, other);
  assert.is(unread, NAMES.length * FILE, 'what both of them have from the base, and nothing else');
});

test('what came after the map was made that a pass copies by is read by the next pass', async () => {
  const image = join(scratch, 'pass');
  makeBtrfs([image], SIZE, []);
  mounted([image], (folder) => writeFiles(folder, NAMES));
  const volume = fileSource(image);
  const info = await btrfs.probe(volume);
  assert.ok(info);
  const planned = copyImage(image, join(scratch, 'planned'));
  mounted([image], (folder) => writeFiles(folder, ['later']));
  const during = await scanRecords(btrfs, volume, info);
  const unread = unreadExtents(during, await scanOf(image));
  await volume.close();
  const map = await btrfs.openAllocationMap(fileSource(planned), info);
  const used: Extent[] = [];
  for await (const extent of map.usedExtents({ offset: 0, length: SIZE })) used.push(extent);
  for (const extent of unread) assert.equal([...gaps(used, extent)], [], 'nothing stays unread that was not copied');
  assert.is(totalLength(unread), NAMES.length * FILE);
});

test('data at addresses beyond 4 GiB', async () => {
  const image = join(scratch, 'far');
  makeBtrfs([image], 8 * GiB, []);
  mounted([image], (folder) => {
    // Space that is reserved costs none of the sparse file.
    const reserve = (name: string): boolean => tryRun('fallocate', ['-l', '100M', join(folder, name)]).status === 0;
    let count = 0;
    while (reserve(String(count))) count += 1;
    rmSync(join(folder, String(count - 1)));
    run('sync', ['-f', folder]);
    writeFileSync(join(folder, 'far'), random.bytes(16 * MiB));
  });
  const { records } = await scanOf(image);
  assert.ok(Math.max(...records.keys()) > 4 * GiB);
  rmSync(image);
});

test('a bad copy that the kernel mends in place is read again', async () => {
  const now = join(scratch, 'mended');
  makeBtrfs([now], SIZE, ['-d', 'dup', '-m', 'dup']);
  mounted([now], (folder) => writeFiles(folder, NAMES));
  const [record] = (await scanOf(now)).records.values();
  assert.is(record?.extents.length, 2, 'DUP lies twice');
  for (const { offset } of record?.extents.slice(0, 1) ?? []) patch(now, offset, 8, (bytes) => bytes.fill(0x55));
  const then = copyImage(now, join(scratch, 'spoiled'));
  for (let reading = 0; reading < 2; reading += 1) {
    // Which of the two copies is read is up to the kernel: a scrub reads both.
    mounted([now], (folder) => {
      for (const name of NAMES) readFileSync(join(folder, name));
      run('btrfs', ['scrub', 'start', '-B', folder]);
    });
  }
  const repaired = Buffer.alloc(8);
  await fileSource(now).read(repaired, record?.extents[0]?.offset ?? 0);
  assert.not.equal(repaired, Buffer.alloc(8, 0x55), 'it was mended');
  assert.is(await unreadBetween(then, now), 0);
});

test('only what has all its checksums is in a record', async () => {
  const image = join(scratch, 'kinds');
  makeBtrfs([image], SIZE, []);
  const addresses = {
    plain: [] as number[],
    inPlace: [] as number[],
    reserved: [] as number[],
    partly: [] as number[],
  };
  mounted([image], (folder) => {
    writeFiles(folder, ['plain']);
    const inPlace = join(folder, 'in place');
    writeFileSync(inPlace, '');
    run('chattr', ['+C', inPlace]);
    writeFileSync(inPlace, random.bytes(FILE), { flag: 'r+' });
    for (const name of ['reserved', 'partly']) run('fallocate', ['-l', `${FILE}`, join(folder, name)]);
    const fd = openSync(join(folder, 'partly'), 'r+');
    writeSync(fd, random.bytes(8192), 0, 8192, 4096);
    closeSync(fd);
    run('sync', ['-f', folder]);
    addresses.plain = addressesOf(join(folder, 'plain'));
    addresses.inPlace = addressesOf(inPlace);
    addresses.reserved = addressesOf(join(folder, 'reserved'));
    addresses.partly = addressesOf(join(folder, 'partly')).slice(0, 1);
  });
  const { records } = await scanOf(image);
  const known = (list: readonly number[]): boolean[] => list.map((address) => records.has(address));
  for (const list of Object.values(addresses)) assert.ok(list.length > 0);
  assert.equal(known(addresses.plain), [true]);
  for (const list of [addresses.inPlace, addresses.reserved, addresses.partly]) assert.not(known(list).includes(true));
});

/** Lets `change` work on each leaf of a tree, and makes the checksums of those right that it changed. */
function patchTree(image: string, owner: string, change: (block: Buffer) => boolean): number {
  let changed = 0;
  for (const { offset } of nodesOf([image], NODE).filter((node) => node.owner === owner && node.leaf)) {
    patch(image, offset, NODE, (block) => {
      if (!change(block)) return;
      changed += 1;
      seal(block, 0);
    });
  }
  return changed;
}

/** Where the data of the leaf's item lies whose key begins with these bytes. */
function itemIn(block: Buffer, key: Buffer): number | undefined {
  for (let index = 0; index < block.readUInt32LE(0x60); index += 1) {
    const at = 101 + index * 25;
    if (key.equals(block.subarray(at, at + key.length))) return 101 + block.readUInt32LE(at + 17);
  }
  return undefined;
}

/** The beginning of an extent's key. */
function extentKey(address: number): Buffer {
  const key = Buffer.alloc(9, 168);
  key.writeBigUInt64LE(BigInt(address), 0);
  return key;
}

/** Where the checksum of the sector at `address` lies in a leaf of the checksum tree. */
function checksumIn(block: Buffer, address: number): number | undefined {
  for (let index = 0; index < block.readUInt32LE(0x60); index += 1) {
    const at = 101 + index * 25;
    const place = ((address - Number(block.readBigUInt64LE(at + 9))) / 4096) * 4;
    if (place >= 0 && place < block.readUInt32LE(at + 21)) return 101 + block.readUInt32LE(at + 17) + place;
  }
  return undefined;
}

test('generation, checksums and place each change a record, references do not', async () => {
  const base = join(scratch, 'parts');
  makeBtrfs([base], SIZE, ['-m', 'single']);
  mounted([base], (folder) => writeFiles(folder, NAMES));
  const before = await scanOf(base);
  const record: FileRecord | undefined = [...before.records.values()][5];
  assert.ok(record);
  const changes: Record<string, (image: string) => number> = {
    generation: (image) =>
      patchTree(image, 'EXTENT_TREE', (block) => {
        const at = itemIn(block, extentKey(record.id));
        if (at !== undefined) block.writeUInt32LE(block.readUInt32LE(at + 8) - 1, at + 8);
        return at !== undefined;
      }),
    checksum: (image) =>
      patchTree(image, 'CSUM_TREE', (block) => {
        const at = checksumIn(block, record.id);
        if (at !== undefined) block.writeUInt8(block.readUInt8(at) ^ 1, at);
        return at !== undefined;
      }),
    references: (image) =>
      patchTree(image, 'EXTENT_TREE', (block) => {
        const at = itemIn(block, extentKey(record.id));
        if (at !== undefined) block.writeUInt32LE(7, at);
        return at !== undefined;
      }),
  };
  for (const [name, change] of Object.entries(changes)) {
    const image = copyImage(base, join(scratch, name));
    assert.is(change(image), 1, name);
    const after = await scanOf(image);
    const differ = [...before.records].filter(([id, { digest }]) => !after.records.get(id)?.digest.equals(digest));
    const expected = name === 'references' ? [] : [record.id];
    assert.equal(
      differ.map(([id]) => id),
      expected,
      name,
    );
    const groups = [...before.groups].filter(([id, { digest }]) => after.groups.get(id)?.digest !== digest);
    assert.is(groups.length, expected.length, `groups: ${name}`);
  }
  const moved = copyImage(base, join(scratch, 'place'));
  assert.ok(moveChunks(moved, 64 * KiB) > 0);
  const after = await scanOf(moved);
  assert.equal([...after.records.keys()], [...before.records.keys()]);
  for (const [id, { digest }] of before.records) assert.not.equal(after.records.get(id)?.digest, digest);
});

test('what would lie on a superblock is in no record', async () => {
  const image = join(scratch, 'mirror');
  makeBtrfs([image], SIZE, ['-m', 'single']);
  mounted([image], (folder) => writeFiles(folder, NAMES));
  const before = [...(await scanOf(image)).records.values()];
  const [mirror, victim] = [64 * MiB, before[5]];
  assert.ok(victim?.extents[0]);
  assert.is(moveChunks(image, mirror - victim.extents[0].offset), 1);
  const left = before.filter(({ id }) => id !== victim.id).map(({ id }) => id);
  assert.equal([...(await scanOf(image)).records.keys()], left);
});

/** Data chunks lie so much further on. */
function moveChunks(image: string, distance: number): number {
  return patchTree(image, 'CHUNK_TREE', (block) => {
    let moved = 0;
    for (let index = 0; index < block.readUInt32LE(0x60); index += 1) {
      const key = 101 + index * 25;
      const item = 101 + block.readUInt32LE(key + 17);
      if (block.readUInt8(key + 8) !== 228 || block.readUInt32LE(item + 24) !== 1) continue;
      block.writeUInt32LE(block.readUInt32LE(item + 56) + distance, item + 56);
      moved += 1;
    }
    return moved > 0;
  });
}

test('several devices are out of reach', async () => {
  const images = ['first', 'second'].map((name) => join(scratch, name));
  makeBtrfs(images, SIZE, ['-d', 'single', '-m', 'raid1']);
  mounted(images, (folder) => writeFiles(folder, NAMES));
  try {
    await scanOf(images[0] ?? '');
    assert.unreachable();
  } catch (error) {
    assert.instance(error, OutOfReach);
  }
});

test.run();
