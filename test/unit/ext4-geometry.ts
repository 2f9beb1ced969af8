import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { countSet, findBit, isSet, setBits, setRuns } from '../../src/filesystem/bitmap.js';
import { crc16 } from '../../src/filesystem/ext4/crc16.js';
import { baseMetadata, descriptorBlock, hasSuperblock } from '../../src/filesystem/ext4/geometry.js';
import { parseSuperblock, type Superblock } from '../../src/filesystem/ext4/superblock.js';
import { buildSuperblock } from '../support/ext4-builder.js';
import { randomFrom, SEED } from '../support/random.js';

function superblockWith(changes: Parameters<typeof buildSuperblock>[0]): Superblock {
  const superblock = parseSuperblock(buildSuperblock(changes));
  if (!superblock) throw new Error('not recognised');
  return superblock;
}

test('crc16 gives the published check value', () => {
  assert.is(crc16(0, Buffer.from('123456789')), 0xbb3d);
});

test('sparse_super keeps copies in groups 0, 1 and powers of 3, 5 and 7', () => {
  const superblock = superblockWith({});
  const found = Array.from({ length: 400 }, (_, group) => group).filter((group) => hasSuperblock(superblock, group));
  assert.equal(found, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343]);
  const everywhere = superblockWith({ roCompat: 2 });
  assert.ok(hasSuperblock(everywhere, 2) && hasSuperblock(everywhere, 6));
});

test('sparse_super2 keeps two copies at most', () => {
  const raw = buildSuperblock({ compat: 0x200 });
  raw.writeUInt32LE(1, 0x24c);
  raw.writeUInt32LE(7, 0x250);
  const superblock = parseSuperblock(raw);
  assert.ok(superblock);
  const found = [0, 1, 2, 3, 4, 5, 6, 7].filter((group) => hasSuperblock(superblock, group));
  assert.equal(found, [0, 1, 7]);
});

test('descriptor blocks follow the superblock, with meta_bg each its meta-group', () => {
  assert.is(descriptorBlock(superblockWith({}), 0), 2);
  assert.is(descriptorBlock(superblockWith({}), 3), 5);
  const large = { blockCount: 8192 * 100, inodeCount: 2048 * 100, incompat: 0x12 };
  const meta = superblockWith(large);
  assert.is(descriptorBlock(meta, 0), 2);
  assert.is(descriptorBlock(meta, 1), 1 + 32 * 8192);
  assert.equal(baseMetadata(meta, 32), { start: 1 + 32 * 8192, end: 2 + 32 * 8192 });
  assert.equal(baseMetadata(meta, 33), { start: 1 + 33 * 8192, end: 2 + 33 * 8192 });
  assert.equal(baseMetadata(meta, 34), { start: 1 + 34 * 8192, end: 1 + 34 * 8192 });
  assert.equal(baseMetadata(meta, 81), { start: 1 + 81 * 8192, end: 2 + 81 * 8192 });
  const bigalloc = superblockWith({
    roCompat: 0x203,
    logClusterSize: 3,
    firstDataBlock: 0,
    blocksPerGroup: 65536,
    inodeCount: 2048,
  });
  assert.is(descriptorBlock(bigalloc, 0), 2);
  assert.equal(baseMetadata(bigalloc, 0), { start: 0, end: 3 });
});

test('bits agree with counting one by one', () => {
  const random = randomFrom(SEED);
  for (let round = 0; round < 500; round += 1) {
    const length = random.between(1, 80);
    const whole = Buffer.alloc(length + 3);
    const bytes = whole.subarray(random.below(4)).subarray(0, length);
    const limit = random.between(0, bytes.length * 8);
    for (let run = 0; run < random.below(6); run += 1) {
      const start = random.below(bytes.length * 8);
      setBits(bytes, { start, end: random.between(start, bytes.length * 8) });
    }
    const naive = Array.from({ length: limit }, (_, bit) => ((bytes[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0);
    assert.is(countSet(bytes, limit), naive.filter(Boolean).length);
    const start = limit === 0 ? 0 : random.below(limit);
    for (const wanted of [true, false]) {
      const found = naive.indexOf(wanted, start);
      assert.is(findBit(bytes, wanted, { start, end: limit }), found < 0 ? limit : found);
    }
    const seen = new Array<boolean>(limit).fill(false);
    let last = -1;
    for (const run of setRuns(bytes, { start: 0, end: limit })) {
      assert.ok(run.start > last && run.end > run.start);
      seen.fill(true, run.start, run.end);
      last = run.end;
    }
    assert.equal(seen, naive);
    if (limit > 0) assert.is(isSet(bytes, limit - 1), naive[limit - 1]);
  }
});

test.run();
