// An fstab as exclusions read it.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mountOf, parseFstab } from '../../src/plan/fstab.js';

const FSTAB = parseFstab(`
# comment /swapfile none swap sw 0 0
UUID=AB-CD / ext4 errors=remount-ro 0 1
LABEL="data\\040disk" /data ext4 defaults 0 0
/dev/disk/by-uuid/1234 /data/deeper/ xfs defaults 0 0
/dev/sda7\t/srv\text4
PARTUUID=99 /home ext4 defaults
/swapfile none swap sw 0 0
/data/swap\\040file\tswap  swap
/dev/sda3 none swap sw
UUID=77 none swap sw
/a/../b none swap sw
swap/relative none swap sw
/half none
`);

test('swap files are absolute paths, without a way up', () => {
  assert.equal(FSTAB.swapFiles, ['/swapfile', '/data/swap file']);
});

test('the mount of a path', () => {
  const place = (path: string): unknown[] => {
    const { mount, below } = mountOf(FSTAB, path);
    return [mount?.folder, mount?.filesystem?.by, mount?.filesystem?.value, below];
  };
  assert.equal(place('/swapfile'), ['', 'uuid', 'AB-CD', '/swapfile']);
  assert.equal(place('/data/swap file'), ['/data', 'label', 'data disk', '/swap file']);
  assert.equal(place('/data/deeper/x/y'), ['/data/deeper', 'uuid', '1234', '/x/y']);
  assert.equal(place('/database'), ['', 'uuid', 'AB-CD', '/database']);
  assert.equal(place('/srv/swap'), ['/srv', undefined, undefined, '/swap']);
  assert.equal(place('/home/swap'), ['/home', undefined, undefined, '/swap']);
});

test('of two mounts on one folder the last one counts', () => {
  const fstab = parseFstab('UUID=1 / ext4\nUUID=2 / ext4\n');
  assert.is(mountOf(fstab, '/x').mount?.filesystem?.value, '2');
});

test('nothing but garbage names nothing, and a flood of names is cut off', () => {
  assert.equal(parseFstab('\0\x01 \t\n\n  \n'), { mounts: [], swapFiles: [] });
  assert.is(mountOf(parseFstab(''), '/x').mount, undefined);
  const flood = Array.from({ length: 5000 }, (_, index) => `/swap${index} none swap`).join('\n');
  assert.is(parseFstab(flood).swapFiles.length, 64);
});

test.run();
