// Linux file systems on sectors of another size: what is let through can be mounted there, what is refused cannot.

import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { identify } from '../../src/filesystem/registry.js';
import { afterMove } from '../../src/reshape/after-move/after-move.js';
import { fileSource } from '../support/file-source.js';
import { withLoopDevice } from '../support/loop.js';
import { adaptationOf } from '../support/moved.js';
import { hashTree } from '../support/ntfs-mount.js';
import { emptyFile, thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const scratch = scratchFolder();
const random = randomFrom(SEED);

/** What it holds, mounted through a device with such sectors; undefined if the kernel refuses. */
function mountedOn(path: string, type: string, sectorSize: number, fill = false): Map<string, string> | undefined {
  return withLoopDevice(
    path,
    (device) => {
      const folder = `${path}.mounted`;
      mkdirSync(folder);
      try {
        if (tryRun('mount', ['-t', type, device, folder]).status !== 0) return undefined;
        try {
          if (fill) writeFileSync(join(folder, 'file'), random.bytes(MiB));
          return hashTree(folder);
        } finally {
          run('umount', [folder]);
        }
      } finally {
        rmdirSync(folder);
      }
    },
    { sectorSize },
  );
}

interface Case {
  readonly name: string;
  readonly type: string;
  readonly make: readonly string[];
  readonly size: number;
  /** Of the disk it is made for. */
  readonly from: number;
  /** Why it cannot go to the other sectors; undefined if it can. */
  readonly refused?: RegExp;
}

const EXT4 = ['mke2fs', '-q', '-F', '-t', 'ext4', '-b'];
const CASES: readonly Case[] = [
  { name: 'ext4 with blocks of 4 KiB', type: 'ext4', make: [...EXT4, '4096'], size: 24 * MiB, from: 512 },
  {
    name: 'ext4 with blocks of 1 KiB',
    type: 'ext4',
    make: [...EXT4, '1024'],
    size: 24 * MiB,
    from: 512,
    refused: /blocks have 1024/,
  },
  {
    name: 'ext4 with blocks of 2 KiB',
    type: 'ext4',
    make: [...EXT4, '2048'],
    size: 24 * MiB,
    from: 512,
    refused: /blocks have 2048/,
  },
  {
    name: 'xfs for 512',
    type: 'xfs',
    make: ['mkfs.xfs', '-q', '-f', '-s', 'size=512'],
    size: 320 * MiB,
    from: 512,
    refused: /sectors have 512/,
  },
  { name: 'xfs for 4096', type: 'xfs', make: ['mkfs.xfs', '-q', '-f', '-s', 'size=4096'], size: 320 * MiB, from: 512 },
  { name: 'btrfs', type: 'btrfs', make: ['mkfs.btrfs', '-q'], size: 128 * MiB, from: 512 },
  { name: 'ext4 from 4096', type: 'ext4', make: [...EXT4, '4096'], size: 24 * MiB, from: 4096 },
  { name: 'xfs from 4096', type: 'xfs', make: ['mkfs.xfs', '-q', '-f'], size: 320 * MiB, from: 4096 },
  { name: 'btrfs from 4096', type: 'btrfs', make: ['mkfs.btrfs', '-q'], size: 128 * MiB, from: 4096 },
];

for (const { name, type, make, size, from, refused } of CASES) {
  const to = from === 512 ? 4096 : 512;
  test(`${name}: ${refused ? 'refused' : 'unchanged'} on sectors of ${to}`, async () => {
    const path = emptyFile(scratch, name.replaceAll(' ', '-'), size);
    const [program = '', ...args] = make;
    withLoopDevice(path, (device) => run(program, [...args, device]), { sectorSize: from });
    const hashes = mountedOn(path, type, from, true);
    assert.is(hashes?.size, 1);
    const journey = { source: { startLba: 2048, sectorSize: from }, target: { startLba: 256, sectorSize: to } };
    if (refused) {
      const error = await thrownBy(() => adaptationOf(path, journey));
      assert.ok(error instanceof ToolError && error.code === 'filesystem.sector-size-stays', 'not refused');
      assert.match(error.message, refused);
      assert.is(mountedOn(path, type, to), undefined, 'the kernel takes it');
    } else {
      assert.equal(await adaptationOf(path, journey), { patches: [], notes: [] });
      assert.equal(mountedOn(path, type, to), hashes);
    }
  });
}

test('swap and F2FS are unchanged on sectors of 4096', async () => {
  const journey = { source: { startLba: 2048, sectorSize: 512 }, target: { startLba: 256, sectorSize: 4096 } };
  for (const [name, program, size] of [
    ['swap', 'mkswap', 8 * MiB],
    ['f2fs', 'mkfs.f2fs', 64 * MiB],
  ] as const) {
    const path = emptyFile(scratch, name, size);
    run(program, [path]);
    assert.equal(await adaptationOf(path, journey), { patches: [], notes: [] }, name);
  }
});

test('LUKS opens on sectors of 4096; what is inside is not vouched for', async () => {
  const path = emptyFile(scratch, 'luks', 24 * MiB);
  const options = ['-q', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
  run('cryptsetup', ['luksFormat', ...options, path, '-'], { input: 'secret' });
  const volume = fileSource(path);
  const { foreign } = await identify(volume);
  const place = (sectorSize: number) => ({ startLba: 2048, sectorSize });
  const found = await afterMove({ volume, filesystem: foreign, source: place(512), target: place(4096) });
  await volume.close();
  assert.equal(found.patches, []);
  assert.match(found.notes.join(), /it opens there/);
  withLoopDevice(
    path,
    (device) => run('cryptsetup', ['open', '--test-passphrase', '-d', '-', device], { input: 'secret' }),
    {
      sectorSize: 4096,
    },
  );
});

test.run();
