// Clones onto disks with other sectors, through the command line: tables in new units, FAT made anew, everything else as it
// is or refused.

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Bytes, MiB } from '../../src/base/units.js';
import { oldFile, sha256 } from '../support/clone-judge.js';
import { preparedDisk, type Wish } from '../support/clone-round-trip.js';
import { ectypeIn } from '../support/ectype-cli.js';
import { HAS_LOOP } from '../support/loop.js';
import { attachLoop } from '../support/loop-device.js';
import { EXT4, FAT32, FAT32_4K, NTFS, SWAP } from '../support/partition-content.js';
import { demandRescaled } from '../support/rescaled.js';
import { scratchFolder } from '../support/scratch.js';

const sectors = (bytes: Bytes): number => bytes / 512;

const OF_512: Wish = {
  table: 'gpt',
  size: 420 * MiB,
  partitions: [
    { content: FAT32, size: sectors(40 * MiB) },
    { content: EXT4, size: sectors(200 * MiB) },
    { content: NTFS, size: sectors(80 * MiB) },
    { content: SWAP, size: sectors(8 * MiB) },
  ],
};

const OF_4096: Wish = {
  table: 'gpt',
  sectorSize: 4096,
  size: 520 * MiB,
  partitions: [
    { content: FAT32_4K, size: (270 * MiB) / 4096 },
    { content: EXT4, size: (100 * MiB) / 4096 },
    { content: NTFS, size: (60 * MiB) / 4096 },
  ],
};

const test = suite('rescale-sectors');
const scratch = scratchFolder();

for (const [name, wish, size, sectorSize] of [
  ['512 to 4096 bytes', OF_512, 420 * MiB, 4096],
  ['512 to 4096 bytes, on a larger disk that is filled', OF_512, 600 * MiB, 4096],
  ['4096 to 512 bytes', OF_4096, 520 * MiB, 512],
] as const) {
  test(`sectors of ${name}`, async () => {
    if (!HAS_LOOP) return;
    const { disk, files, digest } = await preparedDisk(scratch, wish);
    const folder = join(scratch, `to-${size}-${sectorSize}`);
    mkdirSync(folder);
    const ectype = ectypeIn(folder);
    const target = oldFile(join(folder, 'target.img'), size);
    const options = size > wish.size ? ['--layout', 'fill'] : [];
    attachLoop(disk.path, disk.sectorSize, (from) =>
      attachLoop(target, sectorSize, (to) => {
        ectype.clone(from, to, `--overwrite-target=${to}`, ...options);
        assert.ok(ectype.verify(from, to, ...options).equal, 'verify agrees');
        assert.not.ok(ectype.clone(from, to, ...options).changed, 'a second run finds nothing to write');
      }),
    );
    assert.is(sha256(disk.path), digest, 'the source is what it was');
    await demandRescaled({ ...disk, sectorSize }, target, files);
    rmSync(folder, { recursive: true });
  });
}

test.run();
