// Block map files: only the very map of this lineage and grid is believed; pages are read and filled one by one.

import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type BlockMap, type Grid, PAGE_BYTES, pageCount } from '../../src/map/block-map.js';
import { memoryBlockMap } from '../../src/map/memory-block-map.js';
import { memoryTarget } from '../../src/source/memory.js';
import { blockMapOver, createBlockMap, openBlockMap } from '../../src/state/block-map-file.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const folder = scratchFolder();
const LINEAGE = '0123456789ABCDEF';
const GRID: Grid = { size: 100 * MiB + 12345, blockSize: 65536 };
const path = join(folder, 'volume-0.map');
const page = (byte: number): Buffer => Buffer.alloc(PAGE_BYTES, byte);

async function knownPages(map: BlockMap, first = 0): Promise<number[]> {
  const pages: number[] = [];
  for await (const each of map.knownPages(first)) pages.push(each);
  return pages;
}

test('a new map knows nothing', async () => {
  const map = await createBlockMap(path, GRID, LINEAGE);
  assert.is(pageCount(GRID), 7);
  for (let each = 0; each < 7; each += 1) assert.ok((await map.readPage(each)).equals(page(0)));
  assert.equal(await knownPages(map), []);
  await map.close();
});

test('pages are kept, and only those that may be known are listed', async () => {
  const map = await createBlockMap(path, GRID, LINEAGE);
  await map.writePage(2, page(2));
  await map.writePage(6, page(6));
  await map.flush();
  assert.equal(await knownPages(map), [2, 6]);
  assert.equal(await knownPages(map, 3), [6]);
  assert.equal(await knownPages(map, 7), []);
  await map.close();
  const again = await openBlockMap(path, GRID, LINEAGE);
  assert.ok(again);
  assert.ok((await again.readPage(2)).equals(page(2)));
  assert.ok((await again.readPage(3)).equals(page(0)));
  assert.ok((await again.readPage(6)).equals(page(6)));
  await again.close();
});

test('made again it knows nothing', async () => {
  const map = await createBlockMap(path, GRID, LINEAGE);
  assert.equal(await knownPages(map), []);
  await map.close();
});

test('a map of another lineage, grid, kind, version or length is not used', async () => {
  await (await createBlockMap(path, GRID, LINEAGE)).close();
  const whole = readFileSync(path);
  assert.is(await openBlockMap(path, GRID, 'FEDCBA9876543210'), undefined);
  assert.is(await openBlockMap(path, { ...GRID, size: GRID.size + 1 }, LINEAGE), undefined);
  assert.is(await openBlockMap(path, { ...GRID, blockSize: 32768 }, LINEAGE), undefined);
  assert.is(await openBlockMap(join(folder, 'not-there.map'), GRID, LINEAGE), undefined);
  assert.is(await openBlockMap(folder, GRID, LINEAGE), undefined);
  for (let at = 0; at < 84; at += 1) {
    const damaged = Buffer.from(whole);
    damaged.writeUInt8(damaged.readUInt8(at) ^ 0x10, at);
    writeFileSync(path, damaged);
    assert.is(await openBlockMap(path, GRID, LINEAGE), undefined, `byte ${at}`);
  }
  for (const length of [0, 100, 4096, whole.length - 1, whole.length + 1]) {
    writeFileSync(path, whole);
    truncateSync(path, length);
    assert.is(await openBlockMap(path, GRID, LINEAGE), undefined, `${length} bytes`);
  }
  writeFileSync(path, whole);
  const map = await openBlockMap(path, GRID, LINEAGE);
  assert.ok(map);
  await map.close();
});

test('where holes cannot be seen, every page may be known', async () => {
  const file = memoryTarget(Buffer.alloc(4096 + 7 * PAGE_BYTES));
  const map = blockMapOver(file, GRID);
  await map.writePage(5, page(5));
  assert.equal(await knownPages(map, 4), [4, 5, 6]);
  assert.ok((await map.readPage(5)).equals(page(5)));
});

test('a map in memory behaves the same', async () => {
  const map = memoryBlockMap(GRID);
  const mine = page(1);
  await map.writePage(3, mine);
  mine.fill(9); // the map keeps a copy
  await map.writePage(1, page(4));
  assert.ok((await map.readPage(3)).equals(page(1)));
  assert.ok((await map.readPage(0)).equals(page(0)));
  assert.equal(await knownPages(map), [1, 3]);
  assert.equal(await knownPages(map, 2), [3]);
});

test.run();
