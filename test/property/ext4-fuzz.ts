// Thousands of damaged superblocks, descriptors and bitmaps: the only error is FormatError, reads stay bounded, and what
// checksums protect never changes the map unseen.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { KiB, MiB } from '../../src/base/units.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import type { FilesystemInfo } from '../../src/filesystem/plugin.js';
import { type Extent, extentEnd } from '../../src/map/extent.js';
import { checkedSource } from '../../src/source/checked.js';
import type { Source } from '../../src/source/types.js';
import { makeImage, sealSuperblock } from '../support/ext4-image.js';
import { manyRounds } from '../support/many-rounds.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const ROUNDS = rounds({ short: 2000, long: 10_000 });
const LARGEST_READ = 2 * MiB;
const MOST_READ = 256 * MiB;
const EXTREMES = [0, 1, 2, 7, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 0x80000000];

interface Image {
  readonly name: string;
  readonly bytes: Buffer;
  /** Where the block bitmaps and the descriptors lie. */
  readonly places: readonly Extent[];
  readonly checksummed: boolean;
}

function newImage(name: string, size: number, options: readonly string[]): Image {
  const path = join(scratch, `${name}.img`);
  makeImage(path, size, options);
  const text = run('dumpe2fs', [path]);
  const blockSize = Number(/^Block size:\s+(\d+)/m.exec(text)?.[1]);
  const blocks = [...text.matchAll(/(?:Block bitmap|descriptors|descriptor) at (\d+)/g)].map((match) => match[1]);
  return {
    name,
    bytes: readFileSync(path),
    places: blocks.map((block) => ({ offset: Number(block) * blockSize, length: blockSize })),
    checksummed: /metadata_csum/.test(text),
  };
}

const IMAGES: readonly Image[] = [
  newImage('plain', 16 * MiB, ['-t', 'ext2', '-b', '1024']),
  newImage('checksums', 24 * MiB, ['-t', 'ext4', '-b', '1024']),
  newImage('uninit', 24 * MiB, ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum,uninit_bg']),
  newImage('bigalloc', 32 * MiB, ['-t', 'ext4', '-b', '1024', '-O', 'bigalloc,^metadata_csum', '-C', '4096']),
  newImage('meta', 24 * MiB, ['-t', 'ext4', '-b', '1024', '-O', 'meta_bg,^resize_inode,^metadata_csum,^uninit_bg']),
];

/** Reads from memory; a large read or too many of them fail the test. */
function bounded(bytes: Buffer): Source {
  let total = 0;
  return checkedSource({
    name: 'fuzz',
    size: bytes.length,
    sectorSize: undefined,
    spec: undefined,
    async read(into, offset) {
      total += into.length;
      assert.ok(into.length <= LARGEST_READ, `a read of ${into.length} bytes`);
      assert.ok(total <= MOST_READ, `${total} bytes were read`);
      bytes.copy(into, 0, offset, offset + into.length);
    },
    async *extents(within) {
      yield { ...within, kind: 'data' };
    },
    async close() {},
  });
}

/** What a change replaced, so that it can be undone. */
interface Change {
  readonly offset: number;
  readonly old: Buffer;
}

function damage(image: Image, random: Random): Change[] {
  const changes: Change[] = [];
  for (let count = random.between(1, 4); count > 0; count -= 1) {
    const inSuperblock = random.chance(0.6);
    const place = inSuperblock ? { offset: 1 * KiB, length: 1 * KiB } : random.pick(image.places);
    // Half of the hits go to the first 0x180 bytes, where all geometry is.
    const at = inSuperblock && random.chance(0.7) ? random.below(0x180) : random.below(place.length - 4);
    const width = random.pick([1, 2, 4]);
    const offset = place.offset + at - (at % width);
    changes.push({ offset, old: Buffer.from(image.bytes.subarray(offset, offset + width)) });
    const value = random.chance(0.5) ? random.pick(EXTREMES) : random.below(2 ** 32);
    image.bytes.writeUIntLE(value % 2 ** (8 * width), offset, width);
  }
  return changes;
}

async function usedOf(volume: Source, info: FilesystemInfo): Promise<Extent[] | undefined> {
  try {
    const map = await ext4.openAllocationMap(volume, info);
    const used: Extent[] = [];
    for await (const extent of map.usedExtents({ offset: 0, length: volume.size })) used.push(extent);
    return used;
  } catch (error) {
    assert.instance(error, FormatError, String(error instanceof Error ? error.stack : error));
    return undefined;
  }
}

async function exercise(bytes: Buffer): Promise<Extent[] | undefined> {
  const volume = bounded(bytes);
  const info = await ext4.probe(volume);
  if (!info) return undefined;
  assert.ok(info.size <= volume.size && (info.used === undefined || info.used <= info.size));
  const state = await ext4.readState(volume, info);
  assert.is(state.reason === '', state.kind === 'clean');
  assert.is((await ext4.token(volume, info)).length, 16);
  const used = await usedOf(volume, info);
  let end = -1;
  for (const extent of used ?? []) {
    assert.ok(extent.offset > end && extent.length > 0, 'ascending and joined');
    end = extentEnd(extent);
    assert.ok(end <= info.size);
  }
  return used;
}

for (const [index, image] of IMAGES.entries()) {
  test(`damage: ${image.name}`, async () => {
    const random = randomFrom(SEED + index);
    const intact = await exercise(image.bytes);
    assert.ok(intact);
    let maps = 0;
    await manyRounds(image.name, ROUNDS, async () => {
      const seal = random.chance(0.7);
      const superblock = Buffer.from(image.bytes.subarray(1024, 2048));
      const changes = damage(image, random);
      const touched = !superblock.equals(image.bytes.subarray(1024, 2048));
      if (seal) sealSuperblock(image.bytes.subarray(1024, 2048));
      const used = await exercise(image.bytes);
      if (used) maps += 1;
      if (used && image.checksummed && !(touched && seal)) assert.equal(used, intact, 'damage went unseen');
      for (const { offset, old } of changes.reverse()) old.copy(image.bytes, offset);
      superblock.copy(image.bytes, 1024);
    });
    console.log(`${image.name}: ${maps} maps`);
  });
}

test('any window shows the same as the whole', async () => {
  const random = randomFrom(SEED);
  for (const image of IMAGES) {
    const volume = bounded(image.bytes);
    const info = await ext4.probe(volume);
    assert.ok(info);
    const map = await ext4.openAllocationMap(volume, info);
    const whole = await exercise(image.bytes);
    for (let round = 0; round < 200; round += 1) {
      const offset = random.below(volume.size);
      const within = {
        offset,
        length: random.below(Math.min(random.pick([512, 5000, 1 * MiB, 64 * MiB]), volume.size - offset) + 1),
      };
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
