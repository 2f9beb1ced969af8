// Damaged and unreadable metadata of ext2/3/4 and NTFS: asking who owns what never throws, never hangs, reads no more
// than a few times the volume, and every asked byte has exactly one owner.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import { ntfs } from '../../src/filesystem/ntfs/plugin.js';
import type { FilesystemPlugin, Owner } from '../../src/filesystem/plugin.js';
import { memoryTarget } from '../../src/source/memory.js';
import { damage } from '../support/damage.js';
import { fillFolder, thinFolder } from '../support/ext4-corpus.js';
import { makeImage, mounted, sealSuperblock } from '../support/ext4-image.js';
import { faultySource } from '../support/faulty.js';
import { withNtfsMounted } from '../support/ntfs-mount.js';
import { fragment, makeNtfs } from '../support/ntfs-volume.js';
import { assertCovered, ownersOf } from '../support/owners.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const ROUNDS = rounds({ short: 80, long: 6000 });
const MAX_MS = 5000;
/** Tables, tree blocks and directories are each read a bounded number of times over. */
const MOST_READ = 40;

function extImage(name: string, size: number, options: readonly string[]): Buffer {
  const path = join(scratch, name);
  makeImage(path, size, options);
  mounted(path, (folder) => {
    fillFolder(folder, randomFrom(SEED), { files: 120, largest: 300 * KiB, total: 3 * MiB });
    thinFolder(folder, randomFrom(SEED));
  });
  return readFileSync(path);
}

async function ntfsImage(): Promise<Buffer> {
  const path = join(scratch, 'ntfs');
  makeNtfs(path, { size: 6 * MiB, clusterSize: 512 });
  await withNtfsMounted(path, (folder) =>
    fragment(folder, randomFrom(SEED), { clusterSize: 1024, holes: 300, names: 300 }),
  );
  return readFileSync(path);
}

interface Volume {
  readonly name: string;
  readonly plugin: FilesystemPlugin;
  readonly bytes: Buffer;
}

const VOLUMES: readonly Volume[] = [
  { name: 'ext2', plugin: ext4, bytes: extImage('ext2', 8 * MiB, ['-t', 'ext2', '-b', '1024']) },
  { name: 'ext4', plugin: ext4, bytes: extImage('ext4', 16 * MiB, ['-t', 'ext4', '-b', '1024']) },
  {
    name: 'meta_bg and inline data without checksums',
    plugin: ext4,
    bytes: extImage('meta', 24 * MiB, [
      ...['-t', 'ext4', '-b', '1024', '-I', '256'],
      ...['-O', 'meta_bg,inline_data,^resize_inode,^metadata_csum,^uninit_bg'],
    ]),
  },
  { name: 'ntfs', plugin: ntfs, bytes: await ntfsImage() },
];

/** Structures by what the plugin itself calls them; files' data decides nothing. */
function structuresOf(owners: readonly Owner[]): { offset: number; length: number }[] {
  return owners.flatMap(({ kind, extent, names }) =>
    kind !== 'structure' || /journal|LogFile|unused|space for/.test(names[0] ?? '') || extent.length < 16
      ? []
      : [extent],
  );
}

/** One to six structures change; the superblock's checksum may be made right again. */
function harm({ bytes, plugin }: Volume, places: readonly { offset: number; length: number }[], random: Random) {
  const repairs: (() => void)[] = [];
  for (let change = random.between(1, 6); change > 0; change -= 1) {
    const place = random.pick(places);
    const length = Math.min(place.length, 4096);
    const offset = place.offset + (random.chance(0.5) ? 0 : random.below(place.length - length + 1));
    repairs.unshift(damage(bytes, offset, length, random));
  }
  if (plugin === ext4 && random.chance(0.7)) {
    const superblock = bytes.subarray(1024, 2048);
    const old = Buffer.from(superblock);
    sealSuperblock(superblock);
    repairs.unshift(() => old.copy(superblock));
  }
  return () => {
    for (const repair of repairs) repair();
  };
}

for (const [index, volume] of VOLUMES.entries()) {
  const { name, plugin, bytes } = volume;
  test(`${ROUNDS} damaged volumes: ${name}`, async () => {
    const random = randomFrom(SEED + index);
    const places = structuresOf(await ownersOf(plugin, memoryTarget(bytes)));
    assert.ok(places.length > 20);
    const whole = { offset: 0, length: bytes.length };
    let slowest = 0;
    let asked = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const repair = harm(volume, places, random);
      const unreadable = random.chance(0.5) ? [] : [random.pick(places), random.pick(places)];
      let read = 0;
      const source = faultySource(memoryTarget(bytes), {
        faults: unreadable.map(({ offset }) => ({
          verbs: ['read'],
          within: { offset, length: random.pick([512, 4096]) },
          errno: 'EIO',
        })),
        onRequest: (_, { length }) => {
          read += length;
        },
      });
      const started = performance.now();
      try {
        const info = await plugin.probe(memoryTarget(bytes));
        if (!info) continue;
        const extents = random.chance(0.4) ? [whole] : [random.pick(places), { offset: 0, length: 512 }].reverse();
        assertCovered(extents, (await plugin.ownersOf?.(source, info, extents)) ?? []);
        asked += 1;
        assert.ok(read <= bytes.length * MOST_READ, `${read} bytes were read`);
      } catch (error) {
        throw new Error(`round ${round} of seed ${SEED}`, { cause: error });
      } finally {
        repair();
      }
      slowest = Math.max(slowest, performance.now() - started);
    }
    console.log(`${name}: ${asked} of ${ROUNDS} recognised, slowest ${slowest.toFixed(0)} ms`);
    assert.ok(asked > ROUNDS / 2);
    assert.ok(slowest < MAX_MS, `one round took ${slowest.toFixed(0)} ms`);
  });
}

test.run();
