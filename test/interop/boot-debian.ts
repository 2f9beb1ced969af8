// A real Debian starts to its login prompt through `boot --prove`, whatever firmware, table and root file system.
// In emulation each takes a minute or two: `npm test` starts one of them, chosen by the seed.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GiB } from '../../src/base/units.js';
import { ectype } from '../support/cli.js';
import { type DebianWish, makeDebianDisk, partitionOf } from '../support/debian.js';
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

/** As Debian's installer leaves it: the computer's firmware has an entry for the loader, a virtual one does not. */
(HAS_LOOP && LONG ? test : test.skip)('Debian starts without the loader for unknown disks, and that is told', () => {
  const path = join(scratch, 'entry.img');
  try {
    const disk = makeDebianDisk({ path, size: SIZE, firmware: 'uefi' });
    const place = `${path}@@${partitionOf(disk, 'esp').extent.offset}`;
    run('mdel', ['-i', place, '::EFI/BOOT/BOOTX64.EFI']);
    const { status, events } = cli.json(['boot', '--prove', '--time-limit', '8m', '--scratch', scratch, path]);
    const result = events.find(({ event }) => event === 'result');
    assert.is(status, 0, JSON.stringify(events.at(-1)));
    assert.match(String(result?.['steps']), /no firmware entry: starting \\EFI\\debian\\grubx64.efi/);
    assert.match(String(events.find(({ event }) => event === 'warning')?.['message']), /BOOTX64.EFI is missing/);
    run('mdel', ['-i', place, '::EFI/debian/grubx64.efi']);
    const failed = cli.json(['boot', '--prove', '--time-limit', '8m', '--scratch', scratch, path]);
    assert.is(failed.status, 7);
    assert.match(String(failed.events.at(-1)?.['message']), /the firmware found no boot loader/);
  } finally {
    rmSync(path, { force: true });
  }
});

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
