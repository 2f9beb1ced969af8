// Sources whose content cannot be copied as it lies there: refused with advice, and copied as they are with --forensic.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { clones, type Ectype, ectype, fileDigest, refuses } from '../support/cli.js';
import { patch, sealSuperblock } from '../support/ext4-image.js';
import { withNtfsMounted } from '../support/ntfs-mount.js';
import { makeNtfs } from '../support/ntfs-volume.js';
import { buildGpt, putEntry } from '../support/partition-disk.js';
import { run } from '../support/run.js';
import { emptyFile, putBytes, SAMPLE, SAMPLE_SIZE, sampleDisk } from '../support/sample-disk.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const scratch = scratchFolder();
const path = (name: string): string => join(scratch, name);
const SECTORS = SAMPLE_SIZE / 512;
let count = 0;

/** Refused with exit status 5 without a trace, seen by `inspect`, and copied byte for byte with --forensic. */
function refusedUnlessForensic(source: string, code: string, message: RegExp, hint: RegExp): void {
  const cli = ectype(scratch);
  const target = path(`target-${count++}.img`);
  const error = refuses(cli, ['clone', '--yes', source, target], {
    status: 5,
    code,
    message,
    untouched: [source, target],
  });
  assert.match(String(error['hint']), hint);
  assert.match(String(error['hint']), /--forensic/);
  const before = fileDigest(source);
  clones(cli, ['--forensic', source, target]);
  assert.is(fileDigest(target), before);
  assert.is(fileDigest(source), before);
}

function inspected(cli: Ectype, disk: string): { volumes: { state: { kind: string; reason: string } }[] } {
  const { status, events } = cli.json(['inspect', disk]);
  assert.is(status, 0);
  return events[0] as never;
}

test('one damaged copy of the GPT is dealt with and told; the clone has two good ones', () => {
  const cli = ectype(scratch);
  for (const [name, lba, words] of [
    ['primary', 1, /the primary GPT header at LBA 1 is missing .*; the backup at LBA 32767 is used/],
    ['backup', SECTORS - 1, /the backup GPT header at LBA 32767 is missing .*; the primary at LBA 1 is used/],
  ] as const) {
    const source = sampleDisk(scratch, `${name}.img`);
    putBytes(source, Buffer.alloc(512), lba * 512);
    const target = path(`${name}-target.img`);
    const { status, stderr } = cli.run(['clone', '--yes', source, target]);
    assert.is(status, 0);
    assert.match(stderr, words);
    assert.match(run('sgdisk', ['-v', target]), /No problems found/);
  }
});

test('both copies of the GPT damaged', () => {
  const source = sampleDisk(scratch, 'gpt.img');
  for (const lba of [1, SECTORS - 1]) putBytes(source, Buffer.alloc(512), lba * 512);
  refusedUnlessForensic(source, 'filesystem.gpt-damaged', /both copies of the partition table/, /Repair the table/);
  const cli = ectype(scratch);
  assert.is(cli.run(['inspect', source]).status, 5);
  const target = path('gpt-target.img');
  clones(cli, ['--forensic', source, target]);
  assert.is(cli.run(['verify', '--forensic', source, target]).status, 0);
  assert.is(clones(cli, ['--forensic', source, target])['changed'], false);
});

test('partitions that overlap', () => {
  const source = path('overlap.img');
  const partitions = [
    { index: 0, first: 2048, last: 8191 },
    { index: 1, first: 8000, last: 20_000 },
  ];
  writeFileSync(source, buildGpt({ sectorCount: SECTORS, partitions }));
  refusedUnlessForensic(source, 'filesystem.partitions-overlap', /overlaps/, /Repair the table/);
});

test('a chain of logical partitions that runs in a circle', () => {
  const disk = Buffer.alloc(4 * MiB);
  putEntry(disk, { at: 446, type: 0x05, start: 2048, count: 4096 });
  putEntry(disk, { at: 2048 * 512 + 446, type: 0x83, start: 8, count: 100 });
  putEntry(disk, { at: 2048 * 512 + 462, type: 0x05, start: 1000, count: 200 });
  putEntry(disk, { at: 3048 * 512 + 446, type: 0x83, start: 8, count: 100 });
  putEntry(disk, { at: 3048 * 512 + 462, type: 0x05, start: 0, count: 200 });
  for (const lba of [0, 2048, 3048]) disk.writeUInt16BE(0x55aa, lba * 512 + 510);
  const source = path('circle.img');
  writeFileSync(source, disk);
  refusedUnlessForensic(source, 'filesystem.ebr-loop', /runs in a circle/, /Repair the table/);
});

test('an ext4 whose journal was not replayed', () => {
  const source = sampleDisk(scratch, 'journal.img');
  patch(source, SAMPLE.ext4.offset + 1024, 1024, (superblock) => {
    superblock.writeUInt32LE(superblock.readUInt32LE(0x60) | 0x4, 0x60);
    sealSuperblock(superblock);
  });
  assert.is(inspected(ectype(scratch), source).volumes[1]?.state.kind, 'needs-replay');
  refusedUnlessForensic(
    source,
    'filesystem.unclean',
    /partition 2 "root" \(ext4\) cannot be copied consistently: its journal was not replayed/,
    /Mount it and unmount it/,
  );
});

test('an ext4 that is longer than its partition', () => {
  const source = sampleDisk(scratch, 'truncated.img');
  patch(source, SAMPLE.ext4.offset + 1024, 1024, (superblock) => {
    superblock.writeUInt32LE(superblock.readUInt32LE(0x4) + 1000, 0x4);
    sealSuperblock(superblock);
  });
  refusedUnlessForensic(source, 'filesystem.unclean', /its volume ends after 6 MiB/, /./);
});

test('a FAT that was not unmounted', () => {
  const source = emptyFile(path('fat16.img'), SAMPLE_SIZE);
  run('mkfs.vfat', ['-F', '16', '-s', '1', source]);
  patch(source, 0x25, 1, (byte) => byte.writeUInt8(1, 0));
  refusedUnlessForensic(source, 'filesystem.unclean', /its dirty mark is set/, /fsck\.vfat/);
});

test('an NTFS that was not unmounted', async () => {
  const source = path('ntfs-dirty.img');
  makeNtfs(source, { size: 6 * MiB, clusterSize: 4096 });
  await withNtfsMounted(source, (folder) => writeFileSync(join(folder, 'file'), 'x'), { killed: true });
  // ntfs-3g marks the volume dirty only where Windows would look: the mark is set by hand.
  if (inspected(ectype(scratch), source).volumes[0]?.state.kind === 'clean') setNtfsDirty(source);
  refusedUnlessForensic(source, 'filesystem.unclean', /\(ntfs\) cannot be copied consistently/, /Windows/);
});

/** The flags of $VOLUME_INFORMATION (attribute 0x70) in record 3 of the $MFT. */
function setNtfsDirty(image: string): void {
  patch(image, 0, 512, (boot) => {
    const cluster = boot.readUInt16LE(11) * boot.readUInt8(13);
    const record = Number(boot.readBigUInt64LE(48)) * cluster + 3 * 1024;
    patch(image, record, 1024, (bytes) => {
      for (let at = bytes.readUInt16LE(20); bytes.readUInt32LE(at) !== 0xffffffff; at += bytes.readUInt32LE(at + 4)) {
        if (bytes.readUInt32LE(at) !== 0x70) continue;
        const flags = at + bytes.readUInt16LE(at + 20) + 10;
        bytes.writeUInt16LE(bytes.readUInt16LE(flags) | 1, flags);
      }
    });
  });
}

test('a hibernated Windows', async () => {
  const source = path('hibernated.img');
  makeNtfs(source, { size: 6 * MiB, clusterSize: 4096 });
  const session = Buffer.alloc(8192);
  session.write('HIBR', 'latin1');
  await withNtfsMounted(source, (folder) => writeFileSync(join(folder, 'hiberfil.sys'), session));
  assert.is(inspected(ectype(scratch), source).volumes[0]?.state.kind, 'hibernated');
  refusedUnlessForensic(source, 'filesystem.unclean', /hibernated or was shut down with Fast Startup/, /Shift/);
});

test('an unclean partition that is left out is no hindrance', () => {
  const cli = ectype(scratch);
  const source = path('journal.img');
  const target = path('only.img');
  clones(cli, ['--only', '1,3', source, target]);
  const { volumes } = inspected(cli, target) as unknown as { volumes: { number: number }[] };
  assert.equal(
    volumes.map(({ number }) => number),
    [1, 3],
  );
  refuses(cli, ['clone', '--yes', `${source}#2`, path('one.img')], {
    status: 5,
    code: 'filesystem.unclean',
    message: /journal\.img#2 \(ext4\)/,
    untouched: [source, path('one.img')],
  });
});

test('partitions that are not there, and a disk for a partition', () => {
  const cli = ectype(scratch);
  const source = sampleDisk(scratch, 'numbers.img');
  const target = sampleDisk(scratch, 'numbers-target.img');
  const bare = emptyFile(path('numbers-bare.img'), MiB);
  const untouched = [source, target, bare];
  for (const [words, code, message] of [
    [['--only', '1,9', source, target], 'usage.no-such-partition', /no partition 9; there are 1, 2, 3/],
    [[`${source}#9`, target], 'usage.no-such-partition', /no partition 9; there are 1, 2, 3/],
    [[source, `${target}#4`], 'usage.no-such-partition', /no partition 4/],
    [[`${bare}#1`, target], 'usage.no-table', /has no partition table/],
    [[`${source}#2`, target], 'usage.disk-and-partition', /one is a whole disk, the other a partition/],
    [[source, `${target}#2`], 'usage.disk-and-partition', /one is a whole disk, the other a partition/],
    [['--only', '1', `${source}#2`, `${target}#2`], 'usage.option-needs-disks', /--only is for whole disks/],
    [['--only', '1', bare, target], 'usage.option-needs-disks', /--only is for whole disks/],
  ] as const) {
    refuses(cli, ['clone', '--yes', ...words], { status: 2, code, message, untouched });
  }
});

test.run();
