// Thousands of damaged boot sectors at new places: each is adapted inside its volume, or refused with a reason.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { afterMove } from '../../src/reshape/after-move/after-move.js';
import { patchedSource } from '../../src/source/patched.js';
import { boundedSource, damage } from '../support/damage.js';
import { makeExfat } from '../support/exfat-volume.js';
import { makeFat } from '../support/fat-volume.js';
import { manyRounds } from '../support/many-rounds.js';
import { makeNtfs } from '../support/ntfs-volume.js';
import { randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const ROUNDS = rounds({ short: 800, long: 20_000 });
const scratch = scratchFolder();
const random = randomFrom(SEED);

const MADE: readonly { readonly kind: string; readonly make: (path: string) => void }[] = [
  { kind: 'ntfs', make: (path) => makeNtfs(path, { size: 8 * MiB, clusterSize: 4096 }) },
  { kind: 'fat16', make: (path) => makeFat(path, { size: 5 * MiB, bits: 16, sectorsPerCluster: 1 }) },
  { kind: 'fat32', make: (path) => makeFat(path, { size: 36 * MiB, bits: 32, sectorsPerCluster: 1 }) },
  { kind: 'exfat', make: (path) => makeExfat(path, { size: 8 * MiB, clusterSize: 4096 }) },
];

for (const { kind, make } of MADE) {
  const image = join(scratch, kind);
  make(image);
  const bytes = readFileSync(image);
  if (kind !== 'exfat') bytes.writeUInt32LE(2048, 0x1c);

  test(`${kind}: ${ROUNDS} damaged volumes`, async () => {
    let adapted = 0;
    await manyRounds(kind, ROUNDS, async () => {
      const repair = damage(bytes, 0, random.pick([96, 128]), random);
      const size = bytes.length - random.pick([0, 0, 512, 4096]);
      try {
        const volume = { ...boundedSource(bytes), size };
        const [from = 512, to = 512] = random.pick([
          [512, 512],
          [512, 4096],
          [4096, 512],
        ]);
        const place = (sectorSize: number) => ({ startLba: random.pick([0, 1, 2048, 2 ** 33]), sectorSize });
        const move = { volume, filesystem: { kind }, source: place(from), target: place(to) };
        // Patches that overlap or lie outside make this throw.
        patchedSource(volume, (await afterMove(move)).patches);
        adapted += 1;
      } catch (error) {
        if (!(error instanceof ToolError)) throw error;
        assert.is(error.family, 'filesystem');
      } finally {
        repair();
      }
    });
    console.log(`${adapted} of ${ROUNDS} adapted`);
    assert.ok(adapted > ROUNDS / 100 && adapted < ROUNDS);
  });
}

test.run();
