// What is copied whole is named as blkid names it, and containers count before the file system that they seem to hold.

import { closeSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { identify } from '../../src/filesystem/registry.js';
import { inspect } from '../../src/operation/inspect.js';
import { allocationOf } from '../../src/plan/allocation.js';
import { inspectSingle } from '../../src/plan/inspect.js';
import { volumeToken } from '../../src/plan/tokens.js';
import { memoryTarget } from '../../src/source/memory.js';
import {
  addApfs,
  addBitLocker,
  addHfsPlus,
  addLvmLabel,
  addRaid,
  addZfs,
  type RaidVersion,
  raidOffset,
} from '../support/containers.js';
import { randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const scratch = scratchFolder();
const image = join(scratch, 'image');
const random = randomFrom(SEED);

function blkidType(bytes: Buffer): string {
  writeFileSync(image, bytes);
  return tryRun('blkid', ['-p', '-o', 'value', '-s', 'TYPE', image]).stdout.trim();
}

/** A blank volume, as `make` leaves it. */
function volume(make: (bytes: Buffer) => void, size = 8 * MiB): Buffer {
  const bytes = Buffer.alloc(size);
  make(bytes);
  return bytes;
}

/** What a program makes of a file of `size` bytes. */
function madeBy(command: string, args: readonly string[], size = 16 * MiB, input?: string): Buffer {
  rmSync(image, { force: true });
  closeSync(openSync(image, 'w'));
  truncateSync(image, size);
  run(command, [...args, image], input === undefined ? {} : { input });
  return readFileSync(image);
}

const LUKS = ['luksFormat', '--batch-mode', '--pbkdf-force-iterations', '1000', '--key-file', '-'];
const CASES: Record<string, { readonly make: () => Buffer; readonly description: RegExp }> = {
  LUKS1: {
    make: () => madeBy('cryptsetup', [...LUKS, '--type', 'luks1'], 16 * MiB, 'secret'),
    description: /^a LUKS1 encrypted volume: its content cannot be seen$/,
  },
  LUKS2: {
    make: () => madeBy('cryptsetup', [...LUKS, '--type', 'luks2', '--pbkdf', 'pbkdf2'], 32 * MiB, 'secret'),
    description: /^a LUKS2 encrypted volume: its content cannot be seen$/,
  },
  'BitLocker of Vista': { make: () => volume((bytes) => addBitLocker(bytes, 'vista')), description: /BitLocker/ },
  'BitLocker of Windows 7': { make: () => volume((bytes) => addBitLocker(bytes, 'seven')), description: /BitLocker/ },
  'BitLocker To Go': { make: () => volume((bytes) => addBitLocker(bytes, 'to go')), description: /BitLocker/ },
  'LVM in sector 0': { make: () => volume((bytes) => addLvmLabel(bytes, 0)), description: /LVM2 physical volume/ },
  'LVM in sector 1': { make: () => volume((bytes) => addLvmLabel(bytes)), description: /LVM2 physical volume/ },
  'LVM in sector 3': { make: () => volume((bytes) => addLvmLabel(bytes, 3)), description: /LVM2 physical volume/ },
  ZFS: { make: () => volume((bytes) => addZfs(bytes, 0), 64 * MiB), description: /ZFS pool/ },
  'ZFS, second label, other byte order': {
    make: () => volume((bytes) => addZfs(bytes, 1, { bigEndian: true }), 64 * MiB),
    description: /ZFS pool/,
  },
  'RAID 0.90': { make: () => volume((bytes) => addRaid(bytes, '0.90', random)), description: /md 0\.90/ },
  'RAID 0.90 of the other byte order': {
    make: () => volume((bytes) => addRaid(bytes, '0.90', random, { bigEndian: true }), 8 * MiB + 4096),
    description: /md 0\.90/,
  },
  'RAID 1.0': { make: () => volume((bytes) => addRaid(bytes, '1.0', random), 8 * MiB + 512), description: /md 1\.0/ },
  'RAID 1.1': { make: () => volume((bytes) => addRaid(bytes, '1.1', random)), description: /md 1\.1/ },
  'RAID 1.2': { make: () => volume((bytes) => addRaid(bytes, '1.2', random)), description: /md 1\.2/ },
  ReFS: { make: () => volume((bytes) => bytes.write('ReFS', 3)), description: /a ReFS file system/ },
  APFS: { make: () => volume(addApfs), description: /an APFS file system/ },
  'HFS+': { make: () => volume(addHfsPlus), description: /an HFS\+ file system/ },
  squashfs: {
    make: () => {
      run('mksquashfs', [join(import.meta.dirname, '../support'), image, '-noappend', '-quiet', '-no-progress']);
      return readFileSync(image);
    },
    description: /a squashfs file system/,
  },
  'ISO 9660': {
    make: () => {
      run('genisoimage', ['-quiet', '-o', image, join(import.meta.dirname, '../support')]);
      return readFileSync(image);
    },
    description: /an ISO 9660 file system/,
  },
};

for (const [name, { make, description }] of Object.entries(CASES)) {
  test(name, async () => {
    rmSync(image, { force: true });
    const bytes = make();
    const { recognised, foreign, unrecognised } = await identify(memoryTarget(bytes));
    assert.is(recognised, undefined);
    assert.match(unrecognised, description);
    assert.is(foreign?.kind, blkidType(bytes));
    assert.is(await volumeToken(memoryTarget(bytes)), undefined);
    const summary = await inspect(image);
    const [only] = summary.volumes;
    assert.is(only?.foreign, foreign?.kind);
    assert.equal(only?.copied, { method: 'whole', reason: unrecognised, bytes: bytes.length, excluded: [] });
  });
}

const IDENTITY = { kind: 'file', key: 'k', id: 'i', path: 'p', model: '', size: 0, volatileName: false } as const;

for (const version of ['0.90', '1.0', '1.1', '1.2'] as const satisfies readonly RaidVersion[]) {
  test(`a file system with a RAID superblock (${version}) is never copied by its own map`, async () => {
    const size = 16 * MiB;
    const bytes = madeBy('mkfs.ext4', ['-q', '-F', '-b', '1024'], size);
    const plain = await identify(memoryTarget(bytes));
    assert.is(plain.recognised?.info.kind, 'ext4');
    if (version === '1.1' || version === '1.2') {
      // Not over its superblock: at 4 KiB it has group descriptors, at 0 nothing.
      const ext4 = Buffer.from(bytes.subarray(1024, 2048));
      addRaid(bytes, version, random);
      ext4.copy(bytes, 1024);
    } else {
      addRaid(bytes, version, random);
    }
    const found = await identify(memoryTarget(bytes));
    assert.is(found.foreign?.kind, 'linux_raid_member');
    assert.is(found.recognised, undefined);
    assert.is(blkidType(bytes), 'linux_raid_member');
    const report = await inspectSingle(memoryTarget(bytes), IDENTITY, 'the volume');
    const [only] = report.volumes;
    assert.ok(only);
    const allocation = await allocationOf(memoryTarget(bytes), only, { forensic: false, leaveOut: true });
    assert.is(allocation.method, 'whole');
    assert.is(allocation.damaged, false);
    let used = 0;
    for await (const { length } of allocation.map.usedExtents({ offset: 0, length: size })) used += length;
    assert.is(used, size);
    assert.is(await volumeToken(memoryTarget(bytes)), undefined);
  });
}

test('what lies where a superblock would lie is looked at closely', async () => {
  const nothing: Record<string, Buffer> = {
    'a label that names another sector': volume((bytes) => {
      addLvmLabel(bytes, 1);
      bytes.copy(bytes, 1024, 512, 1024);
      bytes.fill(0, 512, 1024);
    }),
    'a label with a wrong checksum': volume((bytes) => {
      addLvmLabel(bytes);
      bytes.writeUInt8(7, 600);
    }),
    'a RAID superblock of another place': volume((bytes) => {
      addRaid(bytes, '1.0', random);
      const at = raidOffset(bytes.length, '1.0');
      bytes.copy(bytes, 4096, at, at + 4096);
      bytes.fill(0, at);
    }),
    'a RAID superblock larger than its volume': volume((bytes) => {
      addRaid(bytes, '0.90', random);
      bytes.writeUInt32LE(1 << 20, raidOffset(bytes.length, '0.90') + 32);
    }),
    'LUKS of a third version': volume((bytes) => bytes.write('LUKS\xba\xbe\0\x03', 'latin1')),
    'three uberblocks': volume((bytes) => {
      addZfs(bytes, 0);
      bytes.fill(0, 128 * 1024 + 7 * 1024, 256 * 1024);
    }, 64 * MiB),
    'a few bytes': Buffer.alloc(100),
    nothing: Buffer.alloc(0),
  };
  for (const [name, bytes] of Object.entries(nothing)) {
    assert.equal(
      await identify(memoryTarget(bytes)),
      { recognised: undefined, foreign: undefined, unrecognised: 'no known file system', isUnreadable: false },
      name,
    );
  }
});

test('leftovers: a pool at the end and a foreign file system do not hide the one that is there', async () => {
  const bytes = madeBy('mkfs.ext4', ['-q', '-F'], 64 * MiB);
  addZfs(bytes, 2);
  addZfs(bytes, 3);
  assert.is((await identify(memoryTarget(bytes))).recognised?.info.kind, 'ext4');
  const ntfs = madeBy('mkntfs', ['-F', '-Q', '-q', '-p', '0', '-H', '0', '-S', '0', '-s', '512'], 64 * MiB);
  ntfs.write('CD001', 32769);
  assert.is((await identify(memoryTarget(ntfs))).recognised?.info.kind, 'ntfs');
});

test('several file systems remain several', async () => {
  const bytes = madeBy('mkfs.ext4', ['-q', '-F'], 64 * MiB);
  const fat = madeBy('mkfs.vfat', ['-F', '16'], 64 * MiB);
  fat.copy(bytes, 0, 0, 512);
  const { recognised, foreign, unrecognised } = await identify(memoryTarget(bytes));
  assert.is(recognised, undefined);
  assert.is(foreign, undefined);
  assert.is(unrecognised, 'signatures of several file systems (ext4, fat16)');
});

test.run();
