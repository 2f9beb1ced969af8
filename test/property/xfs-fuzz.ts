// Thousands of damaged superblocks, headers, btrees and logs: the only error is FormatError, reads stay bounded, and what
// checksums protect never changes the map unseen.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { MiB } from '../../src/base/units.js';
import type { FilesystemInfo } from '../../src/filesystem/plugin.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import { type Extent, extentEnd } from '../../src/map/extent.js';
import { memoryTarget } from '../../src/source/memory.js';
import type { Source } from '../../src/source/types.js';
import { manyRounds } from '../support/many-rounds.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { buildXfs, firstTreeBlock, flatten, type XfsShape } from '../support/xfs-builder.js';
import { type CHECKSUM_AT, makeXfs, mountedXfs, sealXfs, xfsField } from '../support/xfs-image.js';

const LARGEST_READ = 2 * MiB;
const MOST_READ = 256 * MiB;
const EXTREMES = [0, 1, 2, 7, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 0x80000000];

interface Place extends Extent {
  readonly kind: keyof typeof CHECKSUM_AT | 'log';
  /** Most of the hits go to the first so many bytes. */
  readonly head: number;
}

interface Image {
  readonly name: string;
  readonly bytes: Buffer;
  readonly places: readonly Place[];
  readonly checksummed: boolean;
  readonly rounds: number;
}

const SHAPE: XfsShape = {
  version: 4,
  blockSize: 1024,
  groupBlocks: 2048,
  groupCount: 3,
  lastBlocks: 1500,
  treeStart: firstTreeBlock(1024),
  fanout: 4,
  listed: [401, 403, 404],
  free: (group) =>
    Array.from({ length: 80 }, (_, index) => ({ start: 500 + index * 11, count: 1 + ((index + group) % 10) })),
};

function builtImage(version: 4 | 5): Image {
  const built = buildXfs({ ...SHAPE, version });
  const places = groupPlaces({ sectorSize: 512, groupLength: SHAPE.groupBlocks * SHAPE.blockSize, groupCount: 3 });
  for (const offset of built.trees) places.push({ offset, length: SHAPE.blockSize, kind: 'btree', head: 100 });
  places.push({ offset: built.logOffset, length: 1024, kind: 'log', head: 30 });
  const name = `built, version ${version}`;
  return {
    name,
    bytes: flatten(built),
    places,
    checksummed: version === 5,
    rounds: rounds({ short: 1200, long: 20_000 }),
  };
}

/** Made by mkfs.xfs, torn to pieces by the kernel. */
function realImage(): Image {
  const path = join(scratchFolder(), 'real.img');
  makeXfs(path, 32 * MiB, ['-b', 'size=1024', '-d', 'agcount=2', '-m', 'rmapbt=1']);
  mountedXfs(path, (folder) => {
    mkdirSync(join(folder, 'd'));
    for (let index = 0; index < 1500; index += 1)
      writeFileSync(join(folder, 'd', `${index}`), Buffer.alloc(1000, index));
    run('sync', ['-f', folder]);
    for (let index = 0; index < 1500; index += 2) rmSync(join(folder, 'd', `${index}`));
  });
  const bytes = readFileSync(path);
  const groupLength = xfsField(path, 'agblocks') * 1024;
  const places = groupPlaces({ sectorSize: 512, groupLength, groupCount: 2 });
  for (let offset = 0; offset < bytes.length; offset += 1024) {
    const isTree = bytes.toString('latin1', offset, offset + 4) === 'AB3B';
    if (isTree) places.push({ offset, length: 1024, kind: 'btree', head: 100 });
  }
  const start = xfsField(path, 'logstart');
  const group = Math.floor(start / 2 ** xfsField(path, 'agblklog'));
  const log = group * groupLength + (start % 2 ** xfsField(path, 'agblklog')) * 1024;
  places.push({ offset: log, length: 64 * 1024, kind: 'log', head: 1024 });
  assert.ok(places.filter(({ kind }) => kind === 'btree').length > 5);
  return { name: 'made by mkfs.xfs', bytes, places, checksummed: true, rounds: rounds({ short: 600, long: 10_000 }) };
}

function groupPlaces(shape: { sectorSize: number; groupLength: number; groupCount: number }): Place[] {
  const places: Place[] = [];
  for (let group = 0; group < shape.groupCount; group += 1) {
    const at = (sector: number): Extent => ({
      offset: group * shape.groupLength + sector * shape.sectorSize,
      length: shape.sectorSize,
    });
    places.push({ ...at(1), kind: 'agf', head: 80 });
    places.push({ ...at(2), kind: 'agi', head: 20 });
    places.push({ ...at(3), kind: 'agfl', head: 80 });
  }
  return places;
}

/** Reads from memory; a large read or too many of them fail the test. */
function bounded(bytes: Buffer): Source {
  const memory = memoryTarget(bytes, 'fuzz');
  let total = 0;
  return {
    ...memory,
    async read(into, offset) {
      total += into.length;
      assert.ok(into.length <= LARGEST_READ, `a read of ${into.length} bytes`);
      assert.ok(total <= MOST_READ, `${total} bytes were read`);
      await memory.read(into, offset);
    },
  };
}

/** Changes one to four places of a structure. */
function damage(bytes: Buffer, { length, head }: { length: number; head: number }, random: Random): void {
  for (let count = random.between(1, 4); count > 0; count -= 1) {
    const width = random.pick([1, 2, 4, 4]);
    const at = random.below((random.chance(0.8) ? head : length) - 4);
    const value = random.chance(0.5)
      ? random.pick(EXTREMES)
      : random.chance(0.5)
        ? random.below(3000)
        : random.below(2 ** 32);
    bytes.writeUIntBE(value % 2 ** (8 * width), at - (at % width), width);
  }
}

async function usedOf(volume: Source, info: FilesystemInfo): Promise<Extent[] | undefined> {
  try {
    const map = await xfs.openAllocationMap(volume, info);
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
  const info = await xfs.probe(volume);
  if (!info) return undefined;
  assert.ok(info.size > 0 && info.size <= volume.size && (info.used === undefined || info.used <= info.size));
  const state = await xfs.readState(volume, info);
  assert.is(state.reason === '', state.kind === 'clean');
  try {
    assert.is((await xfs.token(volume, info)).length, 16);
  } catch (error) {
    assert.instance(error, FormatError);
  }
  const used = await usedOf(volume, info);
  let end = -1;
  for (const extent of used ?? []) {
    assert.ok(extent.offset > end && extent.length > 0, 'ascending and joined');
    end = extentEnd(extent);
    assert.ok(end <= info.size);
  }
  return used;
}

const SUPERBLOCK: Place = { offset: 0, length: 512, kind: 'superblock', head: 264 };

for (const [index, image] of [builtImage(4), builtImage(5), realImage()].entries()) {
  test(`${image.rounds} times damaged: ${image.name}`, async () => {
    const random = randomFrom(SEED + index);
    const intact = await exercise(image.bytes);
    assert.ok(intact);
    let maps = 0;
    await manyRounds(image.name, image.rounds, async () => {
      const place = random.chance(0.3) ? SUPERBLOCK : random.pick(image.places);
      const target = image.bytes.subarray(place.offset, place.offset + place.length);
      const old = Buffer.from(target);
      const kind = image.checksummed && random.chance(0.7) ? place.kind : 'log';
      damage(target, place, random);
      if (kind !== 'log') sealXfs(target, kind);
      const used = await exercise(image.bytes);
      if (used) maps += 1;
      if (used && image.checksummed && kind === 'log') assert.equal(used, intact, 'damage went unseen');
      old.copy(target);
    });
    console.log(`${image.name}: ${maps} maps`);
    assert.ok(maps > 0 && maps < image.rounds);
  });
}

test('noise behind a valid superblock', async () => {
  const random = randomFrom(SEED);
  const { bytes } = builtImage(5);
  for (let round = 0; round < rounds({ short: 50, long: 500 }); round += 1) {
    const noise = random.bytes(bytes.length);
    bytes.copy(noise, 0, 0, 512);
    await exercise(noise);
  }
});

test.run();
