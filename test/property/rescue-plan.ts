// Planning over unreadable metadata: whatever sector of a file system cannot be read, nothing that it uses is left out.
// Zeros that stand for unreadable sectors must never be believed: in a bitmap they would mean "free".

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import type { DiskIdentity } from '../../src/device/identity.js';
import { type Extent, gaps, inUnits, normalise } from '../../src/map/extent.js';
import { allocationOf } from '../../src/plan/allocation.js';
import { inspectDisk, inspectForensic, inspectSingle } from '../../src/plan/inspect.js';
import { volumeToken } from '../../src/plan/tokens.js';
import { aroundHoles } from '../../src/source/around.js';
import { memoryTarget } from '../../src/source/memory.js';
import type { Source } from '../../src/source/types.js';
import { faultySource } from '../support/faulty.js';
import { buildGpt } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const SECTOR = 512;
const folder = scratchFolder();
const random = randomFrom(SEED);
const IDENTITY: DiskIdentity = { kind: 'file', path: 'x', id: 'x', model: '', size: 0, key: 'x', volatileName: false };

function tree(): string {
  const path = join(folder, 'tree');
  mkdirSync(path, { recursive: true });
  for (let n = 0; n < 12; n += 1) writeFileSync(join(path, `file-${n}`), random.bytes(random.between(1, 200_000)));
  return path;
}

const files = tree();
const image = (name: string): string => join(folder, name);
const MAKERS: Readonly<Record<string, (path: string) => void>> = {
  ext4: (path) => void run('mke2fs', ['-q', '-F', '-t', 'ext4', '-b', '1024', '-d', files, path, '16M']),
  ntfs: (path) => {
    writeFileSync(path, Buffer.alloc(16 * MiB));
    run('mkntfs', ['-q', '-F', '-f', '-c', '4096', '-s', '512', '-p', '0', '-H', '0', '-S', '0', path]);
  },
  fat16: (path) => {
    writeFileSync(path, Buffer.alloc(16 * MiB));
    run('mkfs.fat', ['-F', '16', path]);
    for (let n = 0; n < 12; n += 1) run('mcopy', ['-i', path, join(files, `file-${n}`), `::f${n}`]);
  },
  btrfs: (path) => {
    writeFileSync(path, Buffer.alloc(128 * MiB));
    run('mkfs.btrfs', ['-q', '-m', 'single', '-r', files, path]);
  },
  exfat: (path) => {
    writeFileSync(path, Buffer.alloc(16 * MiB));
    run('mkfs.exfat', [path]);
  },
  f2fs: (path) => {
    writeFileSync(path, Buffer.alloc(64 * MiB));
    run('mkfs.f2fs', ['-q', path]);
  },
};

function failing(bytes: Buffer, bad: readonly Extent[]): Source {
  return faultySource(memoryTarget(bytes, 'disk'), {
    faults: bad.map((within) => ({ verbs: ['read'], within, errno: 'EIO' })),
  });
}

async function usedOf(volume: Source): Promise<{ used: Extent[]; method: string; damaged: boolean }> {
  const [report] = (await inspectSingle(volume, IDENTITY, 'volume')).volumes;
  assert.ok(report);
  const { map, method, damaged } = await allocationOf(volume, report, { forensic: false, leaveOut: false });
  const used: Extent[] = [];
  for await (const extent of map.usedExtents({ offset: 0, length: volume.size })) used.push(extent);
  return { used, method, damaged };
}

/** Every sector that planning looks at. */
async function sectorsRead(bytes: Buffer): Promise<Extent[]> {
  const asked: Extent[] = [];
  const spy = faultySource(memoryTarget(bytes, 'disk'), { onRequest: (_, extent) => asked.push(extent) });
  await usedOf(spy);
  await volumeToken(spy);
  return normalise(asked).flatMap((extent) => inUnits(extent, SECTOR));
}

for (const [kind, make] of Object.entries(MAKERS)) {
  test(`${kind}: whatever cannot be read, nothing used is left out`, async () => {
    const path = image(kind);
    make(path);
    const bytes = readFileSync(path);
    const { used, method } = await usedOf(aroundHoles(memoryTarget(bytes, 'disk')));
    assert.is(method, 'allocated');
    const read = await sectorsRead(bytes);
    let whole = 0;
    for (let round = 0; round < rounds({ short: 30, long: 2000 }); round += 1) {
      // Once all of them, so that it matters in any case.
      const bad = round === 0 ? read : Array.from({ length: random.between(1, 3) }, () => random.pick(read));
      const found = await usedOf(aroundHoles(failing(bytes, bad)));
      if (found.method === 'whole') whole += 1;
      assert.ok(found.method === 'allocated' || found.damaged, 'copied whole without a warning');
      const covered = normalise(found.used);
      for (const extent of used) {
        const left = [...gaps(covered, extent)];
        assert.equal(left, [], `${kind}, bad ${JSON.stringify(bad)} (seed ${SEED})`);
      }
      const token = await volumeToken(aroundHoles(failing(bytes, bad)));
      assert.ok(token === undefined || token === (await volumeToken(memoryTarget(bytes, 'disk'))));
    }
    assert.ok(whole > 0, 'no unreadable sector mattered');
  });
}

test('without a rescue an unreadable superblock ends the planning', async () => {
  const bytes = readFileSync(image('ext4'));
  try {
    await usedOf(failing(bytes, [{ offset: 1024, length: SECTOR }]));
    assert.unreachable();
  } catch (error) {
    assert.is((error as ToolError).code, 'device.cannot-read');
  }
});

test('an unreadable end matters only where a RAID may lie behind the file system', async () => {
  const bytes = readFileSync(image('ext4'));
  const end = { offset: bytes.length - 8192, length: SECTOR };
  assert.is((await usedOf(aroundHoles(failing(bytes, [end])))).method, 'allocated');
  const longer = Buffer.concat([bytes, Buffer.alloc(MiB)]);
  const behind = { offset: longer.length - 8192, length: SECTOR };
  assert.is((await usedOf(aroundHoles(failing(longer, [])))).method, 'allocated');
  assert.is((await usedOf(aroundHoles(failing(longer, [behind])))).method, 'whole');
});

const GPT = buildGpt({
  sectorSize: SECTOR,
  sectorCount: 8192,
  partitions: [{ index: 0, first: 2048, last: 4095, name: 'one' }],
});
const sectorAt = (lba: number): Extent => ({ offset: lba * SECTOR, length: SECTOR });

test('a GPT is found as long as one of its copies can be read', async () => {
  for (const lbas of [[0], [1], [2], [0, 1], [0, 1, 2], [5, 60, 130], [8191], [8191, 8190]]) {
    const report = await inspectDisk(aroundHoles(failing(GPT, lbas.map(sectorAt))), IDENTITY);
    assert.is(report.table?.partitions.length, 1, `LBA ${lbas}`);
  }
});

test('a table that nothing can be read of is no missing table', async () => {
  const mbr = Buffer.alloc(4 * MiB);
  mbr.writeUInt16LE(0xaa55, 510);
  mbr.set([0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0], 446);
  for (const [bytes, lbas] of [
    [mbr, [0]],
    [GPT, [0, 1, 8191]],
  ] as const) {
    const disk = aroundHoles(failing(bytes, lbas.map(sectorAt)));
    try {
      await inspectDisk(disk, IDENTITY);
      assert.unreachable();
    } catch (error) {
      if (!(error instanceof ToolError)) throw error;
    }
    const { volumes, damage } = await inspectForensic(disk, IDENTITY);
    assert.equal(
      volumes.map(({ extent }) => extent),
      [{ offset: 0, length: bytes.length }],
    );
    assert.ok(damage);
  }
});

test.run();
