// What NTFS's records promise, one rule a test: which files have one, what changes its digest, and what cannot be told.

import {
  closeSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GiB, KiB, MiB } from '../../src/base/units.js';
import { parseBootSector } from '../../src/filesystem/ntfs/boot-sector.js';
import { emptyGathered, gather } from '../../src/filesystem/ntfs/gather.js';
import { ntfs } from '../../src/filesystem/ntfs/plugin.js';
import { restore } from '../../src/filesystem/ntfs/table-pieces.js';
import { memoryTarget } from '../../src/source/memory.js';
import { fileSource } from '../support/file-source.js';
import { withNtfsMounted } from '../support/ntfs-mount.js';
import { recordOffset } from '../support/ntfs-structures.js';
import { makeNtfs } from '../support/ntfs-volume.js';
import { fillUp, fragmentFiles, holedFile } from '../support/ntfs-workload.js';
import { randomFrom, SEED } from '../support/random.js';
import { assertUnchanged, type Scan, scanRecords, unreadExtents } from '../support/record-scan.js';
import { scratchFolder } from '../support/scratch.js';

const RECORD = KiB;
const QUIET = { options: 'rw,noatime,streams_interface=xattr' };
const scratch = scratchFolder();
const random = randomFrom(SEED);

async function volume(clusterSize = 4 * KiB): Promise<string> {
  const path = join(scratch, 'volume');
  rmSync(path, { force: true });
  makeNtfs(path, { size: 24 * MiB, clusterSize });
  return path;
}

async function scan(image: string): Promise<Scan> {
  const source = fileSource(image);
  try {
    return await scanRecords(ntfs, source);
  } finally {
    await source.close();
  }
}

/** As if it had been made some time later: no stamp is too young. */
function aged(taken: Scan): Scan {
  return { ...taken, at: taken.at + 10_000 };
}

function digests(taken: Scan, id: number): string | undefined {
  return taken.records.get(id)?.digest.toString('hex');
}

test('a file has a record with its extents and its times, unless it lies in the table', async () => {
  const image = await volume();
  const [big, tiny] = await withNtfsMounted(image, (folder) => {
    writeFileSync(join(folder, 'big'), random.bytes(50_000));
    writeFileSync(join(folder, 'tiny'), 'x');
    utimesSync(join(folder, 'big'), 1, 12.5);
    return [statSync(join(folder, 'big')), statSync(join(folder, 'tiny'))];
  });
  assert.ok(big && tiny);
  const { records } = await scan(image);
  const record = records.get(big.ino);
  assert.is(record?.extents.length, 1);
  assert.is(record?.extents[0]?.length, 13 * 4 * KiB);
  assert.ok(Math.abs((record?.changedAt ?? 0) - big.ctimeMs) < 1);
  assert.not.ok(records.has(tiny.ino));
});

test('files that are written from below, or kept open, have none: by any name, folder or size', async () => {
  const image = await volume();
  const names = [
    'pagefile.sys',
    'Disk.VHDX',
    'ntuser.DAT',
    'SYSTEM',
    'SYSTEM.LOG1',
    'BCD',
    'a.b.vmdk',
    'mail.pst',
    'x.evtx',
  ];
  const inFolders = [
    'Boot/a',
    'boot/b',
    'Boot/deep/er/c',
    'System Volume Information/{3808876b}',
    'system volume information/x',
  ];
  const plain = ['ordinary', 'x.vhdx.txt', 'evtx', 'sub/Boot/file', 'vhd', '.txt', 'name.'];
  const found = await withNtfsMounted(image, (folder) => {
    for (const path of [...names, ...inFolders, ...plain]) {
      mkdirSync(join(folder, path, '..'), { recursive: true });
      writeFileSync(join(folder, path), random.bytes(9000));
    }
    writeFileSync(join(folder, 'linked'), random.bytes(9000));
    linkSync(join(folder, 'linked'), join(folder, 'linked.vhd'));
    const inode = (path: string): number => statSync(join(folder, path)).ino;
    return { never: [...names, ...inFolders, 'linked'].map(inode), ever: plain.map(inode) };
  });
  const { records } = await scan(image);
  assert.equal(
    [...records.keys()],
    found.ever.sort((a, b) => a - b),
  );
  for (const id of found.never) assert.not.ok(records.has(id));
  assert.not.ok([...records.keys()].some((id) => id < 24));
});

test('a folder that becomes one of the system takes the records of its files away, and all groups differ', async () => {
  const image = await volume();
  const id = await withNtfsMounted(
    image,
    (folder) => {
      mkdirSync(join(folder, 'other/in'), { recursive: true });
      writeFileSync(join(folder, 'other/in/file'), random.bytes(9000));
      for (let index = 0; index < 40; index += 1) writeFileSync(join(folder, `${index}`), random.bytes(9000));
      return statSync(join(folder, 'other/in/file')).ino;
    },
    QUIET,
  );
  const before = await scan(image);
  await withNtfsMounted(image, (folder) => renameSync(join(folder, 'other'), join(folder, 'Boot')), QUIET);
  const after = await scan(image);
  assert.ok(before.records.has(id) && !after.records.has(id));
  for (const [group, { digest }] of before.groups) assert.is.not(after.groups.get(group)?.digest, digest);
});

test('every byte of a record is in its digest', async () => {
  const image = await volume();
  const id = await withNtfsMounted(image, (folder) => {
    writeFileSync(join(folder, 'file'), random.bytes(9000));
    return statSync(join(folder, 'file')).ino;
  });
  const bytes = readFileSync(image);
  const start = recordOffset(image, id);
  const source = memoryTarget(bytes);
  const was = digests(await scanRecords(ntfs, source), id);
  assert.ok(was);
  for (let at = start; at < start + RECORD; at += 1) {
    const saved = bytes.readUInt8(at);
    bytes[at] = saved ^ (1 << random.below(8));
    assert.is.not(digests(await scanRecords(ntfs, source), id), was, `byte ${at - start}`);
    bytes[at] = saved;
  }
  assert.is(digests(await scanRecords(ntfs, source), id), was);
});

test('a file in many pieces depends on all its records, and its group is never taken as known', async () => {
  const image = await volume(KiB);
  const id = await withNtfsMounted(image, (folder) => {
    fragmentFiles(folder, random, KiB);
    return statSync(join(folder, 'pieces/a')).ino;
  });
  const bytes = readFileSync(image);
  const places = Array.from({ length: bytes.length / RECORD }, (_, index) => index * RECORD);
  const extensions = places.filter(
    (at) =>
      bytes.toString('latin1', at, at + 4) === 'FILE' && bytes.readUIntLE(at + 32, 6) === id && bytes[at + 22] === 1,
  );
  assert.ok(extensions.length > 0, `${id}`);
  const source = memoryTarget(bytes);
  const before = await scanRecords(ntfs, source);
  assert.ok((before.records.get(id)?.extents.length ?? 0) > 100);
  assert.not.ok(before.groups.has(Math.floor(id / 16)));
  for (const at of extensions) {
    const [log, base] = [bytes.readUInt32LE(at + 8), bytes.readUInt16LE(at + 38)];
    bytes.writeUInt32LE(log + 1, at + 8); // nothing that is understood here
    const changed = digests(await scanRecords(ntfs, source), id);
    assert.ok(changed && changed !== digests(before, id));
    bytes.writeUInt32LE(log, at + 8);
    bytes.writeUInt16LE(base + 1, at + 38); // another file's
    assert.not.ok((await scanRecords(ntfs, source)).records.has(id));
    bytes.writeUInt16LE(base, at + 38);
  }
  assert.is(digests(await scanRecords(ntfs, source), id), digests(before, id));
});

test('reading changes nothing without access times, and no more than the digest with them', async () => {
  const image = await volume();
  const path = (folder: string): string => join(folder, 'file');
  const id = await withNtfsMounted(image, (folder) => {
    writeFileSync(path(folder), random.bytes(9000));
    return statSync(path(folder)).ino;
  });
  const before = await scan(image);
  await withNtfsMounted(image, (folder) => readFileSync(path(folder)), { options: 'rw,noatime' });
  assert.is(digests(await scan(image), id), digests(before, id));
  await withNtfsMounted(image, (folder) => readFileSync(path(folder)), { options: 'rw,atime' });
  const after = await scan(image);
  assert.is(after.records.get(id)?.changedAt, before.records.get(id)?.changedAt);
});

for (const [name, make] of [
  ['solid', (path: string) => writeFileSync(path, random.bytes(2000))],
  ['holed', (path: string) => holedFile(path, random)],
] as const) {
  test(`a write to a ${name} file that a full disk ended half-way is seen`, async () => {
    const image = await volume(512);
    const then = join(scratch, 'then');
    const rest = await withNtfsMounted(
      image,
      (folder) => {
        make(join(folder, 'file'));
        return fillUp(folder, random).slice(folder.length);
      },
      QUIET,
    );
    copyFileSync(image, then);
    await withNtfsMounted(
      image,
      (folder) => {
        const fd = openSync(join(folder, 'file'), 'r+');
        const write = (): number => writeSync(fd, random.bytes(4096), 0, 4096, 0);
        assert.throws(write, /ENOSPC/);
        closeSync(fd);
        rmSync(join(folder, rest));
      },
      QUIET,
    );
    const [before, after] = [fileSource(then), fileSource(image)];
    const [first, second] = [await scanRecords(ntfs, before), await scanRecords(ntfs, after)];
    await assertUnchanged(unreadExtents(aged(first), aged(second)), before, after);
    await Promise.all([before.close(), after.close()]);
  });
}

test('files of 1 GiB and more are always read', async () => {
  const image = await volume();
  const id = await withNtfsMounted(image, (folder) => {
    writeFileSync(join(folder, 'file'), random.bytes(9000));
    return statSync(join(folder, 'file')).ino;
  });
  const bytes = readFileSync(image);
  const record = Buffer.alloc(RECORD);
  assert.ok(restore(bytes.subarray(recordOffset(image, id)).subarray(0, RECORD), record));
  const boot = parseBootSector(bytes);
  assert.ok(boot);
  const data = record.indexOf(Buffer.from([0x80, 0, 0, 0, 0x48]));
  for (const [size, always] of [
    [GiB - 1, false],
    [GiB, true],
    [5 * GiB, true],
  ] as const) {
    record.writeBigUInt64LE(BigInt(size), data + 48);
    record.writeUInt8(0x33, data + 64);
    record.writeUIntLE(size / (4 * KiB) + 1, data + 65, 3);
    record.writeUIntLE(1000, data + 68, 3);
    record.writeUInt8(0, data + 71);
    const gathered = emptyGathered();
    const surroundings = { boot: { ...boot, clusterCount: 2 ** 30 }, systemFolders: new Set<number>() };
    assert.ok(gather(record, gathered, surroundings));
    assert.is(gathered.alwaysRead, always);
  }
});

test.run();
