// F2FS allocation maps, judged by fsck.f2fs, dump.f2fs and blkid: what they leave out nobody needs.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { f2fs } from '../../src/filesystem/f2fs/plugin.js';
import { extentEnd } from '../../src/map/extent.js';
import { memoryTarget } from '../../src/source/memory.js';
import {
  assertSoundF2fs,
  dumpF2fs,
  expectedF2fsUse,
  f2fsLayout,
  fillF2fs,
  hashNames,
  makeF2fs,
  sealF2fs,
} from '../support/f2fs-volume.js';
import { fileSource } from '../support/file-source.js';
import { thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { copyUsedOntoGarbage } from '../support/sparse-copy.js';

const MiB = 1 << 20;
const BLOCK = 4096;
/** Where the logs of nodes go on: free blocks that are copied too. */
const NODE_LOGS = 3;
const scratch = scratchFolder();
const image = join(scratch, 'image');
let works = 0;

function workFolder(): string {
  works += 1;
  return join(scratch, `work-${works}`);
}

function blkid(tag: string): string {
  return run('blkid', ['-p', '-o', 'value', '-s', tag, image]).trim();
}

/** Copies what is used of `image` onto garbage and lets the judges look at the copy. */
async function judge(expected: Map<string, string>): Promise<void> {
  const source = fileSource(image);
  const info = await f2fs.probe(source);
  assert.ok(info, 'probed');
  assert.is(info.kind, blkid('TYPE'));
  assert.is(info.label, 'Fläche');
  assert.is(info.uuid, blkid('UUID'));
  const counted = expectedF2fsUse(image);
  assert.is(info.used, counted);
  assert.equal(await f2fs.readState(source, info), { kind: 'clean', reason: '', advice: '' });
  assertSoundF2fs(image);
  const copy = `${image}.copy`;
  const map = await f2fs.openAllocationMap(source, info);
  const used = await copyUsedOntoGarbage(source, map, copy);
  assert.ok(used >= counted && used <= counted + NODE_LOGS * BLOCK, `${used} used, ${counted} counted`);
  assertSoundF2fs(copy);
  if (expected.size > 0) {
    // Quota files are among the inodes.
    const dumped = dumpF2fs(copy, workFolder(), { inodes: 60 });
    assert.equal(new Map([...dumped].filter(([name]) => expected.has(name))), expected);
  }
  const target = fileSource(copy);
  assert.equal(await f2fs.token(target, info), await f2fs.token(source, info), 'token of the copy');
  await target.close();
  await source.close();
  rmSync(copy);
}

const LAYOUTS: Record<string, readonly string[]> = {
  plain: [],
  'large bitmap of nodes': ['-i'],
  'checksums everywhere': ['-O', 'extra_attr,inode_checksum,sb_checksum,inode_crtime,lost_found,quota,verity'],
  'sections of four segments': ['-s', '4', '-z', '2'],
  'no heap': ['-a', '0'],
};

for (const [name, options] of Object.entries(LAYOUTS)) {
  test(`${name}: fresh and filled`, async () => {
    makeF2fs(image, { size: 240 * MiB, options });
    await judge(new Map());
    const tree = workFolder();
    fillF2fs(image, tree, randomFrom(SEED), { budget: 24 * MiB });
    // dump.f2fs 1.15 reads files in inodes with extra attributes wrongly.
    const expected = hashNames(tree, { least: options.join().includes('extra_attr') ? 4096 : 0 });
    assert.ok(expected.size > 3);
    await judge(expected);
    rmSync(tree, { recursive: true });
  });
}

/** A filled volume in memory. `compact`: its summaries are, as mkfs.f2fs leaves them. */
function filled({ compact }: { compact: boolean }): { bytes: Buffer; expected: Map<string, string> } {
  makeF2fs(image, { size: 120 * MiB });
  let expected = new Map<string, string>();
  if (!compact) {
    const tree = workFolder();
    fillF2fs(image, tree, randomFrom(SEED), { budget: 8 * MiB });
    expected = hashNames(tree);
    rmSync(tree, { recursive: true });
  }
  const bytes = readFileSync(image);
  assert.is((f2fsLayout(bytes).flags & 4) !== 0, compact);
  return { bytes, expected };
}

async function assertRefused(bytes: Buffer, change: (bytes: Buffer) => void): Promise<void> {
  const damaged = Buffer.from(bytes);
  change(damaged);
  const volume = memoryTarget(damaged);
  const info = await f2fs.probe(volume);
  assert.ok(info);
  assert.instance(await thrownBy(() => f2fs.openAllocationMap(volume, info)), FormatError);
}

const ENTRY = 74;

/** Segments with valid blocks, by the first copy of the table. */
function usedSegments(bytes: Buffer): number[] {
  const { sit } = f2fsLayout(bytes);
  return Array.from({ length: 50 }, (_, segment) => segment).filter(
    (segment) => (bytes.readUInt16LE(sit + segment * ENTRY) & 0x3ff) > 0,
  );
}

test('entries in the journal override the table (normal summaries)', async () => {
  const { bytes, expected } = filled({ compact: false });
  const { sit, summary } = f2fsLayout(bytes);
  const moved = usedSegments(bytes).slice(0, 6);
  assert.ok(moved.length > 2);
  const journal = summary + 2 * BLOCK + 3584;
  bytes.writeUInt16LE(moved.length, journal);
  for (const [index, segment] of moved.entries()) {
    const at = journal + 2 + index * (4 + ENTRY);
    bytes.writeUInt32LE(segment, at);
    const entry = sit + segment * ENTRY;
    bytes.copy(bytes, at + 4, entry, entry + ENTRY);
    // An older state that agrees with itself: one block valid, where another is now.
    bytes.fill(0, entry, entry + ENTRY).writeUInt16LE(1, entry);
    bytes.writeUInt8(1, entry + 2 + 63);
  }
  writeFileSync(image, bytes);
  await judge(expected);
  await assertRefused(bytes, (damaged) => damaged.writeUInt16LE(7, journal));
  await assertRefused(bytes, (damaged) => damaged.writeUInt32LE(0xffff, journal + 2));
});

test('mkfs leaves its segments in the journal of compact summaries', async () => {
  const { bytes } = filled({ compact: true });
  const journal = f2fsLayout(bytes).summary + 507;
  const count = bytes.readUInt16LE(journal);
  assert.ok(count > 3, `${count} entries`);
  assert.is(usedSegments(bytes).length, 0, 'nothing in the table');
  await judge(new Map());
  await assertRefused(bytes, (damaged) => damaged.writeUInt16LE(0, journal));
  await assertRefused(bytes, (damaged) => damaged.writeUInt16LE(7, journal));
});

test('the version bitmap chooses the copy of each block of the table', async () => {
  const { bytes, expected } = filled({ compact: false });
  const { sit, sitBlocks, head } = f2fsLayout(bytes);
  // The bitmap of the SIT comes first; its highest bit is block 0.
  bytes.writeUInt8(bytes.readUInt8(head + 192) ^ 0x80, head + 192);
  bytes.copy(bytes, sit + sitBlocks * BLOCK, sit, sit + BLOCK);
  bytes.fill(0xa5, sit, sit + BLOCK);
  sealF2fs(bytes);
  writeFileSync(image, bytes);
  await judge(expected);
});

test('of two checkpoints the newer whole one counts', async () => {
  const { bytes, expected } = filled({ compact: false });
  const { checkpoint, head, foot } = f2fsLayout(bytes);
  const other = head === checkpoint ? checkpoint + 512 * BLOCK : checkpoint;
  bytes.copy(bytes, other, head, foot + BLOCK);
  const newer = bytes.readBigUInt64LE(other) + 1n;
  bytes.writeBigUInt64LE(newer, other);
  bytes.writeBigUInt64LE(5n, other + 16);
  writeFileSync(image, bytes);
  // Its checksum is wrong, so the older one goes on counting.
  await judge(expected);
  sealF2fs(bytes);
  const volume = memoryTarget(bytes);
  const info = await f2fs.probe(volume);
  assert.ok(info);
  const error = await thrownBy(() => f2fs.openAllocationMap(volume, info));
  assert.instance(error, FormatError);
  assert.match(String(error), /the checkpoint says 5/);
});

test('the block where a log of nodes goes on is copied', async () => {
  const { bytes } = filled({ compact: false });
  const { head, main } = f2fsLayout(bytes);
  const volume = memoryTarget(bytes);
  const info = await f2fs.probe(volume);
  assert.ok(info);
  const map = await f2fs.openAllocationMap(volume, info);
  for (const log of [0, 1, 2]) {
    const segment = bytes.readUInt32LE(head + 36 + log * 4);
    const offset = main + (segment * 512 + bytes.readUInt16LE(head + 68 + log * 2)) * BLOCK;
    let found = 0;
    for await (const { length } of map.usedExtents({ offset, length: BLOCK })) found += length;
    assert.is(found, BLOCK, `log ${log}`);
  }
});

test('any stretch of the map is the same part of the whole', async () => {
  const { bytes } = filled({ compact: false });
  const random = randomFrom(SEED);
  const volume = memoryTarget(bytes);
  const info = await f2fs.probe(volume);
  assert.ok(info);
  const map = await f2fs.openAllocationMap(volume, info);
  const flags = Buffer.alloc(bytes.length);
  for await (const { offset, length } of map.usedExtents({ offset: 0, length: bytes.length })) {
    flags.fill(1, offset, offset + length);
  }
  for (let round = 0; round < 100; round += 1) {
    const offset = random.below(volume.size);
    const length = Math.min(random.pick([1, 511, 5000, 300_000, 9_000_000]), volume.size - offset);
    const seen = Buffer.alloc(length);
    let position = -1;
    for await (const extent of map.usedExtents({ offset, length })) {
      assert.ok(extent.offset > position && extent.offset >= offset && extentEnd(extent) <= offset + length);
      position = extentEnd(extent);
      seen.fill(1, extent.offset - offset, position - offset);
    }
    assert.ok(seen.equals(flags.subarray(offset, offset + length)));
  }
});

// From 4 TiB on the version bitmaps need payload blocks.
for (const tebibytes of [2, 4]) {
  test(`${tebibytes} TiB cost seconds and little memory`, async () => {
    makeF2fs(image, { size: tebibytes * 2 ** 40 });
    const expected = expectedF2fsUse(image);
    const source = fileSource(image);
    const before = process.memoryUsage().rss;
    const started = performance.now();
    const info = await f2fs.probe(source);
    assert.ok(info);
    assert.is((await f2fs.readState(source, info)).kind, 'clean');
    const map = await f2fs.openAllocationMap(source, info);
    let used = 0;
    for await (const { length } of map.usedExtents({ offset: 0, length: source.size })) used += length;
    await f2fs.token(source, info);
    const seconds = (performance.now() - started) / 1000;
    const growth = (process.memoryUsage().rss - before) / MiB;
    console.log(`${tebibytes} TiB: ${seconds.toFixed(2)} s, ${growth.toFixed(0)} MiB, ${used} used`);
    assert.ok(used >= expected && used <= expected + NODE_LOGS * BLOCK);
    assert.ok(seconds < 20 && growth < 100);
    await source.close();
    rmSync(image);
  });
}

test.run();
