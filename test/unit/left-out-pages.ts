// Long stretches that are to be zeros and are known to be: nobody is asked to do anything about them.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { digestOfZeros } from '../../src/base/digest.js';
import { workItems } from '../../src/engine/volume-copy.js';
import { PAGE_BYTES } from '../../src/map/block-map.js';
import type { Extent } from '../../src/map/extent.js';
import { memoryBlockMap } from '../../src/map/memory-block-map.js';
import { memoryTarget } from '../../src/source/memory.js';
import { BLOCK, PAGE_LENGTH, volumeOf } from '../support/copy-volume.js';

const PAGES = 3;
const SIZE = PAGES * PAGE_LENGTH;

/** The pages that are worked on. All digests are those of zeros, but for block `odd` of page 1. */
async function pagesOf(places: { used?: Extent[]; wiped?: Extent[]; held?: Extent[] }, odd = -1): Promise<number[]> {
  const map = memoryBlockMap({ size: SIZE, blockSize: BLOCK });
  const zeros = Buffer.alloc(PAGE_BYTES, digestOfZeros(BLOCK));
  for (let page = 0; page < PAGES; page += 1) {
    const digests = Buffer.from(zeros);
    if (page === 1 && odd >= 0) digests.writeUInt8(digests.readUInt8(odd * 16) ^ 1, odd * 16);
    await map.writePage(page, digests);
  }
  const ends = { source: Buffer.alloc(SIZE), target: memoryTarget(Buffer.alloc(SIZE)) };
  const pages: number[] = [];
  for await (const { page } of workItems(volumeOf({ ...ends, map, mode: 'hash', used: [], ...places }), 'write')) {
    pages.push(page ?? -1);
  }
  return pages;
}

const ALL = { offset: 0, length: SIZE };
const INSIDE_PAGE_1 = { offset: PAGE_LENGTH + BLOCK, length: BLOCK };

test('known zeros that are to be zeros are left alone', async () => {
  assert.equal(await pagesOf({ wiped: [ALL] }), []);
});

test('anything else in a page is worked on', async () => {
  assert.equal(await pagesOf({ wiped: [ALL], used: [INSIDE_PAGE_1] }), [1]);
  assert.equal(await pagesOf({ wiped: [ALL], held: [INSIDE_PAGE_1] }), [1]);
  for (const odd of [0, 100, 255]) assert.equal(await pagesOf({ wiped: [ALL] }, odd), [1]);
  const half = { offset: 0, length: PAGE_LENGTH + BLOCK };
  assert.equal(await pagesOf({ wiped: [half] }), [1, 2], 'free blocks with digests are discarded');
});

test.run();
