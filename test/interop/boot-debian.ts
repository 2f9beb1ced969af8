// A real Debian starts to its login prompt through `boot --prove`, whatever firmware, table and root file system.
// In emulation each takes a minute or two: `npm test` starts one of them, chosen by the seed.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GiB } from '../../src/base/units.js';
import { ectype } from '../support/cli.js';
import { type DebianWish, makeDebianDisk } from '../support/debian.js';
import { HAS_LOOP } from '../support/loop.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { LONG } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const cli = ectype(scratch);
const SIZE = 2 * GiB;

const DISKS: readonly Omit<DebianWish, 'path' | 'size'>[] = [
  { firmware: 'uefi', root: 'ext4', withNtfs: true, withSwap: true },
  { firmware: 'uefi', root: 'btrfs' },
  { firmware: 'uefi', root: 'xfs', sectorSize: 4096 },
  { firmware: 'bios', table: 'mbr', root: 'ext4', withSwap: true },
  { firmware: 'bios', table: 'mbr', root: 'xfs' },
  { firmware: 'bios', table: 'gpt', root: 'btrfs' },
];

const chosen = LONG ? DISKS : [randomFrom(SEED).pick(DISKS)];

for (const wish of chosen) {
  const { firmware, table = 'gpt', root = 'ext4', sectorSize = 512 } = wish;
  const name = `${firmware}, ${table}, ${root}, sectors of ${sectorSize}`;
  (HAS_LOOP ? test : test.skip)(`Debian starts: ${name}`, () => {
    const path = join(scratch, 'debian.img');
    try {
      makeDebianDisk({ ...wish, path, size: SIZE });
      const before = run('sha256sum', [path]);
      const { status, events } = cli.json(['boot', '--prove', '--time-limit', '8m', '--scratch', scratch, path]);
      const result = events.find(({ event }) => event === 'result');
      assert.is(status, 0, JSON.stringify(events.at(-1)));
      assert.is(result?.['booted'], true);
      assert.is(result?.['firmware'], firmware);
      assert.ok(String(result?.['steps']).includes('Linux version'));
      assert.is(run('sha256sum', [path]), before, 'the disk was written');
      console.log(`${name}: ${Number(result?.['seconds']).toFixed(0)} s with ${String(result?.['accelerator'])}`);
    } finally {
      rmSync(path, { force: true });
    }
  });
}

test.run();
