// boot: wrong usage, and what is refused before any machine starts.

import { copyFileSync, mkdirSync, readdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openDiskTarget } from '../../src/source/disk.js';
import { writeMarker } from '../../src/state/marker.js';
import { ectype, fileDigest } from '../support/cli.js';
import { HAS_LOOP, withExt4Mounted, withLoopDevice } from '../support/loop.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 2 ** 20;
const scratch = scratchFolder();
const cli = ectype(scratch);
const rooted = HAS_LOOP ? test : test.skip;

/** A disk with one partition and nothing to start. */
function disk(name: string, sectorSize = 512): string {
  const path = join(scratch, name);
  writeFileSync(path, '');
  truncateSync(path, 16 * MiB);
  const input = 'label: gpt\n\nsize=8MiB, type=L\n';
  const script = ['--no-reread', '--no-tell-kernel', '-q'];
  if (sectorSize === 512) run('sfdisk', [...script, path], { input });
  else withLoopDevice(path, (device) => run('sfdisk', [...script, device], { input }), { sectorSize });
  return path;
}

const image = disk('disk.img');

function refused(words: readonly string[], status: number, code: string, message: RegExp): void {
  const before = fileDigest(image);
  const ended = cli.json(['boot', ...words]);
  const error = ended.events.at(-1);
  assert.is(error?.['code'], code, JSON.stringify(error));
  assert.is(ended.status, status);
  assert.match(String(error?.['message']), message);
  assert.is(fileDigest(image), before);
}

for (const [words, code, message] of [
  [['--firmware', 'coreboot', '--prove'], 'usage.bad-option', /wanted is auto, uefi or bios/],
  [['--bus', 'floppy', '--prove'], 'usage.bad-option', /wanted is sata, virtio or nvme/],
  [['--memory', '1K', '--prove'], 'usage.bad-option', /wanted is a size/],
  [['--cpus', '0', '--prove'], 'usage.bad-option', /wanted is a number/],
  [['--time-limit', '5m'], 'usage.bad-option', /needs --prove/],
  [['--prove', '--time-limit', 'soon'], 'usage.bad-option', /wanted is a time/],
  [['--after', '5m'], 'usage.bad-option', /needs --screenshot/],
  [['--prove', '--display'], 'usage.contradicting-options', /--display and --prove/],
  [['--screenshot', 'x.png', '--console', 'serial'], 'usage.contradicting-options', /--console and --screenshot/],
  [[], 'usage.contradicting-options', /--json and the serial console/],
] as const) {
  test(`wrong usage: boot ${words.join(' ')}`, () => refused([...words, image], 2, code, message));
}

test('without a graphical session there is no window', () => {
  const { status, stderr } = cli.run(['boot', '--display', image], { DISPLAY: '', WAYLAND_DISPLAY: '' });
  assert.is(status, 2);
  assert.match(stderr, /--display needs a graphical session/);
});

test('a partition is no disk', () => refused(['--prove', `${image}#1`], 2, 'usage.boot-needs-disk', /is a partition/));

test('what is not there', () => refused(['--prove', join(scratch, 'no')], 4, 'device.cannot-open', /no such file/));

test('more memory than there is', () =>
  refused(['--prove', '--memory', '900T', image], 4, 'device.lacks-memory', /needs 900 TiB/));

rooted('sectors of 4096 bytes start with UEFI, and not on SATA', () => {
  const large = disk('large.img', 4096);
  refused(['--prove', large], 2, 'usage.cannot-start-sectors', /a BIOS starts only disks with 512/);
  refused(['--prove', '--bus', 'sata', '--firmware', 'uefi', large], 2, 'usage.cannot-start-sectors', /SATA/);
});

rooted('a disk that is mounted', () => {
  const mounted = join(scratch, 'mounted.img');
  withExt4Mounted(mounted, 16 * MiB, () => refused(['--prove', mounted], 3, 'safety.source-in-use', /mounted on/));
});

test('an unfinished target', async () => {
  const path = join(scratch, 'unfinished.img');
  copyFileSync(image, path);
  const target = openDiskTarget(path);
  await writeMarker(target, '0123456789ABCDEF', [{ offset: 0, length: 128 * 1024 }]);
  await target.close();
  refused(['--prove', path], 3, 'safety.boot-unfinished', /unfinished target of a clone/);
});

test('a scratch folder that is not there', () =>
  refused(['--prove', '--scratch', join(scratch, 'none'), image], 4, 'device.scratch-unusable', /no such file/));

/** A PATH with Node alone; programs of sbin stay where they are. */
function bare(...programs: readonly string[]): string {
  const folder = join(scratch, `bin-${programs.length}`);
  mkdirSync(folder);
  for (const program of programs) symlinkSync(run('which', [program]).trim(), join(folder, program));
  return `${dirname(process.execPath) === '/usr/bin' ? '' : `${dirname(process.execPath)}:`}${folder}`;
}

test('without QEMU the package is named', () => {
  const { status, stderr } = cli.run(['boot', '--prove', image], { PATH: bare() });
  assert.is(status, 4);
  assert.match(stderr, /program qemu-system-x86_64 is needed.*\nhint: Install the package qemu-system-x86 /);
});

test('nothing is left behind', () => {
  assert.equal(
    readdirSync(scratch).filter((name) => name.startsWith('ectype-')),
    [],
  );
  assert.is(cli.stateDigest(), 'not there');
});

test.run();
