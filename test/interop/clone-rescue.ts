// A GPT disk with ext4 and NTFS whose files are damaged, on 512 and 4096 byte sectors, large enough for worker threads:
// every other file is whole, and the mapfile names the very sectors that are bad.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { type Extent, normalise } from '../../src/map/extent.js';
import { ownersAt } from '../../src/operation/owners.js';
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

/** Sectors of files; what becomes of a file system without its own structures is another test's. */
async function dataSectors(path: string, { offset, length }: Extent, sectorSize: number): Promise<Extent[]> {
  const disk = readFileSync(path);
  const varied: number[] = [];
  for (let at = offset; varied.length < 200 && at < offset + length; at += sectorSize * random.between(1, 60)) {
    if (new Set(disk.subarray(at, at + sectorSize)).size > 150) varied.push(at);
  }
  const { places } = await ownersAt(
    path,
    varied.map((number) => ({ unit: 'byte', number })),
  );
  const inFiles = places.filter(({ kind, names }) => kind === 'file' && names.length > 0);
  const start = random.below(Math.max(1, inFiles.length - 3));
  return inFiles.slice(start, start + 3).map((place) => ({ offset: place.offset, length: sectorSize }));
}

function differing(found: Listing, wanted: Listing): string[] {
  return [...wanted].filter(([name, digest]) => found.get(name) !== digest).map(([name]) => name);
}

/** The files that the result names, as listings call them. */
function damagedFiles({ volumes }: ReturnType<typeof unreadableOf>, number: number): string[] {
  const owners = volumes.filter(({ name }) => name === `partition ${number}`).flatMap((volume) => volume.owners);
  const files = owners.filter(({ kind }) => kind === 'file').flatMap(({ names }) => names);
  return [...new Set(files)].map((path) => path.replace(/^\//, '')).sort();
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
  const sectors: Extent[] = [];
  for (const { extent } of disk.partitions) sectors.push(...(await dataSectors(disk.path, extent, sectorSize)));
  const bad = normalise(sectors);
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
    assert.equal(damagedFiles(found, number), names.sort(), `partition ${number} (seed ${SEED})`);
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
