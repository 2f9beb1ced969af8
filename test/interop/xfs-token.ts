// The token of an XFS volume changes with every writing mount and repair, and with nothing else.

import { rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { makeXfs, mountedXfs, withXfs, writeSynced, xfsDb } from '../support/xfs-image.js';

const scratch = scratchFolder();
let number = 0;

function newImage(...options: string[]): string {
  number += 1;
  const image = join(scratch, `${number}.img`);
  makeXfs(image, 48 * MiB, options);
  return image;
}

const tokenOf = (image: string): Promise<Buffer> => withXfs(image, (volume, info) => xfs.token(volume, info));

for (const options of [
  ['-m', 'rmapbt=1'],
  ['-m', 'finobt=0,reflink=0', '-b', 'size=1024'],
]) {
  test(`the token (${options.join(' ')}) changes with writing mounts and repairs, with nothing else`, async () => {
    const image = newImage(...options);
    const seen = [await tokenOf(image)];
    const same = async (what: string): Promise<void> => {
      assert.ok((await tokenOf(image)).equals(seen.at(-1) ?? Buffer.alloc(0)), `${what} must not change the token`);
    };
    const different = async (what: string): Promise<void> => {
      const token = await tokenOf(image);
      assert.is(token.length, 16);
      assert.not.ok(
        seen.some((other) => other.equals(token)),
        `${what} must change the token`,
      );
      seen.push(token);
    };
    await same('reading');
    run('xfs_repair', ['-n', '-f', image]);
    xfsDb(image, 'sb 0', 'p');
    await same('xfs_repair -n and xfs_db -r');
    mountedXfs(image, () => undefined, 'rw');
    await different('a writing mount');
    mountedXfs(image, (folder) => statSync(folder), 'ro,norecovery');
    mountedXfs(image, (folder) => statSync(folder), 'ro');
    await same('mounts for reading');
    mountedXfs(image, (folder) => writeFileSync(join(folder, 'a'), Buffer.alloc(9000, 1)));
    await different('a written file');
    // In place: neither free space nor inodes change.
    mountedXfs(image, (folder) => run('xfs_io', ['-c', 'pwrite -S 2 0 4096', join(folder, 'a')]));
    await different('an overwritten file');
    mountedXfs(image, (folder) => rmSync(join(folder, 'a')));
    await different('a deleted file');
    run('xfs_admin', ['-L', 'other', image]);
    await different('a new label');
    tryRun('xfs_repair', ['-f', image]);
    await different('xfs_repair');
    run('xfs_repair', ['-L', '-f', image]);
    await different('xfs_repair -L');
    run('xfs_admin', ['-U', 'generate', image]);
    await different('a new UUID');
  });
}

test('a crash and its replay change the token', async () => {
  const image = newImage();
  const before = await tokenOf(image);
  mountedXfs(image, (folder) => {
    writeSynced(join(folder, 'a'), Buffer.alloc(5000, 3));
    run('xfs_io', ['-x', '-c', 'shutdown', folder]);
  });
  const crashed = await tokenOf(image);
  assert.not.ok(crashed.equals(before));
  mountedXfs(image, () => undefined);
  assert.not.ok((await tokenOf(image)).equals(crashed));
});

test.run();
