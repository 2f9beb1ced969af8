// EFI partitions made anew for other sectors: complete, the same each time, and clean, as dosfstools and mtools see them.

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { fat } from '../../src/filesystem/fat/plugin.js';
import { type FatGeometry, hashFat } from '../support/fat-volume.js';
import { fileSource } from '../support/file-source.js';
import { withSectors } from '../support/moved.js';
import { thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { ESP_FILES, leftovers, makeEsp, rebuild } from '../support/rebuild.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const scratch = scratchFolder();
const random = randomFrom(SEED);
const LOADER = 'EFI/BOOT/BOOTX64.EFI';
let files = 0;

function hashes(image: string): Map<string, string> {
  files += 1;
  return hashFat(image, join(scratch, `hashed-${files}`));
}

/** As mattrib and mdir show them: attributes, sizes, times. */
function listing(image: string): string[] {
  const env = { TZ: 'UTC', LC_ALL: 'C.UTF-8' };
  const attributes = run('mattrib', ['-/', '-i', image, '::/'], { env });
  const times = run('mdir', ['-/', '-a', '-i', image, '::/'], { env });
  return [...attributes.split('\n'), ...times.split('\n').filter((line) => /\d\d\d\d-\d\d-\d\d/.test(line))].sort();
}

async function probe(image: string) {
  const volume = fileSource(image);
  const info = await fat.probe(volume);
  await volume.close();
  return info;
}

const ESP: FatGeometry = { size: 100 * MiB, bits: 32, sectorsPerCluster: 1 };
const CASES: readonly { from: FatGeometry; size: number; sectorSize: number; bits: number }[] = [
  { from: ESP, size: 100 * MiB, sectorSize: 4096, bits: 16 },
  { from: ESP, size: 300 * MiB, sectorSize: 4096, bits: 32 },
  { from: { size: 64 * MiB, bits: 16, sectorsPerCluster: 4 }, size: 64 * MiB, sectorSize: 4096, bits: 16 },
  { from: { size: 12 * MiB, bits: 12, sectorsPerCluster: 8 }, size: 12 * MiB, sectorSize: 4096, bits: 12 },
  {
    from: { size: 300 * MiB, bits: 32, sectorSize: 4096, sectorsPerCluster: 1 },
    size: 300 * MiB,
    sectorSize: 512,
    bits: 32,
  },
];

for (const { from, size, sectorSize, bits } of CASES) {
  test(`FAT${from.bits} of ${from.size / MiB} MiB to FAT${bits} of ${size / MiB} MiB in sectors of ${sectorSize}`, async () => {
    const image = join(scratch, `${from.bits}-${size}-${sectorSize}`);
    makeEsp(image, from, { random, extra: [LOADER] });
    const before = readFileSync(image);
    const file = `${image}.new`;
    const rebuilt = await rebuild(image, file, { size, sectorSize, startLba: 777 });
    assert.equal(rebuilt, { bits, notes: [] });
    assert.equal(leftovers(file), []);
    assert.ok(readFileSync(image).equals(before), 'the volume was changed');
    assert.is(readFileSync(file).length, size);
    assert.is(readFileSync(file).readUInt16LE(11), sectorSize);
    assert.is(readFileSync(file).readUInt32LE(0x1c), 777);
    await withSectors(file, sectorSize, async (device) => {
      assert.match(run('fsck.vfat', ['-n', device]), /\d+ files, \d+\/\d+ clusters/);
      assert.match(run('blkid', ['-p', device]), /LABEL="SAMPLE" UUID="00AB-CD12".* TYPE="vfat"/);
    });
    assert.is((await probe(file))?.kind, `fat${bits}`);
    assert.is(hashes(file).size, ESP_FILES.length + 1);
    assert.equal(hashes(file), hashes(image));
    assert.equal(listing(file), listing(image));
    assert.ok(listing(file).some((line) => /2003-04-10/.test(line)));
  });
}

test('the same volume gives the same bytes, whenever and wherever', async () => {
  const image = join(scratch, 'again');
  makeEsp(image, ESP, { random });
  const wanted = { size: 100 * MiB, sectorSize: 4096, startLba: 256 };
  mkdirSync(join(scratch, 'elsewhere'));
  const again = join(scratch, 'elsewhere', 'with another name');
  await rebuild(image, `${image}.1`, wanted);
  await sleep(2100); // times of a FAT count in two seconds
  await rebuild(image, again, wanted);
  assert.ok(readFileSync(`${image}.1`).equals(readFileSync(again)));
});

test('a missing fall-back loader is made of the one that is there', async () => {
  const image = join(scratch, 'fallback');
  makeEsp(image, ESP, { random });
  const file = `${image}.new`;
  const { notes } = await rebuild(image, file, { size: 100 * MiB, sectorSize: 4096, startLba: 256 });
  assert.is(notes.length, 1);
  assert.match(notes.join(), /BOOTX64.EFI was missing.* a copy of .*shimx64.efi/);
  const made = hashes(file);
  assert.is(made.get(LOADER), made.get('EFI/debian/shimx64.efi'));
  assert.is(made.get('EFI/BOOT/GRUBX64.EFI'), made.get('EFI/debian/grubx64.efi'));
  for (const [path, hash] of hashes(image)) assert.is(made.get(path), hash, path);
  assert.is(made.size, ESP_FILES.length + 2);
  run('fsck.vfat', ['-n', file]);
});

test('an empty FAT without a label', async () => {
  const image = join(scratch, 'empty');
  writeFileSync(image, Buffer.alloc(40 * MiB));
  run('mkfs.vfat', ['-F', '32', '-s', '1', image]);
  const { notes } = await rebuild(image, `${image}.new`, { size: 40 * MiB, sectorSize: 4096, startLba: 1 });
  assert.equal(notes, []);
  assert.is((await probe(`${image}.new`))?.label, '');
  assert.is((await probe(`${image}.new`))?.uuid, (await probe(image))?.uuid);
});

async function refusal(image: string, size: number): Promise<string> {
  const file = `${image}.refused`;
  const error = await thrownBy(() => rebuild(image, file, { size, sectorSize: 4096, startLba: 256 }));
  assert.ok(error instanceof ToolError, 'not refused');
  assert.not.ok(existsSync(file), 'something was left');
  assert.equal(leftovers(file), []);
  return `${error.code}: ${error.message}`;
}

test('refused: too small for its files, or for any FAT; a damaged tree', async () => {
  const image = join(scratch, 'refused');
  makeEsp(image, ESP, { random });
  assert.match(await refusal(image, 2 * MiB), /cannot-rebuild: .*its files need .* room for/);
  assert.match(await refusal(image, 32_768), /cannot-rebuild: .*no FAT has 32 KiB/);
  const broken = `${image}-broken`;
  copyFileSync(image, broken);
  const bytes = readFileSync(broken);
  const table = bytes.readUInt16LE(14) * 512;
  const length = bytes.readUInt32LE(36) * 512;
  // The chain of a long file ends too early, in both tables.
  for (const at of [table, table + length]) bytes.writeUInt32LE(0x0fffffff, at + 4 * 200);
  writeFileSync(broken, bytes);
  assert.match(await refusal(broken, 100 * MiB), /not-movable: .*have no clusters/);
});

test('a file in the way stays, and nothing is left of the attempt', async () => {
  const image = join(scratch, 'way');
  makeEsp(image, ESP, { random });
  const file = `${image}.new`;
  writeFileSync(file, 'mine');
  const error = await thrownBy(() => rebuild(image, file, { size: 100 * MiB, sectorSize: 4096, startLba: 0 }));
  assert.match(String(error), /EEXIST/);
  assert.is(readFileSync(file, 'utf8'), 'mine');
});

test.run();
