// disks, inspect and doctor: what they tell of healthy, damaged and unfinished disks.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { memoryTarget } from '../../src/source/memory.js';
import { armedExtents, writeMarker } from '../../src/state/marker.js';
import { ectype, fileDigest, type JsonEvent } from '../support/cli.js';
import { HAS_LOOP, withLoopDevice } from '../support/loop.js';
import { putEntry } from '../support/partition-disk.js';
import { run } from '../support/run.js';
import { emptyFile, putBytes, SAMPLE, SAMPLE_SIZE, sampleDisk } from '../support/sample-disk.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const scratch = scratchFolder();
const cli = ectype(scratch);
const source = sampleDisk(scratch, 'source.img');
const path = (name: string): string => join(scratch, name);

interface Disk extends JsonEvent {
  readonly table?: { kind: string; id: string };
  readonly volumes: readonly {
    name: string;
    number?: number;
    filesystem?: string;
    aligned: boolean;
    copied: unknown;
  }[];
  readonly warnings: readonly string[];
}

function inspected(disk: string): Disk {
  const { status, events } = cli.json(['inspect', disk]);
  assert.is(status, 0);
  assert.is(events.length, 1);
  assert.is(events[0]?.event, 'disk');
  return events[0] as Disk;
}

test('a GPT disk, in words and as JSON, as blkid sees it', () => {
  const before = fileDigest(source);
  const { status, stdout, stderr } = cli.run(['inspect', source]);
  assert.is(status, 0);
  assert.is(stderr, '');
  const blkid = (option: string): string =>
    run('blkid', ['-p', '-o', 'value', '-s', option, '-O', String(SAMPLE.ext4.offset), source]).trim();
  assert.match(
    stdout,
    new RegExp(`partition 2 "root": ext4 "root", 6 MiB, 1\\.\\d+ MiB used\n    UUID ${blkid('UUID')}`),
  );
  assert.match(stdout, new RegExp(`GPT ${run('blkid', ['-p', '-o', 'value', '-s', 'PTUUID', source]).trim()}`));
  assert.match(stdout, /\[\.+EFI +\|root +\|Windows +\|\.+\]/);
  assert.match(stdout, /a clone copies 1\.\d+ MiB \(what is allocated\)/);
  const { table, volumes, warnings } = inspected(source);
  assert.is(table?.kind, 'gpt');
  assert.equal(
    volumes.map(({ number, filesystem, aligned }) => [number, filesystem, aligned]),
    [
      [1, 'fat12', true],
      [2, 'ext4', true],
      [3, 'ntfs', true],
    ],
  );
  assert.equal(warnings, []);
  assert.is(fileDigest(source), before);
});

test('one partition of it', () => {
  const { volumes, table } = inspected(`${source}#3`);
  assert.is(table, undefined);
  assert.equal(
    volumes.map(({ name, filesystem }) => [name, filesystem]),
    [[`${source}#3`, 'ntfs']],
  );
  const { status, stderr } = cli.run(['inspect', `${source}#7`]);
  assert.is(status, 2);
  assert.match(stderr, /there is no partition 7; there are 1, 2, 3/);
});

test('--at tells partition, structure or file of a byte or a sector', () => {
  const disk = sampleDisk(scratch, 'places.img');
  const volume = `${disk}?offset=${SAMPLE.ext4.offset}`;
  run('debugfs', ['-w', '-R', `write package.json evil\x1b[2Jname`, volume]);
  const block = Number(run('debugfs', ['-R', 'blocks evil\x1b[2Jname', volume]).trim().split(' ')[0]);
  const inFile = SAMPLE.ext4.offset + block * 1024 + 100;
  const places = [
    '0',
    'LBA:3',
    '20000',
    `${SAMPLE.ext4.offset + 1024}`,
    `LBA:${Math.floor(inFile / 512)}`,
    `${inFile}`,
  ];
  places.push(`${SAMPLE.ntfs.offset}`, `${SAMPLE.fat.offset}`, `${SAMPLE_SIZE - 1}`, `${SAMPLE_SIZE - MiB}`);
  const { status, stdout } = cli.run(['inspect', disk, '--at', places.join(',')]);
  assert.is(status, 0);
  assert.equal(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.replace(/^\d+: /, '')),
    [
      'partition table',
      'partition table',
      'gap before the first partition',
      'partition 2 "root", ext4: superblock',
      'partition 2 "root", ext4: file /evil[2Jname',
      'partition 2 "root", ext4: file /evil[2Jname',
      'partition 3 "Basic data", ntfs: $Boot',
      'partition 1 "ESP", fat12: boot sector',
      'partition table',
      'between the partitions',
    ],
  );
  const { events } = cli.json(['inspect', `${disk}#2`, '--at', `${inFile - SAMPLE.ext4.offset},1024`]);
  assert.is(events[0]?.event, 'owners');
  const [file, superblock] = (events[0]?.['places'] ?? []) as Record<string, unknown>[];
  assert.equal([file?.['kind'], file?.['names']], ['file', ['/evil\x1b[2Jname']]);
  assert.equal([superblock?.['kind'], superblock?.['offsetInVolume']], ['structure', 1024]);
});

test('--at refuses what is no place of the disk', () => {
  for (const [place, told] of [
    ['x', /wanted are byte offsets such as 1048576, or sectors such as LBA:2048/],
    ['LBA:-1', /wanted are byte offsets/],
    [`0,${SAMPLE_SIZE}`, /--at 16777216: .*source\.img ends at 16 MiB/],
    ['LBA:32768', /ends at 16 MiB/],
  ] as const) {
    const { status, stdout, stderr } = cli.run(['inspect', source, '--at', place]);
    assert.is(status, 2);
    assert.is(stdout, '');
    assert.match(stderr, told);
  }
});

test('an MBR disk whose partition starts at sector 63', () => {
  const disk = Buffer.alloc(4 * MiB);
  putEntry(disk, { at: 446, type: 0x83, start: 63, count: 4000, boot: 0x80 });
  disk.writeUInt32LE(0x1234abcd, 440);
  disk.writeUInt16BE(0x55aa, 510);
  writeFileSync(path('mbr.img'), disk);
  const { stdout } = cli.run(['inspect', path('mbr.img')]);
  assert.match(stdout, /MBR 1234abcd, sectors of 512 bytes/);
  assert.match(stdout, /partition 1: Linux, 1\.95 MiB/);
  assert.match(stdout, /does not start on a multiple of 1 MiB/);
});

test('bare file systems, blank and odd files', () => {
  const volume = path('bare.img');
  emptyFile(volume, SAMPLE.ext4.length);
  run('mke2fs', ['-q', '-F', '-t', 'ext4', '-L', 'bare', volume]);
  assert.match(cli.run(['inspect', volume]).stdout, /no partition table\n {2}the whole disk: ext4 "bare", 6 MiB/);
  for (const size of [0, 1, 511, 512, 4097]) {
    const { status, stdout } = cli.run(['inspect', emptyFile(path('blank.img'), size)]);
    assert.is(status, 0);
    assert.match(stdout, /no partition table\n {2}the whole disk: unrecognised/);
  }
});

test('labels with control characters do not reach the terminal', () => {
  const volume = path('label.img');
  emptyFile(volume, 2 * MiB);
  run('mke2fs', ['-q', '-F', '-L', 'evil\x1b[2Jname', volume]);
  const { stdout } = cli.run(['inspect', volume]);
  assert.not.ok(stdout.includes('\x1b'));
  assert.match(stdout, /"evil\[2Jname"/);
});

test('damage: a warning while one copy is left, exit status 5 with advice after that', () => {
  const disk = sampleDisk(scratch, 'damaged.img');
  putBytes(disk, Buffer.alloc(512), 512);
  assert.match(cli.run(['inspect', disk]).stdout, /warning: the primary GPT header at LBA 1 is missing/);
  putBytes(disk, Buffer.alloc(512), SAMPLE_SIZE - 512);
  const { status, stdout, stderr } = cli.run(['inspect', disk]);
  assert.is(status, 5);
  assert.is(stdout, '');
  assert.match(stderr, /both copies of the partition table \(GPT\) are damaged/);
  assert.match(stderr, /hint: Repair the table first/);
});

test('a dirty file system says what to do', () => {
  const disk = emptyFile(path('dirty.img'), SAMPLE_SIZE);
  run('mkfs.vfat', ['-F', '16', '-s', '1', disk]);
  putBytes(disk, Buffer.from([1]), 0x25);
  assert.match(cli.run(['inspect', disk]).stdout, /dirty: it was not unmounted .*\n {4}Unmount it .*fsck\.vfat/);
});

test('an unfinished target is called that', async () => {
  const bytes = Buffer.alloc(SAMPLE_SIZE);
  await writeMarker(
    memoryTarget(bytes),
    '0123456789ABCDEF',
    armedExtents(bytes.length, { tail: true, sectorSize: 512 }),
  );
  writeFileSync(path('armed.img'), bytes);
  const { warnings } = inspected(path('armed.img'));
  assert.equal(warnings, ['this is the unfinished target of a clone: run the same clone again to finish it']);
});

test('what cannot be inspected', () => {
  for (const [name, told] of [
    [path('missing.img'), /cannot open .*missing\.img: no such file or directory \(ENOENT\)/],
    [scratch, /is a directory/],
    ['/dev/null', /is a character device/],
  ] as const) {
    const { status, stdout, stderr } = cli.run(['inspect', name]);
    assert.is(status, 4);
    assert.is(stdout, '');
    assert.match(stderr, told);
  }
});

(HAS_LOOP ? test : test.skip)('disks lists a loop device with what is on it, and --json says the same', () => {
  const disk = sampleDisk(scratch, 'listed.img');
  withLoopDevice(disk, (loop) => {
    const { status, stdout } = cli.run(['disks']);
    assert.is(status, 0);
    assert.match(stdout, new RegExp(`^${loop}  16 MiB  loop device over ${disk}\n  GPT `, 'm'));
    assert.not.match(stdout, / $/m);
    const { events } = cli.json(['disks']);
    assert.ok(events.every(({ event }) => event === 'disk'));
    const listed = events.find((event) => event['path'] === loop) as Disk | undefined;
    assert.is(listed?.volumes.length, 3);
    assert.is(listed?.['sectorSize'], 512);
  });
});

test('doctor tells what is there; one command installs the rest', () => {
  const { status, stdout, stderr } = cli.run(['doctor']);
  assert.is(status, 0);
  assert.is(stderr, '');
  assert.match(stdout, /^ok +native part: /m);
  assert.match(stdout, new RegExp(`^ok +state folder: ${cli.state}$`, 'm'));
  const { events } = cli.json(['doctor']);
  assert.is(events.length, 1);
  assert.is(events[0]?.['usable'], true);
  assert.is(/missing/.test(stdout), /^Install what is missing: apt-get install /m.test(stdout));
});

test('looking leaves no state', () => assert.is(cli.stateDigest(), 'not there'));

test.run();
