// A GPT disk with ext4 and NTFS whose files are damaged, on 512 and 4096 byte sectors, large enough for worker threads:
// every other file is whole, and the mapfile names the very sectors that are bad.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { type Extent, normalise } from '../../src/map/extent.js';
import { HAS_BAD_SECTORS, sectorsOf, withBadSectors } from '../support/bad-sectors.js';
import { demandSoundTable, oldFile } from '../support/clone-judge.js';
import { type BuiltDisk, buildDisk, listDisk } from '../support/disk-builder.js';
import { ectypeUntil } from '../support/ending.js';
import { EXT4, type Listing, NTFS } from '../support/partition-content.js';
import { randomFrom, SEED } from '../support/random.js';
import { extentsOf, unreadableOf } from '../support/rescue-scene.js';
import { LONG } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const folder = scratchFolder();
const random = randomFrom(SEED);

/** Sectors in the middle of the partition that hold data; the sides of a file system hold its own structures. */
function dataSectors(disk: Buffer, { offset, length }: Extent, sectorSize: number): Extent[] {
  const found: Extent[] = [];
  const start = offset + Math.floor(length / 8 / sectorSize) * sectorSize;
  for (let at = start; found.length < 3 && at < offset + length; at += sectorSize * random.between(1, 60)) {
    const bytes = disk.subarray(at, at + sectorSize);
    const distinct = new Set(bytes).size;
    if (distinct > 150) found.push({ offset: at, length: sectorSize });
  }
  return found;
}

function differing(found: Listing, wanted: Listing): string[] {
  return [...wanted].filter(([name, digest]) => found.get(name) !== digest).map(([name]) => name);
}

async function rescues(sectorSize: 512 | 4096): Promise<void> {
  const disk: BuiltDisk = await buildDisk(
    {
      path: join(folder, `source-${sectorSize}.img`),
      size: 96 * MiB,
      table: 'gpt',
      sectorSize,
      partitions: [
        { content: EXT4, size: (40 * MiB) / sectorSize },
        { content: NTFS, size: (40 * MiB) / sectorSize },
      ],
    },
    random,
  );
  const content = readFileSync(disk.path);
  const wanted = await listDisk(disk.path, disk.partitions);
  const bad = normalise(disk.partitions.flatMap(({ extent }) => dataSectors(content, extent, sectorSize)));
  assert.ok(bad.length >= 2, `only ${bad.length} bad sectors (seed ${SEED})`);
  const target = oldFile(join(folder, `target-${sectorSize}.img`), disk.size);
  const clone = (device: string) =>
    ectypeUntil(['clone', '--yes', '--json', '--rescue', '--verify', `--overwrite-target=${target}`, device, target], {
      state: join(folder, `state-${sectorSize}`),
    });
  const first = await withBadSectors(disk.path, bad, clone, { sectorSize });
  const found = unreadableOf(first);
  const seen = extentsOf(found);
  assert.equal(sectorsOf(found.mapfile, '-'), normalise(seen));
  // Noise in free space is not asked for, so a bad sector there is none.
  assert.ok(seen.length > 0 && seen.every((extent) => bad.some((each) => each.offset <= extent.offset)));
  demandSoundTable(disk, target);
  const held = readFileSync(target);
  for (const { offset, length } of seen) assert.ok(held.subarray(offset, offset + length).every((byte) => byte === 0));
  const listed = await listDisk(target, disk.partitions, { check: true });
  let damaged = 0;
  for (const [number, listing] of wanted) {
    const names = differing(listed.get(number) ?? new Map(), listing);
    assert.is(listed.get(number)?.size, listing.size, `partition ${number}`);
    assert.ok(names.length <= 3, `partition ${number}: ${names}`);
    damaged += names.length;
  }
  assert.ok(damaged > 0, 'a bad sector in a file damages it');
  // Readable again: whole.
  const again = await withBadSectors(disk.path, [], clone, { sectorSize });
  assert.is(again.status, 0, again.stdout.slice(-400));
  assert.equal(await listDisk(target, disk.partitions, { check: true }), wanted);
  assert.ok(readFileSync(disk.path).equals(content), 'the source changed');
}

if (HAS_BAD_SECTORS) {
  // One of them in every run, by its seed.
  for (const sectorSize of ([512, 4096] as const).filter((_, index) => LONG || index === SEED % 2)) {
    test(`damaged files in sectors of ${sectorSize} bytes`, () => rescues(sectorSize));
  }
}

test.run();
