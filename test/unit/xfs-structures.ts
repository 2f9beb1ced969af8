// XFS structures by hand: what the superblock may say and btrees of several levels in both versions.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { MiB, TiB } from '../../src/base/units.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import { parseSuperblock } from '../../src/filesystem/xfs/superblock.js';
import { type Extent, extentEnd, intersect } from '../../src/map/extent.js';
import { memoryTarget } from '../../src/source/memory.js';
import type { Source } from '../../src/source/types.js';
import { randomFrom, SEED } from '../support/random.js';
import {
  buildXfs,
  type FreeExtent,
  firstTreeBlock,
  flatten,
  sparseVolume,
  type XfsShape,
} from '../support/xfs-builder.js';

const SMALL: XfsShape = {
  version: 4,
  blockSize: 512,
  groupBlocks: 4096,
  groupCount: 3,
  lastBlocks: 3000,
  treeStart: firstTreeBlock(512),
  fanout: 5,
  listed: [601, 603, 2990],
  free: (group) =>
    Array.from({ length: 180 }, (_, index) => ({ start: 700 + index * 12, count: 1 + ((index + group) % 11) })),
};

async function usedOf(volume: Source, within: Extent = { offset: 0, length: volume.size }): Promise<Extent[]> {
  const info = await xfs.probe(volume);
  assert.ok(info);
  const used: Extent[] = [];
  for await (const extent of (await xfs.openAllocationMap(volume, info)).usedExtents(within)) used.push(extent);
  return used;
}

/** What the shape itself says is used. */
function expectedOf(shape: XfsShape): Extent[] {
  const { blockSize, groupBlocks, groupCount, lastBlocks = groupBlocks, listed = [] } = shape;
  const used: Extent[] = [];
  let start = 0;
  const put = (end: number): void => {
    if (end > start) used.push({ offset: start * blockSize, length: (end - start) * blockSize });
  };
  for (let group = 0; group < groupCount; group += 1) {
    const free: FreeExtent[] = [...shape.free(group), ...listed.map((block) => ({ start: block, count: 1 }))];
    for (const extent of free.sort((a, b) => a.start - b.start)) {
      put(group * groupBlocks + extent.start);
      start = group * groupBlocks + extent.start + extent.count;
    }
  }
  put((groupCount - 1) * groupBlocks + lastBlocks);
  return used;
}

for (const version of [4, 5] as const) {
  for (const shape of [
    { ...SMALL, version, blockSize: version === 4 ? 512 : 1024, treeStart: 100 },
    { ...SMALL, version, blockSize: 4096, fanout: 3, treeStart: 40 },
    { ...SMALL, version, blockSize: 4096, groupBlocks: 64, groupCount: 5, lastBlocks: 64, listed: [], free: () => [] },
    { ...SMALL, version, blockSize: 65536, groupCount: 2, free: () => [{ start: 1000, count: 2 }] },
  ]) {
    test(`version ${version}, ${shape.blockSize}-byte blocks, ${shape.free(0).length} free extents`, async () => {
      const volume = sparseVolume(buildXfs(shape));
      const expected = expectedOf(shape);
      assert.equal(await usedOf(volume), expected);
      const random = randomFrom(SEED);
      const info = await xfs.probe(volume);
      assert.ok(info);
      assert.is((await xfs.readState(volume, info)).kind, 'clean');
      const map = await xfs.openAllocationMap(volume, info);
      for (let round = 0; round < 100; round += 1) {
        const offset = random.below(volume.size);
        const within = {
          offset,
          length: random.below(Math.min(volume.size - offset, random.pick([700, 9000, 4 * MiB]))) + 1,
        };
        const found: Extent[] = [];
        for await (const extent of map.usedExtents(within)) found.push(extent);
        assert.equal(
          found,
          expected.flatMap((extent) => intersect(extent, within) ?? []),
        );
      }
    });
  }
}

test('a group of 1 TiB with a million free extents: seconds, little memory, windows read little', async () => {
  const free = Array.from({ length: 1_000_000 }, (_, index) => ({
    start: 10_000 + index * 200,
    count: 100 + (index % 90),
  }));
  const shape: XfsShape = {
    ...SMALL,
    version: 5,
    blockSize: 4096,
    groupBlocks: 2 ** 28 - 1,
    groupCount: 16,
    lastBlocks: 1_000_000,
    fanout: 300,
    free: (group) => (group === 1 ? free : [{ start: 800_000, count: 1000 }]),
  };
  const built = buildXfs(shape);
  const volume = sparseVolume(built);
  const info = await xfs.probe(volume);
  assert.ok(info);
  const rss = process.memoryUsage().rss;
  const started = performance.now();
  const map = await xfs.openAllocationMap(volume, info);
  const opened = performance.now();
  let used = 0;
  for await (const { length } of map.usedExtents({ offset: 0, length: volume.size })) used += length;
  const ms = performance.now() - started;
  const grown = process.memoryUsage().rss - rss;
  console.log(
    `opened in ${Math.round(opened - started)} ms, all in ${Math.round(ms)} ms, ${Math.round(volume.counted.bytes / MiB)} MiB read, memory +${Math.round(grown / MiB)} MiB`,
  );
  assert.is(used, built.size - built.freeBlocks * 4096);
  assert.ok(ms < 40_000 && grown < 128 * MiB);

  const before = volume.counted.bytes;
  for (let offset = 1.3 * TiB; offset < 1.3 * TiB + 4096 * MiB; offset += 16 * MiB) {
    for await (const extent of map.usedExtents({ offset, length: 16 * MiB }))
      assert.ok(extentEnd(extent) <= offset + 16 * MiB);
  }
  assert.ok(volume.counted.bytes - before < 4 * MiB, `windows read ${volume.counted.bytes - before} bytes`);
});

test('contradictions without checksums are found', async () => {
  const { trees } = buildXfs(SMALL);
  const [leaf = 0, second = 0] = trees;
  const root = trees.findLast((offset) => offset < SMALL.groupBlocks * SMALL.blockSize) ?? 0;
  const AGF = 512;
  for (const [at, value, reason] of [
    [AGF + 28, 3, /level/],
    [AGF + 28, 10, /levels/],
    [AGF + 16, 9, /another kind/],
    [AGF + 16, 4096, /outside its group/],
    [leaf + 8 * 2 + 16, 0, /impossible extent/],
    [leaf + 8 * 2 + 20, 13, /impossible extent/],
    [leaf + 8 * 4 + 20, 13, /not in order/],
    [leaf + 12, 7, /not linked/],
    [second + 16, 761, /not its child's/],
    [second + 4, 0x00000000, /empty block/],
    [second + 4, 0x0000ffff, /65535 records/],
    [root + 12, 5, /ends before/],
    [AGF + 1024 + 4 * 4, 712, /calls a block of its AGFL free/],
    [AGF + 1024 + 4 * 4, 601, /twice/],
    [AGF + 1024 + 4 * 4, 9, /calls the log free/],
  ] as const) {
    const bytes = flatten(buildXfs({ ...SMALL, free: () => SMALL.free(10) }));
    bytes.writeUInt32BE(value, at);
    try {
      await usedOf(memoryTarget(bytes));
      assert.unreachable(`${value} at ${at} went unseen`);
    } catch (error) {
      assert.instance(error, FormatError, String(error));
      assert.match(String(error), reason);
    }
  }
});

test('impossible superblocks are none', async () => {
  const good = flatten(buildXfs(SMALL)).subarray(0, 512);
  assert.is(parseSuperblock(good)?.label, 'built');
  const cases: readonly (readonly [number, 8 | 16 | 32, number])[] = [
    [4, 32, 0],
    [4, 32, 1000],
    [4, 32, 131072],
    [8, 32, 0x200000],
    [12, 32, 0],
    [84, 32, 0],
    [84, 32, 63],
    [84, 32, 0xffffffff],
    [88, 32, 0],
    [88, 32, 4],
    [88, 32, 0xffffffff],
    [102, 16, 256],
    [102, 16, 0xffff],
    [120, 8, 255],
    [121, 8, 8],
    [124, 8, 11],
    [124, 8, 255],
    [96, 32, 0],
    [96, 32, 0xffffffff],
    [48, 32, 1],
    [52, 32, 0xffffffff],
  ];
  for (const [at, bits, value] of cases) {
    const raw = Buffer.from(good);
    raw.writeUIntBE(value, at, bits / 8);
    assert.throws(
      () => parseSuperblock(raw),
      (error: unknown) => error instanceof FormatError,
      `${value} at ${at}`,
    );
    assert.is(await xfs.probe(memoryTarget(raw)), undefined);
  }
  assert.is(await xfs.probe(memoryTarget(Buffer.alloc(100))), undefined);
  assert.is(await xfs.probe(memoryTarget(Buffer.alloc(4096))), undefined);
});

test.run();
