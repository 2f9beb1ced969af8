// Thousands of damaged trees under the records of a btrfs, most with their checksums made right again so that the parsers
// are reached: they end in FormatError or in records that keep their promises, and what checksums protect is noticed.

import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { KiB, MiB } from '../../src/base/units.js';
import { btrfs } from '../../src/filesystem/btrfs/plugin.js';
import { overlaps } from '../../src/map/extent.js';
import { checkedSource } from '../../src/source/checked.js';
import type { Source } from '../../src/source/types.js';
import { addFragmented, addSmallFiles, addSnapshots } from '../support/btrfs-corpus.js';
import { makeBtrfs, mounted } from '../support/btrfs-image.js';
import { nodesOf, seal } from '../support/btrfs-nodes.js';
import { damage } from '../support/damage.js';
import { manyRounds } from '../support/many-rounds.js';
import { randomFrom, SEED } from '../support/random.js';
import { type Scan, scanRecords } from '../support/record-scan.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { SparseBytes } from '../support/sparse-bytes.js';

const scratch = scratchFolder();
const random = randomFrom(SEED);
const ROUNDS = rounds({ short: 150, long: 5000 });
const LARGEST_READ = MiB;
const MOST_READ = 64 * MiB;
const SUPERBLOCK = { offset: 64 * KiB, length: 4 * KiB, owner: '', leaf: false };
/** What records are made of; those of extents and checksums most of the time. */
const READ = ['ROOT_TREE', 'CHUNK_TREE', 'DEV_TREE', 'EXTENT_TREE', 'EXTENT_TREE', 'CSUM_TREE', 'CSUM_TREE'];
const MIRRORS = [64 * KiB, 64 * MiB];

/** Reads from memory; a large read or too many of them fail the test. */
function bounded(bytes: SparseBytes): Source {
  let total = 0;
  return checkedSource({
    name: 'damaged',
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

/** Undefined where the volume is refused. */
async function scanOf(bytes: SparseBytes): Promise<Scan | undefined> {
  const volume = bounded(bytes);
  if (!(await btrfs.probe(volume))) return undefined;
  try {
    const scan = await scanRecords(btrfs, volume);
    for (const { id, extents } of scan.records.values()) {
      for (const offset of MIRRORS)
        for (const extent of extents) assert.not(overlaps(extent, { offset, length: 4 * KiB }), `record ${id}`);
    }
    return scan;
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

function textOf(scan: Scan | undefined): string {
  return JSON.stringify([...(scan?.records.values() ?? [])]);
}

for (const { name, options, nodeSize, checksumType } of [
  { name: 'deep trees', options: ['-m', 'single', '-n', '4096'], nodeSize: 4 * KiB, checksumType: 0 },
  { name: 'DUP', options: ['-m', 'dup', '-d', 'dup'], nodeSize: 16 * KiB, checksumType: 0 },
  { name: 'mixed', options: ['--mixed', '-m', 'single', '-d', 'single'], nodeSize: 4 * KiB, checksumType: 0 },
  { name: 'sha256', options: ['-m', 'single', '--csum', 'sha256'], nodeSize: 16 * KiB, checksumType: 2 },
]) {
  const image = join(scratch, name);
  makeBtrfs([image], 256 * MiB, options);
  mounted([image], (folder) => {
    addSmallFiles(folder, randomFrom(7), 400);
    addFragmented(folder, randomFrom(8));
    addSnapshots(folder, randomFrom(9));
  });
  const bytes = SparseBytes.ofFile(image);
  const nodes = nodesOf([image], nodeSize);
  /** Where the same tree block lies, by its content. */
  const copies = new Map<string, number[]>();
  for (const { offset } of nodes) {
    const content = Buffer.alloc(nodeSize);
    bytes.read(content, offset);
    const key = content.toString('latin1');
    copies.set(key, [...(copies.get(key) ?? []), offset]);
  }

  test(`${name}: ${ROUNDS} damaged trees`, async () => {
    const whole = textOf(await scanOf(bytes));
    assert.ok(whole.length > 10_000, 'the undamaged volume has records');
    let refused = 0;
    let changed = 0;
    await manyRounds(name, ROUNDS, async () => {
      const owner = random.pick(READ);
      const place = random.chance(0.15) ? SUPERBLOCK : random.pick(nodes.filter((node) => node.owner === owner));
      const old = Buffer.alloc(place.length);
      bytes.read(old, place.offset);
      const block = Buffer.from(old);
      // Half of the hits go where the keys of a block begin.
      if (random.chance(0.5)) damage(block, 32, Math.min(block.length - 32, 600), random);
      else damage(block, 32, block.length - 32, random);
      const sealed = random.chance(0.85);
      if (sealed) seal(block, checksumType);
      // With DUP, one copy in five cases, else both.
      const places = random.chance(0.2) ? [place.offset] : (copies.get(old.toString('latin1')) ?? [place.offset]);
      for (const offset of places) bytes.write(block, offset);
      const scan = await scanOf(bytes);
      for (const offset of places) bytes.write(old, offset);
      if (!scan) refused += 1;
      else if (textOf(scan) !== whole) changed += 1;
      if (scan && !sealed) assert.is(textOf(scan), whole, 'damage went unseen');
    });
    assert.is(textOf(await scanOf(bytes)), whole);
    console.log(`${name}: ${refused} refused, ${changed} read with other records`);
    assert.ok(refused > ROUNDS / 20 && changed > 0);
  });
}

test.run();
