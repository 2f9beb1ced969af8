// Thousands of damaged superblocks and tree blocks, most with their checksums made right again so that the parsers are
// reached: the only error is FormatError, reads stay bounded, and what checksums protect never changes the map unseen.

import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { KiB, MiB } from '../../src/base/units.js';
import { btrfs } from '../../src/filesystem/btrfs/plugin.js';
import type { FilesystemInfo } from '../../src/filesystem/plugin.js';
import { type Extent, extentEnd } from '../../src/map/extent.js';
import { checkedSource } from '../../src/source/checked.js';
import type { Source } from '../../src/source/types.js';
import { addFragmented, addSmallFiles, addSnapshots } from '../support/btrfs-corpus.js';
import { makeBtrfs, mounted } from '../support/btrfs-image.js';
import { nodesOf, type PlacedNode, seal } from '../support/btrfs-nodes.js';
import { manyRounds } from '../support/many-rounds.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { SparseBytes } from '../support/sparse-bytes.js';

const scratch = scratchFolder();
const ROUNDS = rounds({ short: 400, long: 20_000 });
const LARGEST_READ = 64 * KiB;
const MOST_READ = 64 * MiB;
const EXTREMES = [0, 1, 2, 7, 0x7f, 0xa8, 0xa9, 0xc0, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 0x80000000];
const SUPERBLOCK = { offset: 64 * KiB, length: 4 * KiB };
const INTERPRETED = ['ROOT_TREE', 'CHUNK_TREE', 'EXTENT_TREE', 'DEV_TREE'];

interface Image {
  readonly name: string;
  readonly bytes: SparseBytes;
  readonly nodes: readonly PlacedNode[];
  readonly checksumType: number;
}

interface Recipe {
  readonly name: string;
  readonly options: readonly string[];
  readonly devices?: number;
  readonly size?: number;
  readonly nodeSize?: number;
  readonly checksumType?: number;
}

const RECIPES: readonly Recipe[] = [
  { name: 'single, deep trees', options: ['-m', 'single', '-n', '4096'], nodeSize: 4 * KiB },
  { name: 'DUP', options: [] },
  { name: 'mixed', options: ['--mixed'], nodeSize: 4 * KiB },
  { name: 'no skinny', options: ['-m', 'single', '-n', '4096', '-O', '^skinny-metadata'], nodeSize: 4 * KiB },
  { name: 'xxhash', options: ['-m', 'single', '--csum', 'xxhash'], checksumType: 1 },
  { name: 'sha256', options: ['-m', 'single', '--csum', 'sha256'], checksumType: 2 },
  { name: 'RAID10 over RAID1C4', options: ['-m', 'raid1c4', '-d', 'raid10'], devices: 4 },
  { name: 'RAID5 over RAID1C3', options: ['-m', 'raid1c3', '-d', 'raid5'], devices: 3 },
];

const made = new Map<string, Image>();

/** Made once: every test leaves it as it was. */
function imageOf(recipe: Recipe): Image {
  const image = made.get(recipe.name) ?? newImage(recipe);
  made.set(recipe.name, image);
  return image;
}

function newImage({ name, options, devices = 1, nodeSize = 16 * KiB, checksumType = 0 }: Recipe): Image {
  const paths = Array.from({ length: devices }, (_, index) => join(scratch, `${name} ${index}.img`));
  makeBtrfs(paths, 160 * MiB, options);
  mounted(paths, (folder) => {
    const random = randomFrom(7);
    addSmallFiles(folder, random, 400);
    addFragmented(folder, random);
    addSnapshots(folder, random);
  });
  const nodes = nodesOf(paths, nodeSize);
  return { name, bytes: SparseBytes.ofFile(paths[0] ?? ''), nodes, checksumType };
}

/** Reads from memory; a large read or too many of them fail the test. */
function bounded(bytes: SparseBytes): Source {
  let total = 0;
  return checkedSource({
    name: 'fuzz',
    size: bytes.size,
    sectorSize: undefined,
    spec: undefined,
    async read(into, offset) {
      total += into.length;
      assert.ok(into.length <= LARGEST_READ, `a read of ${into.length} bytes`);
      assert.ok(total <= MOST_READ, `${total} bytes were read`);
      bytes.read(into, offset);
    },
    extents: undefined,
    async close() {},
  });
}

/** Changes one block, perhaps making its checksum right; the result undoes it. */
function damage(image: Image, random: Random, sealed: boolean): () => void {
  const interesting = image.nodes.filter(({ owner }) => INTERPRETED.includes(owner));
  const place = random.chance(0.3) ? SUPERBLOCK : random.pick(random.chance(0.95) ? interesting : image.nodes);
  const block = Buffer.alloc(place.length);
  image.bytes.read(block, place.offset);
  const old = Buffer.from(block);
  if (place !== SUPERBLOCK && random.chance(0.05)) {
    image.bytes.read(block, random.pick(image.nodes).offset);
  } else {
    for (let count = random.between(1, 3); count > 0; count -= 1) spoil(block, random, place === SUPERBLOCK);
  }
  if (sealed) seal(block, image.checksumType);
  image.bytes.write(block, place.offset);
  return () => image.bytes.write(old, place.offset);
}

function spoil(block: Buffer, random: Random, isSuperblock: boolean): void {
  const width = random.pick([1, 1, 2, 4, 8]);
  const at = Math.min(placeIn(block, random, isSuperblock), block.length - width);
  if (random.chance(0.2)) {
    // Another number of the same block: a pointer to elsewhere, a key twice.
    const from = placeIn(block, random, isSuperblock);
    block.copy(block, at, from, Math.min(from + width, block.length));
    return;
  }
  if (random.chance(0.3)) {
    block[at] = (block[at] ?? 0) ^ (1 << random.below(8));
    return;
  }
  const value = random.chance(0.5) ? random.pick(EXTREMES) : random.below(2 ** 32);
  block.writeUIntLE(value % 2 ** (8 * Math.min(width, 4)), at, Math.min(width, 4));
  if (width === 8) block.writeUInt32LE(random.chance(0.5) ? 0 : random.pick(EXTREMES), at + 4);
}

/** Most hits go where numbers are that this code reads. */
function placeIn(block: Buffer, random: Random, isSuperblock: boolean): number {
  if (isSuperblock) return random.chance(0.7) ? 32 + random.below(0x12b - 32) : 0x32b + random.below(200);
  const count = Math.min(block.readUInt32LE(0x60), 100);
  const width = block.readUInt8(0x64) === 0 ? 25 : 33;
  const kind = random.below(10);
  if (kind === 0) return 32 + random.below(101 - 32);
  if (kind <= 5 || block.readUInt8(0x64) > 0) return 101 + random.below(Math.max(1, count * width));
  const item = random.below(Math.max(1, count)) * width + 101 + 17;
  const start = 101 + (block.readUInt32LE(item) % block.length);
  return Math.min(start + random.below(80), block.length - 8);
}

async function usedOf(volume: Source, info: FilesystemInfo): Promise<Extent[] | undefined> {
  try {
    const map = await btrfs.openAllocationMap(volume, info);
    const used: Extent[] = [];
    for await (const extent of map.usedExtents({ offset: 0, length: volume.size })) used.push(extent);
    return used;
  } catch (error) {
    assert.instance(error, FormatError, String(error instanceof Error ? error.stack : error));
    return undefined;
  }
}

async function exercise(bytes: SparseBytes): Promise<Extent[] | undefined> {
  const volume = bounded(bytes);
  const info = await btrfs.probe(volume);
  if (!info) return undefined;
  assert.ok(info.size <= volume.size && info.size > 0 && (info.used === undefined || info.used <= info.size));
  const state = await btrfs.readState(volume, info);
  assert.is(state.reason === '', state.kind === 'clean');
  assert.is((await btrfs.token(volume, info)).length, 16);
  const used = await usedOf(volume, info);
  let end = -1;
  for (const extent of used ?? []) {
    assert.ok(extent.offset > end && extent.length > 0, 'ascending and joined');
    end = extentEnd(extent);
    assert.ok(end <= info.size);
  }
  return used;
}

for (const [index, recipe] of RECIPES.entries()) {
  test(`damage: ${recipe.name}`, async () => {
    const image = imageOf(recipe);
    const random = randomFrom(SEED + index);
    const intact = await exercise(image.bytes);
    assert.ok(intact);
    let maps = 0;
    await manyRounds(image.name, ROUNDS, async () => {
      const sealed = random.chance(0.8);
      const undo = [damage(image, random, sealed)];
      if (random.chance(0.2)) undo.push(damage(image, random, sealed));
      const used = await exercise(image.bytes);
      if (used) maps += 1;
      if (used && !sealed) assert.equal(used, intact, 'damage went unseen');
      for (const action of undo.reverse()) action();
    });
    assert.equal(await exercise(image.bytes), intact);
    console.log(`${image.name}: ${maps} maps`);
  });
}

test('any window shows the same as the whole', async () => {
  const random = randomFrom(SEED);
  for (const recipe of RECIPES.filter(({ name }) => /deep|DUP|RAID/.test(name))) {
    const { bytes } = imageOf(recipe);
    const volume = bounded(bytes);
    const info = await btrfs.probe(volume);
    assert.ok(info);
    const map = await btrfs.openAllocationMap(volume, info);
    const whole = await exercise(bytes);
    for (let round = 0; round < 150; round += 1) {
      const offset = random.below(volume.size);
      const most = random.pick([512, 5000, 64 * KiB, MiB, 64 * MiB]);
      const within = { offset, length: random.below(Math.min(most, volume.size - offset) + 1) };
      const expected: Extent[] = [];
      for (const extent of whole ?? []) {
        const start = Math.max(extent.offset, within.offset);
        const end = Math.min(extentEnd(extent), extentEnd(within));
        if (end > start) expected.push({ offset: start, length: end - start });
      }
      const found: Extent[] = [];
      for await (const extent of map.usedExtents(within)) found.push(extent);
      assert.equal(found, expected);
    }
  }
});

test.run();
