// A real Debian starts to its login prompt through `boot --prove`, whatever firmware, table and root file system, and so do
// its clones onto other sizes and sectors, and its twin. In emulation each takes a minute or two: `npm test` makes one of
// the clones, chosen by the seed, and starts it every other time.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Bytes, GiB } from '../../src/base/units.js';
import { readTable } from '../../src/partition/read.js';
import { openDiskSource } from '../../src/source/disk.js';
import { ectype, MAIN } from '../support/cli.js';
import { oldFile } from '../support/clone-judge.js';
import { type DebianDisk, type DebianWish, makeDebianDisk, partitionOf, withDebianRoot } from '../support/debian.js';
import { HAS_LOOP } from '../support/loop.js';
import { randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
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

/** Starts it; it must come to a login prompt by this firmware, and not be written. */
function demandStart(path: string, { label, firmware }: { label: string; firmware: string }): void {
  const before = run('sha256sum', [path]);
  const { status, events } = cli.json(['boot', '--prove', '--time-limit', '8m', '--scratch', scratch, path]);
  const result = events.find(({ event }) => event === 'result');
  assert.is(status, 0, JSON.stringify(events.at(-1)));
  assert.is(result?.['booted'], true);
  assert.is(result?.['firmware'], firmware);
  assert.ok(String(result?.['steps']).includes('Linux version'));
  assert.is(run('sha256sum', [path]), before, 'the disk was written');
  console.log(`${label}: ${Number(result?.['seconds']).toFixed(0)} s with ${String(result?.['accelerator'])}`);
}

for (const wish of LONG ? DISKS : []) {
  const { firmware, table = 'gpt', root = 'ext4', sectorSize = 512 } = wish;
  const name = `${firmware}, ${table}, ${root}, sectors of ${sectorSize}`;
  (HAS_LOOP ? test : test.skip)(`Debian starts: ${name}`, () => {
    const path = join(scratch, 'debian.img');
    try {
      makeDebianDisk({ ...wish, path, size: SIZE });
      demandStart(path, { label: name, firmware });
    } finally {
      rmSync(path, { force: true });
    }
  });
}

interface CloneCase {
  readonly name: string;
  readonly wish: Omit<DebianWish, 'path' | 'size'>;
  readonly size: Bytes;
  readonly sectorSize?: 4096;
  readonly options?: readonly string[];
}

const UEFI = { firmware: 'uefi', root: 'ext4', withNtfs: true, withSwap: true } as const;
const BIOS = { firmware: 'bios', table: 'mbr', root: 'ext4', withNtfs: true, withSwap: true } as const;
const FILL = ['--layout', 'fill'];
const LARGER = 3 * GiB;
const SMALLER = 1.5 * GiB;

const CLONES: readonly CloneCase[] = [
  { name: 'UEFI, filling a larger disk', wish: UEFI, size: LARGER, options: FILL },
  { name: 'UEFI, on a smaller disk', wish: UEFI, size: SMALLER },
  { name: 'UEFI, on sectors of 4096 bytes', wish: UEFI, size: SIZE, sectorSize: 4096 },
  { name: 'BIOS, filling a larger disk', wish: BIOS, size: LARGER, options: FILL },
  { name: 'BIOS, on a smaller disk', wish: BIOS, size: SMALLER },
  { name: 'btrfs, filling a larger disk', wish: { firmware: 'uefi', root: 'btrfs' }, size: LARGER, options: FILL },
  { name: 'btrfs, on a smaller disk', wish: { firmware: 'uefi', root: 'btrfs' }, size: SMALLER },
  { name: 'XFS, filling a larger disk', wish: { firmware: 'uefi', root: 'xfs' }, size: LARGER, options: FILL },
  { name: 'UEFI, as a twin', wish: UEFI, size: SIZE, options: ['--identity', 'new'] },
  {
    name: 'BIOS with GPT, as a twin on a larger disk',
    wish: { firmware: 'bios', table: 'gpt', root: 'xfs' },
    size: LARGER,
    options: [...FILL, '--identity', 'new'],
  },
];

/** Of every file of the root, but those that a twin has in its own words. */
function filesOf(disk: DebianDisk): string {
  const listing = withDebianRoot(disk, { write: false }, (folder) =>
    run('sh', ['-c', 'cd "$1" && find . -xdev -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum', 'sh', folder]),
  );
  return listing
    .split('\n')
    .filter((line) => !/ \.\/(etc\/(fstab|crypttab|default\/grub|kernel\/cmdline)|boot\/grub\/grub\.cfg)$/.test(line))
    .join('\n');
}

const CHECKERS = { ext4: ['e2fsck', '-fn'], btrfs: ['btrfs', 'check'], xfs: ['xfs_repair', '-n'] } as const;

/** The target's root, where its own table says that it is; its checker must find nothing. */
async function rootOf(
  disk: DebianDisk,
  { target, sectorSize, root }: { target: string; sectorSize: 512 | 4096; root: keyof typeof CHECKERS },
): Promise<DebianDisk> {
  const medium = openDiskSource(target);
  const table = await readTable(medium).finally(() => medium.close());
  assert.ok(table);
  const partitions = disk.partitions.map((partition) => {
    const found = table.partitions.find(({ number }) => number === partition.number);
    assert.ok(found, `partition ${partition.number} is there`);
    return { ...partition, extent: found.extent };
  });
  const copied = { ...disk, path: target, sectorSize, partitions };
  const { offset, length } = partitionOf(copied, 'root').extent;
  const loop = run('losetup', ['-f', '--show', '-r', '-o', `${offset}`, '--sizelimit', `${length}`, target]).trim();
  try {
    const [checker, ...words] = CHECKERS[root];
    run(checker, [...words, loop]);
  } finally {
    run('losetup', ['-d', loop]);
  }
  return copied;
}

const random = randomFrom(SEED);
const chosen = LONG ? CLONES : [random.pick(CLONES)];
/** A start in emulation takes as long as many other tests: every other `npm test` does without, and looks at the files only. */
const starts = LONG || random.chance(0.5);

for (const { name, wish, size, sectorSize, options = [] } of chosen) {
  (HAS_LOOP ? test : test.skip)(`a clone of Debian ${starts ? 'starts' : 'is whole'}: ${name}`, async () => {
    const path = join(scratch, 'debian.img');
    const target = join(scratch, 'clone.img');
    const state = join(scratch, `state-${size}-${options.join('')}-${sectorSize}`);
    try {
      const disk = makeDebianDisk({ ...wish, path, size: SIZE });
      const before = run('sha256sum', [path]);
      oldFile(target, size);
      const words = sectorSize === undefined ? [] : ['--sector-size', `${sectorSize}`];
      const ended = tryRun(
        process.execPath,
        [MAIN, 'clone', '--yes', `--overwrite-target=${target}`, ...words, ...options, path, target],
        {
          env: { ECTYPE_STATE: state },
        },
      );
      assert.is(ended.status, 0, ended.stderr);
      assert.is(run('sha256sum', [path]), before, 'the source was written');
      const clone = await rootOf(disk, {
        target,
        sectorSize: sectorSize ?? disk.sectorSize,
        root: wish.root ?? 'ext4',
      });
      assert.is(filesOf(clone), filesOf(disk), 'every file of the root is equal');
      if (starts) demandStart(target, { label: name, firmware: wish.firmware });
    } finally {
      for (const file of [path, target]) rmSync(file, { force: true });
    }
  });
}

test.run();
