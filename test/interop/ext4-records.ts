// Records of ext2/3/4 beside what the kernel says of the same files: which have one, where their data lies, what changes
// their digests and what does not.

import { execFileSync } from 'node:child_process';
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
import { type Extent, normalise } from '../../src/map/extent.js';
import { bootFolder } from '../support/ext4-boot-folder.js';
import { makeImage, mounted, patch, patchSuperblock, withVolume } from '../support/ext4-image.js';
import { fileSource } from '../support/file-source.js';
import { randomFrom, SEED } from '../support/random.js';
import { type Scan, scanRecords } from '../support/record-scan.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { ALL, Workload } from '../support/workload.js';

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

/** Written extents of a file as FIEMAP tells them. */
function fiemap(path: string, blockSize: number): Extent[] {
  const rows = execFileSync('filefrag', ['-v', `-b${blockSize}`, path], { encoding: 'utf8' });
  const found: Extent[] = [];
  for (const [, start, length, rest = ''] of rows.matchAll(/^ *\d+: +\d+\.\. +\d+: +(\d+)\.\. +\d+: +(\d+):(.*)$/gm)) {
    if (rest.includes('unwritten') || rest.includes('inline')) continue;
    found.push({ offset: Number(start) * blockSize, length: Number(length) * blockSize });
  }
  return normalise(found);
}

for (const [name, options] of [
  ['ext4', ['-t', 'ext4', '-b', '4096']],
  ['1 KiB', ['-t', 'ext4', '-b', '1024']],
  ['ext3', ['-t', 'ext3', '-b', '1024']],
  ['ext2 of 2 KiB', ['-t', 'ext2', '-b', '2048']],
  ['bigalloc', ['-t', 'ext4', '-b', '4096', '-O', 'bigalloc', '-C', '16384']],
  ['inline data', ['-t', 'ext4', '-b', '4096', '-O', 'inline_data']],
  ['meta_bg', ['-t', 'ext4', '-b', '1024', '-O', 'meta_bg,^resize_inode', '-g', '2048']],
] as const) {
  test(`extents as the kernel tells them: ${name}`, async () => {
    makeImage(image, 64 * MiB, options);
    const simple = options[1] === 'ext4' ? {} : { fallocate: false, shift: false, punch: false };
    const blockSize = name === 'bigalloc' ? 16 * KiB : 4 * KiB;
    const can = { ...ALL, reflink: false, ...simple };
    const work = new Workload(randomFrom(SEED), { can, room: 16 * MiB, largest: 200 * KiB, blockSize });
    mounted(image, (folder) => work.work(folder, 300));
    const expected = new Map<number, Extent[]>();
    mounted(
      image,
      (folder) => {
        for (const { paths } of work.files) {
          const path = join(folder, paths[0] ?? '');
          const extents = fiemap(path, Number(options[3]));
          if (extents.length > 0) expected.set(statSync(path).ino, extents);
        }
      },
      'ro',
    );
    const { records } = await scanOf();
    assert.ok(expected.size > 10);
    assert.equal(
      [...records.keys()],
      [...expected.keys()].sort((a, b) => a - b),
    );
    for (const [id, { extents }] of records) assert.equal(normalise(extents), expected.get(id), `inode ${id}`);
  });
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
  assert.ok([...elsewhere.groups].some(([id, { digest }]) => boot.groups.get(id)?.digest !== digest));

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
    assert.not(after.groups.has(Math.floor((id - 1) / 16)), 'a group with such a file is read each time');
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

test('two file systems with one UUID are told apart', async () => {
  const made = new Set<string | undefined>();
  for (let index = 0; index < 3; index += 1) {
    makeImage(image, 32 * MiB, ['-t', 'ext4', '-U', '00000000-0000-4000-8000-000000000001']);
    await withVolume(image, async (_volume, info) => made.add(info.made));
  }
  assert.is(made.size, 3);
});

test.run();
