// A btrfs under a temporary name: btrfs-progs accept it, and with its own name back every byte is as before.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { disguise, restore } from '../../src/reshape/btrfs-identity.js';
import { digestOf } from '../support/reshape.js';
import { run } from '../support/run.js';
import { emptyFile } from '../support/sample-disk.js';
import { scratchFolder } from '../support/scratch.js';

const folder = scratchFolder();
const OWN = '12345678-1234-4321-8765-123456789abc';
const OTHER = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee';

const uuidOf = (path: string): string => run('blkid', ['-p', '-o', 'value', '-s', 'UUID', path]).trim();

for (const checksum of ['crc32c', 'xxhash', 'sha256', 'blake2']) {
  for (const isRenamed of [false, true]) {
    test(`${checksum}${isRenamed ? ', with a metadata UUID of its own' : ''}`, async () => {
      const path = emptyFile(join(folder, 'volume'), 130 * MiB);
      run('mkfs.btrfs', ['-q', '--csum', checksum, '-U', OWN, path]);
      if (isRenamed) run('btrfstune', ['-f', '-M', OTHER, path]);
      const own = isRenamed ? OTHER : OWN;
      assert.is(uuidOf(path), own);
      const before = digestOf(path);
      const names = await disguise(path);
      assert.is.not(uuidOf(path), own);
      assert.is(uuidOf(path).replaceAll('-', ''), names.temporary.toString('hex'));
      run('btrfs', ['check', path]);
      // Both copies: their checksums, and the metadata UUID beside that of the device.
      const copies = run('btrfs', ['inspect-internal', 'dump-super', '-a', path]);
      assert.is(copies.match(/^csum\s.*\[match\]$/gm)?.length, 2, copies);
      assert.is(copies.match(/^dev_item\.fsid\s.*\[match\]$/gm)?.length, 2, copies);
      await restore(path, names);
      assert.is(uuidOf(path), own);
      run('btrfs', ['check', path]);
      assert.is(digestOf(path), before);
      rmSync(path);
    });
  }
}

test.run();
