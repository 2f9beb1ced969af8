// Hundreds of damaged FAT, ext4 and XFS volumes are searched for old IDs: each search ends, says what it could not read, and
// changes nothing outside the volume or outside an ID.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32c } from '../../src/base/checksum.js';
import { FormatError } from '../../src/base/u64.js';
import { MiB } from '../../src/base/units.js';
import { hasPath } from '../../src/filesystem/ntfs/find-path.js';
import { identify } from '../../src/filesystem/registry.js';
import { idPatches } from '../../src/reshape/identity/id-patches.js';
import { referencePatches } from '../../src/reshape/identity/references.js';
import { memoryTarget } from '../../src/source/memory.js';
import { damage } from '../support/damage.js';
import { makeImage, mounted } from '../support/ext4-image.js';
import { makeFat } from '../support/fat-volume.js';
import { manyRounds } from '../support/many-rounds.js';
import { withNtfsMounted } from '../support/ntfs-mount.js';
import { makeNtfs } from '../support/ntfs-volume.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { makeXfs, mountedXfs } from '../support/xfs-image.js';

const ROUNDS = rounds({ short: 200, long: 20_000 });
const OLD = '6b1f6d1c-7c9e-4b5e-9f3a-0d6a5e5f1c11';
const NEW = '11111111-aaaa-4bbb-8ccc-dddddddddddd';
const folder = scratchFolder();
const image = join(folder, 'image');
const random = randomFrom(SEED);

function fill(root: string): void {
  for (const path of [
    'etc/fstab',
    'EFI/debian/grub.cfg',
    'EFI/debian/grubx64.efi',
    'loader/entries/a long name.conf',
  ]) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), `root=UUID=${OLD} `.repeat(300));
  }
}

/** Where the bytes of a marker lie. */
function placesOf(bytes: Buffer, markers: readonly (string | Buffer)[]): number[] {
  return markers.flatMap((marker) => {
    const found: number[] = [];
    for (let at = bytes.indexOf(marker); at >= 0; at = bytes.indexOf(marker, at + 1)) found.push(at);
    return found.map((at) => Math.max(0, Math.min(at - 64, bytes.length - 512)));
  });
}

async function search(bytes: Buffer): Promise<number> {
  const volume = memoryTarget(bytes);
  const { recognised } = await identify(volume);
  if (!recognised) return 0;
  const found = await referencePatches(volume, { recognised, name: 'partition 1' }, [{ from: OLD, to: NEW }]);
  let end = 0;
  for (const patch of found?.patches ?? []) {
    assert.ok(patch.offset >= end && patch.offset + patch.bytes.length <= bytes.length);
    assert.ok(NEW.includes(patch.bytes.toString('latin1')));
    end = patch.offset + patch.bytes.length;
  }
  return found?.patches.length ?? 0;
}

async function attack(name: string, places: readonly number[], bytes: Buffer, finish = () => {}): Promise<void> {
  assert.ok(places.length > 0);
  assert.ok((await search(bytes)) >= 900, 'undamaged, all of them are found');
  let less = 0;
  await manyRounds(name, ROUNDS, async () => {
    const repair = damage(bytes, random.pick(places), 192, random);
    finish();
    try {
      if ((await search(bytes)) < 900) less += 1;
    } finally {
      repair();
      finish();
    }
  });
  assert.ok(less > 0, 'no damage was ever met');
}

for (const bits of [12, 16, 32] as const) {
  test(`${ROUNDS} damaged FAT${bits}`, async () => {
    makeFat(image, { size: (bits === 32 ? 40 : 8) * MiB, bits, sectorsPerCluster: bits === 12 ? 8 : 1 });
    const tree = join(folder, `tree${bits}`);
    fill(tree);
    run('sh', ['-c', 'mcopy -s -Q -i "$1" "$2"/* ::/', 'sh', image, tree]);
    const bytes = readFileSync(image);
    const table = bytes.readUInt16LE(14) * 512;
    await attack(`fat${bits}`, [table, table, ...placesOf(bytes, ['GRUBX64 EFI', 'DEBIAN  ', 'FSTAB   '])], bytes);
  });
}

test(`${ROUNDS} damaged ext4`, async () => {
  makeImage(image, 16 * MiB, ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum']);
  mounted(image, fill);
  const bytes = readFileSync(image);
  const inode = /located at block (\d+), offset (0x[0-9a-f]+)/;
  const inodes = ['/etc', '/etc/fstab', '/loader/entries'].map((path) => {
    const [, block, offset] = inode.exec(run('debugfs', ['-R', `imap ${path}`, image])) ?? [];
    return Number(block) * 1024 + Number(offset);
  });
  await attack('ext4', [...inodes, ...placesOf(bytes, ['fstab', 'entries', 'grub.cfg'])], bytes);
});

test(`${ROUNDS} damaged XFS, checksums right`, async () => {
  makeXfs(image, 32 * MiB, []);
  mountedXfs(image, fill);
  const bytes = readFileSync(image);
  const inodes: number[] = [];
  for (let at = bytes.indexOf('IN'); at >= 0; at = bytes.indexOf('IN', at + 1)) if (at % 512 === 0) inodes.push(at);
  const seal = (): void => {
    for (const at of inodes) {
      const inode = bytes.subarray(at, at + 512);
      inode.writeUInt32LE(0, 100);
      inode.writeUInt32LE(crc32c(inode), 100);
    }
  };
  await attack('xfs', inodes, bytes, seal);
});

test(`${ROUNDS} damaged NTFS are asked for a path and a new serial number`, async () => {
  makeNtfs(image, { size: 8 * MiB, clusterSize: 512 });
  await withNtfsMounted(image, (root) => mkdirSync(join(root, 'Windows/System32'), { recursive: true }));
  const bytes = readFileSync(image);
  assert.is(await hasPath(memoryTarget(bytes), '/windows/SYSTEM32'), true);
  assert.is(await hasPath(memoryTarget(bytes), '/Windows/System33'), false);
  const places = [0, ...placesOf(bytes, [Buffer.from('Windows', 'utf16le'), Buffer.from('System32', 'utf16le')])];
  await manyRounds('ntfs', ROUNDS, async () => {
    const repair = damage(bytes, random.pick(places), 128, random);
    try {
      await hasPath(memoryTarget(bytes), '/windows/SYSTEM32');
      for (const { offset, bytes: id } of (await idPatches(memoryTarget(bytes), 'ntfs', '0123456789ABCDEF')) ?? []) {
        assert.ok(offset + id.length <= bytes.length);
      }
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    } finally {
      repair();
    }
  });
});

test.run();
