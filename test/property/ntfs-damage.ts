// Thousands of damaged NTFS volumes: each is refused or read, none crashes, hangs or eats memory.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ntfs } from '../../src/filesystem/ntfs/plugin.js';
import { askEverything, damage } from '../support/damage.js';
import { manyRounds } from '../support/many-rounds.js';
import { withNtfsMounted } from '../support/ntfs-mount.js';
import { fragment, makeNtfs } from '../support/ntfs-volume.js';
import { randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const ROUNDS = rounds({ short: 2000, long: 20_000 });
const RECORD = 1024;

const image = join(scratchFolder(), 'ntfs');
const random = randomFrom(SEED);
makeNtfs(image, { size: 6 * MiB, clusterSize: 512 });
await withNtfsMounted(image, (folder) => fragment(folder, random, { clusterSize: 1024, holes: 700, names: 900 }));
const bytes = readFileSync(image);

/** Where the structures lie that the plugin reads: boot sector, system records, extension records, index blocks. */
function places(): { offset: number; length: number }[] {
  const mft = Number(bytes.readBigUInt64LE(0x30)) * 512;
  const found = Array.from({ length: 24 }, (_, index) => ({ offset: mft + index * RECORD, length: RECORD }));
  for (let offset = 0; offset < bytes.length; offset += 512) {
    const magic = bytes.toString('latin1', offset, offset + 4);
    const isExtension =
      magic === 'FILE' && bytes.readUIntLE(offset + 32, 6) === 0 && bytes.readUInt16LE(offset + 38) > 0;
    if (isExtension || (magic === 'INDX' && found.length < 40)) found.push({ offset, length: RECORD });
  }
  return found;
}

test('the undamaged volume is read', async () => {
  assert.equal(await askEverything(ntfs, bytes), { recognised: true, mapped: true, tokened: true });
});

test(`${ROUNDS} damaged volumes`, async () => {
  const structures = places();
  let refused = 0;
  await manyRounds('NTFS', ROUNDS, async (round) => {
    const place =
      round % 4 === 0
        ? { offset: 0, length: 90 }
        : random.chance(0.6)
          ? structures[random.below(8)]
          : random.pick(structures);
    assert.ok(place);
    const repair = damage(bytes, place.offset, place.length, random);
    try {
      const outcome = await askEverything(ntfs, bytes);
      if (!outcome.mapped) refused += 1;
    } finally {
      repair();
    }
  });
  console.log(`${refused} of ${ROUNDS} refused`);
  assert.ok(refused > ROUNDS / 20 && refused < ROUNDS);
});

test('random bytes after a valid boot sector', async () => {
  for (let round = 0; round < rounds({ short: 200, long: 2000 }); round += 1) {
    const noise = random.bytes(256 * 1024);
    bytes.copy(noise, 0, 0, 512);
    noise.writeBigUInt64LE(BigInt(random.below(600)), 0x28);
    noise.writeBigUInt64LE(BigInt(random.below(400)), 0x30);
    noise.writeBigUInt64LE(BigInt(random.below(400)), 0x38);
    await askEverything(ntfs, noise);
  }
});

test.run();
