// Whole disks (GPT, MBR and bare file systems) with random damage through everything that looks before a clone writes:
// each ends in a plan or in a ToolError, in bounded time and memory.

import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import type { DiskIdentity } from '../../src/device/identity.js';
import { extentEnd } from '../../src/map/extent.js';
import { allocationOf } from '../../src/plan/allocation.js';
import { UNMOVED } from '../../src/plan/arrangement.js';
import { planLayout } from '../../src/plan/clone-plan.js';
import { withExclusions } from '../../src/plan/exclusions.js';
import { inspectDisk, inspectForensic } from '../../src/plan/inspect.js';
import { targetContent } from '../../src/plan/target-content.js';
import { sliceSource } from '../../src/source/slice.js';
import { damage } from '../support/damage.js';
import { manyRounds } from '../support/many-rounds.js';
import { buildGpt, memoryDisk, putEntry } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { SAMPLE, SAMPLE_SIZE, sampleDisk } from '../support/sample-disk.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const ROUNDS = rounds({ short: 1200, long: 100_000 });
const random = randomFrom(SEED);
const scratch = scratchFolder();
const sample = readFileSync(sampleDisk(scratch, 'sample.img'));
const PARTS = [SAMPLE.fat, SAMPLE.ext4, SAMPLE.ntfs];

/** Where damage hurts: tables at both ends, and the metadata of each file system. */
const gptSpots = [
  { offset: 0, length: 34 * 512 },
  { offset: SAMPLE_SIZE - 33 * 512, length: 33 * 512 },
  ...PARTS.map(({ offset }) => ({ offset, length: 8192 })),
  ...PARTS.map(({ offset, length }) => ({ offset, length })),
];

/** The same volumes behind an MBR, one of them logical. */
function mbrDisk(): Buffer {
  const disk = Buffer.from(sample);
  disk.fill(0, 0, MiB);
  disk.fill(0, SAMPLE_SIZE - MiB);
  const at = ({ offset }: { offset: number }): number => offset / 512;
  putEntry(disk, { at: 446, type: 0x0c, start: at(SAMPLE.fat), count: SAMPLE.fat.length / 512 });
  putEntry(disk, { at: 462, type: 0x83, start: at(SAMPLE.ext4), count: SAMPLE.ext4.length / 512 });
  // The extended partition lies in the free end of the disk and holds two small logical ones.
  const first = at(SAMPLE.ntfs) + SAMPLE.ntfs.length / 512;
  putEntry(disk, { at: 478, type: 0x05, start: first, count: 4000 });
  putEntry(disk, { at: first * 512 + 446, type: 0x83, start: 8, count: 800 });
  putEntry(disk, { at: first * 512 + 462, type: 0x05, start: 1000, count: 900 });
  putEntry(disk, { at: (first + 1000) * 512 + 446, type: 0x83, start: 8, count: 800 });
  for (const lba of [0, first, first + 1000]) disk.writeUInt16BE(0x55aa, lba * 512 + 510);
  return disk;
}

const first = (SAMPLE.ntfs.offset + SAMPLE.ntfs.length) / 512;
const KINDS = [
  { name: 'GPT', bytes: sample, spots: gptSpots, volumes: 3 },
  {
    name: 'MBR',
    bytes: mbrDisk(),
    volumes: 4,
    spots: [
      { offset: 440, length: 72 },
      { offset: first * 512 + 440, length: 72 },
      { offset: (first + 1000) * 512 + 440, length: 72 },
      ...gptSpots.slice(2),
    ],
  },
  {
    name: 'a GPT of 4096-byte sectors',
    bytes: buildGpt({
      sectorSize: 4096,
      sectorCount: 1024,
      partitions: [
        { index: 0, first: 6, last: 100, name: 'one' },
        { index: 9, first: 200, last: 900, name: 'two' },
      ],
    }),
    spots: [
      { offset: 0, length: 6 * 4096 },
      { offset: 1019 * 4096, length: 5 * 4096 },
    ],
    volumes: 2,
  },
  ...PARTS.map(({ offset, length }, index) => ({
    name: `a bare ${['FAT', 'ext4', 'NTFS'][index]}`,
    bytes: Buffer.from(sample.subarray(offset, offset + length)),
    spots: [
      { offset: 0, length: 4096 },
      { offset: 0, length },
    ],
    volumes: 1,
  })),
];

const identity: DiskIdentity = {
  kind: 'file',
  path: 'disk',
  id: 'disk',
  model: '',
  size: SAMPLE_SIZE,
  key: 'key',
  volatileName: false,
};

/** What `clone`, `inspect` and a target's check do with a disk. Throws whatever is not a ToolError. */
async function lookAt(bytes: Buffer, target: { size: number; sectorSize: number | undefined }): Promise<number> {
  const disk = memoryDisk(bytes);
  let volumes = -1;
  for (const forensic of [false, true]) {
    try {
      const seen = await (forensic ? inspectForensic : inspectDisk)(disk, identity);
      const report = await withExclusions(disk, seen);
      volumes = report.volumes.length;
      for (const volume of report.volumes) {
        assert.ok(extentEnd(volume.extent) <= disk.size);
        const slice = sliceSource(disk, volume.extent, volume.name);
        const { map } = await allocationOf(slice, volume, { forensic, leaveOut: true });
        let end = -1;
        for await (const extent of map.usedExtents({ offset: 0, length: slice.size })) {
          assert.ok(extent.offset > end && extent.length > 0, 'ascending, joined');
          end = extentEnd(extent);
        }
        assert.ok(end <= slice.size, 'inside the volume');
      }
      const layout = await planLayout({
        source: disk,
        report,
        target: { name: 't', ...target },
        only: undefined,
        forensic,
        leaveOut: true,
        arrangement: UNMOVED,
      });
      for (const { targetExtent, used } of layout.volumes) {
        assert.ok(extentEnd(targetExtent) <= target.size && used <= targetExtent.length);
      }
      for (const { offset, bytes: piece } of layout.pieces) assert.ok(offset + piece.length <= target.size);
    } catch (error) {
      // A forensic look is stopped by nothing but a target that does not fit.
      if (!(error instanceof ToolError) || (forensic && error.family !== 'safety')) throw error;
    }
  }
  await targetContent(disk, { identity, scope: 'disk' });
  return volumes;
}

for (const { name, bytes, spots, volumes } of KINDS) {
  test(`${name}: the undamaged disk is understood`, async () => {
    assert.is(await lookAt(bytes, { size: bytes.length, sectorSize: undefined }), volumes);
  });

  test(`${name}: ${Math.ceil(ROUNDS / KINDS.length)} damaged disks`, async () => {
    await manyRounds(name, Math.ceil(ROUNDS / KINDS.length), async () => {
      const { offset, length } = random.pick(spots);
      const repair = damage(bytes, offset, length, random);
      const size = random.pick([
        bytes.length,
        bytes.length,
        bytes.length + random.below(9 * MiB),
        random.below(bytes.length),
      ]);
      try {
        await lookAt(bytes, { size, sectorSize: random.pick([0, 0, 512, 4096]) || undefined });
      } finally {
        repair();
      }
    });
  });
}

test('disks of every small size', async () => {
  for (let size = 0; size < 3000; size += 1) {
    const bytes = Buffer.from(sample.subarray(0, size));
    await lookAt(bytes, { size, sectorSize: undefined });
  }
});

test.run();
