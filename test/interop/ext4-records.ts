// Records of ext2/3/4: which files have one, what changes their digests and what does not.

import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { KiB, MiB } from '../../src/base/units.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import { bootFolder } from '../support/ext4-boot-folder.js';
import { makeImage, mounted, patch, patchSuperblock, withVolume } from '../support/ext4-image.js';
import { fileSource } from '../support/file-source.js';
import { type Scan, scanRecords, unreadExtents } from '../support/record-scan.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const image = join(scratch, 'volume');

async function scanOf(path = image): Promise<Scan> {
  const source = fileSource(path);
  try {
    return await scanRecords(ext4, source);
  } finally {
    await source.close();
  }
}

function inodeOf(folder: string, path: string): number {
  return statSync(join(folder, path)).ino;
}

test('reading a file changes its group and not its record; stamps put back do not hide a write', async () => {
  makeImage(image, 32 * MiB, ['-t', 'ext4']);
  const [read, written, modes] = mounted(image, (folder) =>
    ['read', 'written', 'modes'].map((name) => {
      writeFileSync(join(folder, name), Buffer.alloc(8 * KiB, name));
      utimesSync(join(folder, name), 1e9, 1e9);
      return inodeOf(folder, name);
    }),
  );
  const before = await scanOf();
  mounted(
    image,
    (folder) => {
      readFileSync(join(folder, 'read'));
      writeFileSync(join(folder, 'written'), Buffer.alloc(8 * KiB, 'other'), { flag: 'r+' });
      utimesSync(join(folder, 'written'), 1e9, 1e9);
      chmodSync(join(folder, 'modes'), 0o600);
    },
    'strictatime',
  );
  const after = await scanOf();
  const isSame = (id = 0): boolean =>
    before.records.get(id)?.digest.equals(after.records.get(id)?.digest ?? Buffer.alloc(0)) ?? false;
  assert.equal([read, written, modes].map(isSame), [true, false, false]);
  assert.not.equal(
    [...before.groups.values()].map(({ digest }) => digest),
    [...after.groups.values()].map(({ digest }) => digest),
  );
});

test('small files of boot loaders have no record, wherever the boot folder is', async () => {
  makeImage(image, 32 * MiB, ['-t', 'ext4']);
  const made = mounted(image, (folder) => {
    mkdirSync(join(folder, 'elsewhere'));
    const { small, kernel } = bootFolder(join(folder, 'elsewhere'));
    return {
      small: small.map((path) => inodeOf(folder, join('elsewhere', path))),
      kernel: inodeOf(folder, join('elsewhere', kernel)),
    };
  });
  const elsewhere = await scanOf();
  for (const id of [...made.small, made.kernel]) assert.ok(elsewhere.records.has(id));

  // Only the name of one folder changes: the groups of its files have to change with it.
  mounted(image, (folder) => renameSync(join(folder, 'elsewhere', 'boot'), join(folder, 'Boot')));
  const boot = await scanOf();
  const uboot = made.small.at(-1) ?? 0;
  assert.ok(boot.records.has(made.kernel) && boot.records.has(uboot));
  for (const id of made.small) assert.is(boot.records.has(id), id === uboot);
  unreadExtents(elsewhere, boot); // demands that groups with other records have other digests

  // Mounted on /boot itself.
  mounted(image, (folder) => {
    renameSync(join(folder, 'Boot'), join(folder, 'was'));
    renameSync(join(folder, 'was', 'grub'), join(folder, 'grub'));
    renameSync(join(folder, 'elsewhere', 'uboot.env'), join(folder, 'uboot.env'));
  });
  const grub = await scanOf();
  assert.equal(made.small.filter((id) => grub.records.has(id)).length, 1); // ldlinux.sys, in a folder of any name

  // Behind a link it could be anywhere.
  mounted(image, (folder) => {
    rmSync(join(folder, 'grub'), { recursive: true });
    symlinkSync('was', join(folder, 'boot'));
  });
  const linked = await scanOf();
  assert.equal([...linked.records.keys()], [made.kernel]); // the only one that is long
});

test('blocks of a tree count as much as the inode', async () => {
  for (const [options, field] of [
    [['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum'], /\(ETB0\):(\d+)/],
    [['-t', 'ext2', '-b', '1024'], /\(DIND\):(\d+)/],
  ] as const) {
    makeImage(image, 32 * MiB, options);
    const id = mounted(image, (folder) => {
      const path = join(folder, 'scattered');
      const fd = openSync(path, 'w');
      for (let block = 0; block < 300; block += 1) writeSync(fd, 'x'.repeat(KiB), block * 2 * KiB);
      closeSync(fd);
      return inodeOf(folder, 'scattered');
    });
    const before = (await scanOf()).records.get(id);
    const block = Number(field.exec(run('debugfs', ['-R', `stat <${id}>`, image]))?.[1]);
    // Behind the last entry: it maps the same blocks.
    patch(image, block * KiB + KiB - 4, 4, (bytes) => bytes.writeUInt32LE(bytes.readUInt32LE(0) === 0 ? 1 : 0));
    const after = await scanOf();
    assert.ok(before);
    assert.not(after.records.get(id)?.digest.equals(before.digest) ?? false);
    assert.not(after.groups.has(Math.floor((id - 1) / 4)), 'a group with such a file is read each time');
  }
});

test('quota files that the kernel keeps have no record while it does', async () => {
  makeImage(image, 32 * MiB, ['-t', 'ext4']);
  const quota = mounted(image, (folder) => {
    for (const name of ['aquota.user', 'other']) writeFileSync(join(folder, name), Buffer.alloc(8 * KiB, 1));
    run('chattr', ['+iA', join(folder, 'aquota.user')]);
    run('chattr', ['+i', join(folder, 'other')]);
    return { kept: inodeOf(folder, 'aquota.user'), other: inodeOf(folder, 'other') };
  });
  const { records } = await scanOf();
  assert.not(records.has(quota.kept));
  assert.ok(records.has(quota.other));
});

test('refused: a journal that was not replayed, errors, shared blocks, unknown features', async () => {
  for (const change of [
    (raw: Buffer) => raw.writeUInt32LE(raw.readUInt32LE(0x60) | 0x4, 0x60),
    (raw: Buffer) => raw.writeUInt16LE(raw.readUInt16LE(0x3a) | 0x2, 0x3a),
    (raw: Buffer) => raw.writeUInt32LE(raw.readUInt32LE(0x64) | 0x4000, 0x64),
    (raw: Buffer) => raw.writeUInt32LE(raw.readUInt32LE(0x60) | 0x40000000, 0x60),
  ]) {
    makeImage(image, 32 * MiB, ['-t', 'ext4']);
    patchSuperblock(image, change);
    try {
      await scanOf();
      assert.unreachable();
    } catch (error) {
      assert.instance(error, FormatError);
    }
  }
});

test('after a check no record of a volume without a journal counts', async () => {
  for (const [options, isSame] of [
    [['-t', 'ext2'], false],
    [['-t', 'ext4'], true],
  ] as const) {
    makeImage(image, 32 * MiB, options);
    const id = mounted(image, (folder) => {
      writeFileSync(join(folder, 'file'), Buffer.alloc(8 * KiB, 1));
      return inodeOf(folder, 'file');
    });
    const before = await scanOf();
    patchSuperblock(image, (raw) => raw.writeUInt32LE(raw.readUInt32LE(0x40) + 1, 0x40));
    const after = await scanOf();
    const digest = after.records.get(id)?.digest;
    assert.is(digest !== undefined && before.records.get(id)?.digest.equals(digest), isSame);
    const digests = ({ groups }: Scan): string[] => [...groups.values()].map((group) => group.digest);
    assert.is(JSON.stringify(digests(before)) === JSON.stringify(digests(after)), isSame);
  }
});

test('a check of everything hides no mount', async () => {
  makeImage(image, 32 * MiB, ['-t', 'ext4']);
  const mounts = (): Promise<number> => withVolume(image, async (_, info) => info.mounts ?? Number.NaN);
  mounted(image, () => undefined);
  const once = await mounts();
  mounted(image, () => undefined);
  assert.is(await mounts(), once + 1);
  await new Promise((resolve) => setTimeout(resolve, 1100)); // it says when in seconds
  run('e2fsck', ['-fp', image]);
  mounted(image, () => undefined);
  assert.not([0, 1].includes((await mounts()) - once), 'it counts from nothing again');
});

test('stamps: to the end of the second where inodes have whole ones, and after 2038', async () => {
  for (const [inodeSize, exact] of [
    ['128', false],
    ['256', true],
  ] as const) {
    makeImage(image, 32 * MiB, ['-t', 'ext4', '-I', inodeSize]);
    const { now, later } = mounted(image, (folder) => {
      const [first, second] = ['now', 'later'].map((name) => {
        writeFileSync(join(folder, name), Buffer.alloc(8 * KiB, 1));
        return join(folder, name);
      });
      if (exact) utimesSync(second ?? '', 1e9, 4e9);
      return { now: statSync(first ?? ''), later: statSync(second ?? '') };
    });
    const { records } = await scanOf();
    const changedAt = records.get(now.ino)?.changedAt ?? 0;
    if (exact) assert.ok(changedAt >= now.ctimeMs && changedAt < now.ctimeMs + 1);
    else assert.is(changedAt, Math.floor(now.ctimeMs / 1000) * 1000 + 1000);
    if (exact) assert.is(records.get(later.ino)?.changedAt, 4e12);
  }
});

test('files of the file system itself have no record', async () => {
  makeImage(image, 64 * MiB, [
    '-t',
    'ext4',
    '-I',
    '256',
    '-O',
    'orphan_file,quota,project',
    '-E',
    'quotatype=usrquota:grpquota:prjquota',
  ]);
  assert.is((await scanOf()).records.size, 0);
});

test('a boot folder with a wrong checksum is refused', async () => {
  makeImage(image, 32 * MiB, ['-t', 'ext4', '-b', '1024']);
  mounted(image, (folder) => bootFolder(folder));
  await scanOf();
  for (const path of ['/boot', '/boot/grub/i386-pc']) {
    const block = Number(
      run('debugfs', ['-R', `blocks ${path}`, image])
        .trim()
        .split(' ')
        .at(-1),
    );
    const change = (by: number) => (bytes: Buffer) => void bytes.writeUInt8(bytes.readUInt8(0) ^ by);
    patch(image, block * KiB + 40, 1, change(1));
    try {
      await scanOf();
      assert.unreachable();
    } catch (error) {
      assert.instance(error, FormatError);
      assert.match(String(error), 'the checksum of directory');
    }
    patch(image, block * KiB + 40, 1, change(1));
  }
});

test('two file systems with one UUID are told apart', async () => {
  const made = new Set<string | undefined>();
  for (let index = 0; index < 3; index += 1) {
    makeImage(image, 32 * MiB, ['-t', 'ext4', '-U', '00000000-0000-4000-8000-000000000001']);
    await withVolume(image, async (_volume, info) => made.add(info.made));
  }
  assert.is(made.size, 3);
});

test.run();
