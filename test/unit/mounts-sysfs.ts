// Partitions, LVM, md and encryption under mounted file systems: the kernel's words are made up, because no machine that
// runs tests has all of them. They are laid over /sys and /proc in a mount name space of a process of its own.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GiB, MiB } from '../../src/base/units.js';
import type { MountedFilesystem, Swap } from '../../src/device/mounts.js';
import { HAS_LOOP } from '../support/loop.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const rooted = HAS_LOOP ? test : test.skip;
const sys = join(scratch, 'sys');
const dev = join(scratch, 'dev');
const SECTOR = 512;

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${text}\n`);
}

function link(from: string, to: string): void {
  mkdirSync(dirname(from), { recursive: true });
  symlinkSync(relative(dirname(from), to), from);
}

interface FakeDevice {
  readonly name: string;
  readonly number: string;
  readonly size: number;
  /** Name of its disk, and where it starts there. */
  readonly disk?: string;
  readonly start?: number;
  readonly slaves?: readonly string[];
}

const DEVICES: readonly FakeDevice[] = [
  { name: 'sda', number: '8:0', size: 100 * GiB },
  { name: 'sda1', number: '8:1', size: 1 * GiB, disk: 'sda', start: 1 * MiB }, // vfat
  { name: 'sda2', number: '8:2', size: 40 * GiB, disk: 'sda', start: 2 * GiB }, // LVM
  { name: 'sda3', number: '8:3', size: 20 * GiB, disk: 'sda', start: 50 * GiB }, // md, with sdb1
  { name: 'sda4', number: '8:4', size: 10 * GiB, disk: 'sda', start: 70 * GiB }, // LUKS with LVM inside
  { name: 'sda5', number: '8:5', size: 5 * GiB, disk: 'sda', start: 80 * GiB }, // btrfs, with sdb2
  { name: 'sda6', number: '8:6', size: 1 * GiB, disk: 'sda', start: 90 * GiB }, // swap
  { name: 'sda7', number: '8:7', size: 1 * GiB, disk: 'sda', start: 92 * GiB }, // xfs, mounted out of sight
  { name: 'sdb', number: '8:16', size: 100 * GiB },
  { name: 'sdb1', number: '8:17', size: 20 * GiB, disk: 'sdb', start: 1 * MiB },
  { name: 'sdb2', number: '8:18', size: 5 * GiB, disk: 'sdb', start: 30 * GiB },
  { name: 'sdb3', number: '8:19', size: 5 * GiB, disk: 'sdb', start: 40 * GiB }, // ext4
  { name: 'dm-0', number: '252:0', size: 30 * GiB, slaves: ['sda2'] },
  { name: 'dm-1', number: '252:1', size: 5 * GiB, slaves: ['sda2'] },
  { name: 'md127', number: '9:127', size: 20 * GiB, slaves: ['sda3', 'sdb1'] },
  { name: 'dm-2', number: '252:2', size: 10 * GiB, slaves: ['sda4'] },
  { name: 'dm-3', number: '252:3', size: 9 * GiB, slaves: ['dm-2'] },
];

const MOUNTS = `
20 1 252:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw
21 20 8:1 / /boot/efi rw shared:2 master:3 - vfat /dev/sda1 rw,utf8
22 20 252:1 / /home rw - xfs /dev/mapper/vg-home rw
23 22 9:127 / /home/data ro - ext4 /dev/md127 rw
24 20 252:3 / /secret rw - ext4 /dev/mapper/inner ro,errors=remount-ro
25 20 0:45 /@pool /pool rw - btrfs ${join(dev, 'sdb2')} rw
26 20 8:19 / /other rw - ext4 /dev/sdb3 rw
27 22 252:0 /srv /home/srv rw - ext4 /dev/mapper/vg-root rw
28 20 0:50 / /proc rw - proc proc rw
`.trimStart();

const SWAPS = `Filename Type Size Used Priority
${join(dev, 'sda6')} partition 1048572 0 -2
${join(dev, 'sdb3')} partition 1048572 0 -3
`;

function build(): void {
  const folders = new Map<string, string>();
  for (const { name, number, size, disk, start = 0, slaves = [] } of DEVICES) {
    const folder = join(sys, 'devices', disk ?? '', name);
    folders.set(name, folder);
    write(join(folder, 'dev'), number);
    write(join(folder, 'size'), String(size / SECTOR));
    write(join(folder, 'ro'), '0');
    mkdirSync(join(folder, 'holders'));
    link(join(sys, 'dev/block', number), folder);
    if (disk === undefined) link(join(sys, 'block', name), folder);
    else {
      write(join(folder, 'partition'), name.slice(3));
      write(join(folder, 'start'), String(start / SECTOR));
    }
    for (const slave of slaves) {
      const below = folders.get(slave) ?? '';
      link(join(folder, 'slaves', slave), below);
      link(join(below, 'holders', name), folder);
    }
    mkdirSync(dev, { recursive: true });
    run('mknod', [join(dev, name), 'b', ...number.split(':')]);
  }
  for (const name of ['sda5', 'sdb2']) link(join(sys, 'fs/btrfs/uuid/devices', name), folders.get(name) ?? '');
  mkdirSync(join(sys, 'fs/xfs/sda7'), { recursive: true });
  write(join(scratch, 'mountinfo'), MOUNTS);
  write(join(scratch, 'swaps'), SWAPS);
}

/** What mountsOf and swapsOf say in a world where the kernel says what was made up. */
function asked(name: string): { found: MountedFilesystem[]; swaps: Swap[] } {
  const module = new URL('../../src/device/mounts.js', import.meta.url).href;
  const code = `import { mountsOf, swapsOf } from '${module}';
    console.log(JSON.stringify({ found: mountsOf('${join(dev, name)}'), swaps: swapsOf('${join(dev, name)}') }));`;
  const script = `mount --bind ${sys} /sys && mount --bind ${scratch}/swaps /proc/swaps &&
    mount --bind ${scratch}/mountinfo /proc/$$/mountinfo && exec "$0" --input-type=module -e "$1"`;
  return JSON.parse(run('unshare', ['-m', 'sh', '-c', script, process.execPath, code]));
}

if (HAS_LOOP) build();

const short = ({ found }: { found: readonly MountedFilesystem[] }): string[] =>
  found.map(({ type, points, places }) => {
    const where = places.map(({ offset, direct }) => `${direct ? '' : 'in '}${offset / GiB}`);
    return `${type || 'unseen'} ${points.join('+')} at ${where.join(', ')}`;
  });

rooted('all that is mounted from a disk: partitions, LVM, md, encryption, and one of two devices of a btrfs', () => {
  const answer = asked('sda');
  assert.equal(short(answer), [
    'ext4 /home/data at in 50',
    'btrfs /pool at 80',
    'ext4 /secret at in 70',
    'xfs /home at in 2',
    `vfat /boot/efi at ${1 / 1024}`,
    'ext4 /+/home/srv at in 2',
    'unseen  at 92',
  ]);
  assert.equal(
    answer.found.filter(({ readOnly }) => readOnly).map(({ points }) => points[0]),
    ['/secret'],
    'read-only is a property of the file system, not of a mount',
  );
  assert.equal(answer.swaps, [{ path: join(dev, 'sda6'), isFile: false }]);
});

rooted('the other disk of md and btrfs', () => {
  const answer = asked('sdb');
  assert.equal(short(answer), [`ext4 /home/data at in ${1 / 1024}`, 'ext4 /other at 40', 'btrfs /pool at 30']);
  assert.equal(answer.swaps, [{ path: join(dev, 'sdb3'), isFile: false }]);
});

rooted('a partition has its own mounts and those of what is made of it, and of no neighbour', () => {
  assert.equal(short(asked('sda2')), ['xfs /home at in 0', 'ext4 /+/home/srv at in 0']);
  assert.equal(short(asked('sda4')), ['ext4 /secret at in 0']);
  assert.equal(short(asked('sda1')), ['vfat /boot/efi at 0']);
  assert.equal(short(asked('sda5')), ['btrfs /pool at 0']);
  assert.equal(short(asked('sda7')), ['unseen  at 0']);
  assert.equal(short(asked('dm-1')), ['xfs /home at 0']);
  assert.equal(asked('sda1').swaps, []);
});

test.run();
