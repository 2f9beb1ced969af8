// FAT and exFAT at another place, judged by dosfstools, mtools and exfatprogs.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { fatNeedsRebuild } from '../../src/reshape/after-move/fat.js';
import { memoryTarget } from '../../src/source/memory.js';
import { fillExfat, makeExfat, runExfat, sealExfat, withExfatMounted } from '../support/exfat-volume.js';
import { fillFat, hashFat, makeFat } from '../support/fat-volume.js';
import { adaptationOf, type Journey, moveVolume } from '../support/moved.js';
import { hashTree } from '../support/ntfs-mount.js';
import { thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const HIDDEN = 0x1c;
const PARTITION_OFFSET = 64;
const scratch = scratchFolder();
const random = randomFrom(SEED);
const at = (startLba: number, sectorSize = 512): Journey['source'] => ({ startLba, sectorSize });

async function refusal(path: string, journey: Journey): Promise<string> {
  const error = await thrownBy(() => adaptationOf(path, journey));
  assert.ok(error instanceof ToolError, 'not refused');
  return `${error.code}: ${error.message}`;
}

for (const { bits, size } of [
  { bits: 12, size: 6 * MiB },
  { bits: 16, size: 40 * MiB },
  { bits: 32, size: 40 * MiB },
] as const) {
  test(`FAT${bits}: hidden sectors, also in the backup`, async () => {
    const path = join(scratch, `fat${bits}`);
    makeFat(path, { size, bits, sectorsPerCluster: bits === 32 ? 1 : 4 });
    mkdirSync(`${path}-work`);
    fillFat(path, `${path}-work`, random, { budget: MiB });
    const bytes = readFileSync(path);
    const boots = bits === 32 ? [0, 6 * 512] : [0];
    for (const offset of boots) bytes.writeUInt32LE(2048, offset + HIDDEN);
    writeFileSync(path, bytes);
    const moved = await moveVolume(path, { source: at(2048), target: at(206_848) });
    assert.is(moved.patches.length, boots.length);
    assert.match(run('fsck.vfat', ['-n', '-v', moved.path]), / 206848 hidden sectors/);
    assert.is(readFileSync(moved.path).readUInt32LE((boots.at(-1) ?? 0) + HIDDEN), 206_848);
    assert.equal(hashFat(moved.path, `${path}-after`), hashFat(path, `${path}-before`));
    assert.match(
      await refusal(path, { source: at(2048), target: at(256, 4096) }),
      /sector-size-stays: .*sectors of 512/,
    );
  });
}

test('a FAT has to be made anew only where its sectors are not those of the target', async () => {
  const path = join(scratch, 'fat4096');
  makeFat(path, { size: 40 * MiB, bits: 16, sectorSize: 4096, sectorsPerCluster: 1 });
  const ask = (from: number, to: number): Promise<boolean> =>
    fatNeedsRebuild({
      volume: memoryTarget(readFileSync(path)),
      filesystem: { kind: 'fat16' },
      source: at(8, from),
      target: at(8, to),
    });
  assert.equal([await ask(4096, 512), await ask(512, 4096), await ask(512, 512)], [true, false, false]);
});

function makeMoving(name: string, offset: number, sectorSize = 512): string {
  const path = join(scratch, name);
  makeExfat(path, { size: 20 * MiB, clusterSize: 4096, sectorSize });
  withExfatMounted(path, (folder) => fillExfat(folder, random, { budget: 2 * MiB }), { sectorSize });
  const bytes = readFileSync(path);
  const length = 12 * sectorSize;
  for (const region of [bytes.subarray(0, length), bytes.subarray(length, 2 * length)]) {
    region.writeBigUInt64LE(BigInt(offset), PARTITION_OFFSET);
    sealExfat(region);
  }
  writeFileSync(path, bytes);
  return path;
}

function offsetsIn(path: string, sectorSize = 512): number[] {
  const bytes = readFileSync(path);
  return [0, 12 * sectorSize].map((region) => Number(bytes.readBigUInt64LE(region + PARTITION_OFFSET)));
}

function fsckExfat(path: string): number {
  return tryRun('fsck.exfat', ['-n', path]).status;
}

test('exFAT: the partition offset in both regions, under right checksums', async () => {
  const path = makeMoving('exfat', 2048);
  assert.is(fsckExfat(path), 0);
  const moved = await moveVolume(path, { source: at(2048), target: at(7_000_000_000) });
  assert.is(moved.patches.length, 4);
  assert.equal(offsetsIn(moved.path), [7_000_000_000, 7_000_000_000]);
  assert.match(runExfat('fsck.exfat', ['-n', moved.path]), /clean/);
  const hashes = (image: string) => withExfatMounted(image, hashTree, { readOnly: true });
  assert.equal(hashes(moved.path), hashes(path));
  // The judge sees it if a checksum is missing.
  const bytes = readFileSync(moved.path);
  bytes.writeUInt8(1, PARTITION_OFFSET);
  writeFileSync(moved.path, bytes);
  assert.is.not(fsckExfat(moved.path), 0);
});

test('exFAT: an offset of 0 stays 0; a damaged region stays as it is', async () => {
  const none = await moveVolume(makeMoving('exfat-0', 0), { source: at(2048), target: at(4096) });
  assert.equal(none.patches, []);
  const path = makeMoving('exfat-damaged', 2048);
  const bytes = readFileSync(path);
  bytes.writeUInt8(0xff, 12 * 512 + 300);
  writeFileSync(path, bytes);
  const moved = await moveVolume(path, { source: at(2048), target: at(4096) });
  assert.equal(offsetsIn(moved.path), [4096, 2048]);
  assert.match(moved.notes.join(), /checksum of its backup boot region is wrong/);
});

test('exFAT: refused on larger sectors, noted on smaller ones', async () => {
  const small = makeMoving('exfat-512', 2048);
  assert.match(
    await refusal(small, { source: at(2048), target: at(256, 4096) }),
    /boot regions count in sectors of 512/,
  );
  const large = makeMoving('exfat-4096', 256, 4096);
  const moved = await moveVolume(large, { source: at(256, 4096), target: at(8192) });
  assert.match(moved.notes.join(), /goes on counting in sectors of 4096/);
  assert.equal(offsetsIn(moved.path, 4096), [1024, 1024], 'in its own sectors');
  assert.is(fsckExfat(moved.path), 0);
  const odd = await moveVolume(large, { source: at(256, 4096), target: at(2049) });
  assert.equal(offsetsIn(odd.path, 4096), [0, 0], 'no multiple of them');
});

test.run();
