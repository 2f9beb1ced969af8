// What is left out, as the command line tells and is told: a disk with a root, a second file system and NTFS.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ClonePlan } from '../../src/operation/clone-types.js';
import { ectype } from '../support/cli.js';
import { makeImage, mounted } from '../support/ext4-image.js';
import { asWindowsOwn, withNtfsMounted } from '../support/ntfs-mount.js';
import { makeNtfs } from '../support/ntfs-volume.js';
import { demandKept, demandLeftOut, pagedContent, writePaged } from '../support/paged.js';
import { run } from '../support/run.js';
import { emptyFile, putBytes } from '../support/sample-disk.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const PAGE = 4096;
const scratch = scratchFolder();
const cli = ectype(scratch);
const path = (name: string): string => join(scratch, name);
const source = path('source.img');
const PLACES = { root: 1 * MiB, data: 9 * MiB, windows: 17 * MiB };
const PAGED = 2 * MiB + 2 * (MiB - PAGE);

function swapFile(file: string): void {
  writeFileSync(file, Buffer.alloc(MiB), { mode: 0o600 });
  run('mkswap', ['-q', file]);
  writePaged(file, { offset: PAGE, length: MiB - PAGE });
}

/** `named`: how the root's fstab calls the second file system. */
async function makeDisk(named: string): Promise<void> {
  emptyFile(source, 28 * MiB);
  const lines = Object.values(PLACES).map((offset) => `start=${offset / 512}, size=${(8 * MiB) / 512}`);
  run('sfdisk', ['-q', source], { input: ['label: gpt', ...lines, ''].join('\n') });
  const part = path('part');
  makeImage(part, 8 * MiB, ['-t', 'ext4', '-b', '4096', '-L', 'root']);
  mounted(part, (folder) => {
    mkdirSync(join(folder, 'etc'));
    writeFileSync(join(folder, 'etc/fstab'), `${named} /data ext4\n/swapfile none swap\n/data/sub/swap none swap\n`);
    swapFile(join(folder, 'swapfile'));
  });
  putBytes(source, readFileSync(part), PLACES.root);
  makeImage(part, 8 * MiB, ['-t', 'ext4', '-b', '4096', '-L', 'data', '-U', '01234567-89ab-4cde-8f01-23456789abcd']);
  mounted(part, (folder) => {
    mkdirSync(join(folder, 'sub'));
    swapFile(join(folder, 'sub/swap'));
  });
  putBytes(source, readFileSync(part), PLACES.data);
  rmSync(part);
  makeNtfs(part, { size: 8 * MiB, clusterSize: 4096 });
  await withNtfsMounted(part, (folder) => {
    writeFileSync(join(folder, 'pagefile.sys'), pagedContent(2 * MiB));
    asWindowsOwn(join(folder, 'pagefile.sys'));
  });
  putBytes(source, readFileSync(part), PLACES.windows);
}

function excludedBy(...words: string[]): string[] {
  const { status, events } = cli.json(['clone', '--dry-run', ...words, source, path('none.img')]);
  const plan = events.at(-1);
  assert.is(status, 0, JSON.stringify(plan));
  const { volumes } = plan as unknown as ClonePlan;
  return volumes.flatMap(({ name, excluded }) => excluded.map((file) => `${name}: ${file.path}`));
}

await makeDisk('UUID=01234567-89ab-4cde-8f01-23456789abcd');

test('the plan and the result say what is left out, why, and how much it is', () => {
  const target = path('told.img');
  const { status, stdout, stderr } = cli.run(['clone', '--yes', source, target]);
  assert.is(status, 0, stderr);
  assert.match(stderr, /partition 1: ext4 "root".*\n {4}left out: \/swapfile \(swap file\), 1020 KiB\n/);
  assert.match(stderr, /partition 2: ext4 "data".*\n {4}left out: \/sub\/swap \(swap file\), 1020 KiB\n/);
  assert.match(stderr, /partition 3: ntfs .*\n {4}left out: \/pagefile\.sys \(page file\), 2 MiB\n/);
  assert.match(stderr, /^Left out in all: 3\.99 MiB, zeros on the target \(--keep-excluded copies them\)\.$/m);
  assert.match(stdout, /^Left out: 3\.99 MiB of page, hibernation and swap files are zeros there\.$/m);
  demandLeftOut(source, target, PAGED);
  const verified = cli.run(['verify', source, target]);
  assert.is(verified.status, 0);
  assert.match(verified.stdout, /\(3\.99 MiB\) are left out: they are zeros there/);
  const other = cli.run(['verify', '--keep-excluded', source, target]);
  assert.is(other.status, 7);
});

test('--keep-excluded copies them; verify says how to compare such a clone', () => {
  const target = path('kept.img');
  const { status, stdout, stderr } = cli.run(['clone', '--yes', '--keep-excluded', source, target]);
  assert.is(status, 0, stderr);
  assert.not.match(stdout + stderr, /left out/i);
  demandKept(source, target);
  assert.is(cli.run(['verify', '--keep-excluded', source, target]).status, 0);
  const differs = cli.run(['verify', source, target]);
  assert.is(differs.status, 7);
  assert.match(differs.stdout, /after `clone --keep-excluded` give --keep-excluded here too/);
});

test('--forensic keeps every byte and says so; --exclude-page-files takes them out', () => {
  const plain = cli.run(['clone', '--dry-run', '--forensic', source, path('none.img')]);
  assert.match(plain.stdout, /^Every byte is copied, allocated or not \(--forensic\)\.$/m);
  const without = cli.run(['clone', '--dry-run', '--forensic', '--exclude-page-files', source, path('none.img')]);
  assert.match(without.stdout, /^Every byte is copied, .*, but 3\.99 MiB \(--exclude-page-files\)\.$/m);
  assert.is(excludedBy('--forensic').length, 0);
  assert.is(excludedBy('--forensic', '--exclude-page-files').length, 3);
});

test('inspect lists them, in words and as JSON', () => {
  const { stdout } = cli.run(['inspect', source]);
  assert.match(stdout, /a clone copies .*\n {4}it leaves out \/pagefile\.sys \(page file\), 2 MiB\n/);
  const [disk] = cli.json(['inspect', source]).events;
  const { volumes } = disk as unknown as { volumes: { copied: { excluded: unknown } }[] };
  assert.equal(volumes[2]?.copied.excluded, [{ path: '/pagefile.sys', kind: 'page file', bytes: 2 * MiB }]);
});

test('one partition: only its own fstab counts', () => {
  const { status, events } = cli.json(['clone', '--dry-run', `${source}#1`, path('none.img')]);
  assert.is(status, 0, JSON.stringify(events));
  assert.is(excludedBy('--only', '2').length, 1, 'the fstab of a partition that is not copied counts');
  const [root, data] = [1, 2].map((number) => {
    const plan = cli.json(['clone', '--dry-run', `${source}#${number}`, path('none.img')]).events.at(-1);
    return (plan as unknown as ClonePlan).excludedBytes;
  });
  assert.equal([root, data], [MiB - PAGE, 0]);
});

test('a mount is found by UUID and label, by nothing else', async () => {
  const all = ['partition 1: /swapfile', 'partition 2: /sub/swap', 'partition 3: /pagefile.sys'];
  assert.equal(excludedBy(), all);
  await makeDisk('LABEL=data');
  assert.equal(excludedBy(), all);
  await makeDisk('/dev/sda2');
  assert.equal(excludedBy(), [all[0], all[2]]);
});

test('a computer that hibernates anywhere: nothing of any volume is left out', async () => {
  await makeDisk('LABEL=data');
  putBytes(source, Buffer.from('S1SUSPEND\0'), readFileSync(source).indexOf('SWAPSPACE2', PLACES.data));
  const { status, events } = cli.json(['clone', '--yes', source, path('none.img')]);
  assert.is(status, 5);
  assert.match(String(events.at(-1)?.['message']), /partition 2.*hibernates in its swap file \/sub\/swap/);
  assert.equal(excludedBy('--only', '1,3'), []);
  assert.equal(excludedBy('--forensic', '--exclude-page-files'), []);
  assert.match(cli.run(['inspect', source]).stdout, /hibernated: a computer hibernates in its swap file/);
});

const NONSENSE: readonly (readonly [words: readonly string[], problem: RegExp])[] = [
  [['--keep-excluded', '--exclude-page-files'], /--keep-excluded and --exclude-page-files do not go together/],
  [['--keep-excluded', '--forensic'], /--keep-excluded and --forensic do not go together/],
  [['--exclude-page-files'], /--exclude-page-files and a copy without --forensic do not go together/],
];

test('options that contradict each other are refused before anything is opened', () => {
  for (const command of ['clone', 'verify']) {
    for (const [words, problem] of NONSENSE) {
      const { status, events } = cli.json([command, ...words, path('not-there'), path('nor-there')]);
      assert.is(status, 2);
      assert.is(events[0]?.['code'], 'usage.contradicting-options');
      assert.match(String(events[0]?.['message']), problem);
    }
  }
});

test.run();
