// What --size says, and which partitions may change size at all.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GiB } from '../../src/base/units.js';
import { flexibilityOf } from '../../src/plan/layout/flexibility.js';
import { parseSizes } from '../../src/plan/layout/size-option.js';

const LINUX = '0FC63DAF-8483-4772-8E79-3D69D8477DE4';
const BASIC_DATA = 'EBD0A0A2-B9E5-4433-87C0-68B6B72699C7';

test('--size in all its forms', () => {
  assert.equal(
    [...parseSizes(['2=200G', '3=min', '14 = REST', '5=1.5GiB', '6=2 GB', '7=512'])],
    [
      [2, 200 * GiB],
      [3, 'min'],
      [14, 'rest'],
      [5, 1.5 * GiB],
      [6, 2e9],
      [7, 512],
    ],
  );
  assert.is(parseSizes([]).size, 0);
});

test('--size that says nothing useful', () => {
  const refused = (texts: readonly string[], message: RegExp) =>
    assert.throws(
      () => parseSizes(texts),
      (error: { code?: string; message: string }) => error.code === 'usage.bad-option' && message.test(error.message),
    );
  for (const text of [
    '',
    '2',
    '=5G',
    '0=5G',
    'a=5G',
    '2=',
    '2=much',
    '2=-5G',
    '2=5X',
    '2:5G',
    '2=9999999999T',
    '1,2=5G',
  ]) {
    refused([text], /wanted is a partition and its size such as 2=200G/);
  }
  refused(['2=5G', '2=min'], /partition 2 was given a size before/);
  refused(['2=0G'], /a partition of no size/);
});

test('types that never change size, whatever they hold', () => {
  const expected = {
    'C12A7328-F81F-11D2-BA4B-00A0C93EC93B': 'efi-system',
    '0xEF': 'efi-system',
    '21686148-6449-6E6F-744E-656564454649': 'bios-boot',
    'bc13c2ff-59e6-4262-a352-b275fd6f7172': 'boot-loader',
    'E3C9E316-0B5C-4DB8-817D-F92DF00215AE': 'microsoft-reserved',
    'DE94BBA4-06D1-4D40-A16A-BFD50179D6AC': 'recovery',
    '0x27': 'recovery',
    '0x8e': 'foreign',
    '0xfd': 'foreign',
  };
  for (const [type, fixed] of Object.entries(expected)) {
    for (const content of ['ntfs', 'fat32', undefined]) {
      assert.equal(flexibilityOf(type, content), { fixed, growable: false, shrinkable: false });
    }
  }
});

test('what a file system can do', () => {
  const both = { fixed: undefined, growable: true, shrinkable: true };
  for (const kind of ['ext2', 'ext3', 'ext4', 'ntfs', 'btrfs', 'f2fs', 'swap', 'fat16', 'fat32']) {
    assert.equal(flexibilityOf(LINUX, kind), both, kind);
  }
  assert.equal(flexibilityOf('0x7', 'ntfs'), both);
  assert.equal(flexibilityOf(LINUX, 'xfs'), { fixed: undefined, growable: true, shrinkable: false });
  for (const kind of ['exfat', 'fat12', 'vfat']) {
    assert.equal(flexibilityOf(BASIC_DATA, kind), { fixed: undefined, growable: false, shrinkable: false }, kind);
  }
});

test('what is not known keeps its size', () => {
  for (const kind of ['crypto_LUKS', 'BitLocker', 'LVM2_member', 'linux_raid_member', 'zfs_member']) {
    assert.is(flexibilityOf(LINUX, kind).fixed, 'foreign', kind);
  }
  for (const kind of [undefined, '', 'ReFS', 'apfs', 'constructor', '__proto__']) {
    assert.equal(flexibilityOf('toString', kind), { fixed: 'unrecognised', growable: false, shrinkable: false });
  }
});

test.run();
