// Twins through the command line: IDs of their own in table and file systems, references rewritten, deltas as ever.

import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Bytes, MiB } from '../../src/base/units.js';
import { oldFile, sha256 } from '../support/clone-judge.js';
import { preparedDisk, type Wish } from '../support/clone-round-trip.js';
import { type BuiltDisk, changeDisk, listDisk, onPartition, partitionOf } from '../support/disk-builder.js';
import { type Ectype, ectypeIn } from '../support/ectype-cli.js';
import { EXT4, FAT32, type Listing, NTFS, SWAP, withFolder } from '../support/partition-content.js';
import { randomFrom, SEED } from '../support/random.js';
import { demandRescaled } from '../support/rescaled.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const sectors = (bytes: Bytes): number => bytes / 512;

const LINUX: Wish = {
  table: 'gpt',
  size: 480 * MiB,
  partitions: [
    { content: FAT32, size: sectors(40 * MiB) },
    { content: EXT4, size: sectors(100 * MiB) },
    { content: { kind: 'xfs', options: [] }, size: sectors(310 * MiB) },
    { content: SWAP, size: sectors(8 * MiB) },
  ],
};

const MBR: Wish = {
  table: 'mbr',
  size: 200 * MiB,
  partitions: [
    { content: EXT4, size: sectors(80 * MiB) },
    { content: NTFS, size: sectors(60 * MiB), logical: true },
    { content: SWAP, size: sectors(4 * MiB), logical: true },
  ],
};

const test = suite('twin');
const scratch = scratchFolder();

/** UUID and PARTUUID of each partition, as blkid reads them. */
function idsOf(disk: BuiltDisk): Map<number, { uuid: string; partition: string }> {
  const ids = new Map<number, { uuid: string; partition: string }>();
  const table = JSON.parse(run('sfdisk', ['--json', disk.path]));
  for (const { number, extent } of disk.partitions) {
    const place = ['-O', `${extent.offset}`, '-S', `${extent.length}`];
    const uuid = run('blkid', ['-p', '-o', 'value', '-s', 'UUID', ...place, disk.path]).trim();
    const start = extent.offset / disk.sectorSize;
    const entry = table.partitiontable.partitions.find((each: { start: number }) => each.start === start);
    ids.set(number, { uuid, partition: entry.uuid ?? table.partitiontable.id });
  }
  return ids;
}

async function readFile(disk: BuiltDisk, number: number, path: string): Promise<string> {
  const { extent, content } = partitionOf(disk, number);
  let text = '';
  const read = (file: string): Promise<void> =>
    withFolder(file, content, (folder) => {
      text = readFileSync(join(folder, path), 'utf8');
    });
  await onPartition(disk.path, extent, read, { write: false });
  return text;
}

/** A copy of the disk whose root names all volumes in its fstab. */
async function withFstab(wish: Wish, { folder, root }: { folder: string; root: number }): Promise<BuiltDisk> {
  const { disk: built } = await preparedDisk(scratch, wish);
  const disk = { ...built, path: join(folder, 'source.img') };
  copyFileSync(built.path, disk.path);
  const lines = [...idsOf(disk).values()].map(({ uuid, partition }) => `UUID=${uuid} /m auto x-id=${partition} 0 0`);
  const { extent, content } = partitionOf(disk, root);
  const write = (file: string): Promise<void> =>
    withFolder(file, content, (mounted) => {
      mkdirSync(join(mounted, 'etc'), { recursive: true });
      writeFileSync(join(mounted, 'etc/fstab'), `${lines.join('\n')}\n`);
    });
  await onPartition(disk.path, extent, write, { write: true });
  return disk;
}

/** All files but the fstab; of a swap area, whose only "file" is its header, that it is there. */
function withoutFstab(files: ReadonlyMap<number, Listing>): Map<number, Listing> {
  return new Map(
    [...files].map(([number, listing]): [number, Listing] => {
      const kept = [...listing].filter(([path]) => !path.includes('fstab'));
      return [number, new Map(listing.size === 1 ? kept.map(([path]) => [path, 'there']) : kept)];
    }),
  );
}

async function demandTwin(
  disk: BuiltDisk,
  target: string,
  root: number,
): Promise<Map<number, { uuid: string; partition: string }>> {
  const files = withoutFstab(await listDisk(disk.path, disk.partitions));
  const twin = await demandRescaled(disk, target, files, withoutFstab);
  const [old, now] = [idsOf(disk), idsOf(twin)];
  const fstab = await readFile(twin, root, 'etc/fstab');
  for (const [number, { uuid, partition }] of now) {
    assert.ok(uuid !== '' && uuid !== old.get(number)?.uuid, `volume ${number} has an ID of its own`);
    assert.is.not(
      partition.toLowerCase(),
      old.get(number)?.partition.toLowerCase(),
      `partition ${number} has one, too`,
    );
    assert.ok(fstab.includes(`UUID=${uuid} `), `fstab names volume ${number} by it`);
    assert.not.ok(fstab.includes(old.get(number)?.uuid ?? ''), 'and not by the old one');
  }
  return now;
}

async function live(
  name: string,
  wish: Wish,
  { root, size, options }: { root: number; size: Bytes; options: string[] },
) {
  const folder = join(scratch, name);
  mkdirSync(folder);
  const ectype: Ectype = ectypeIn(folder);
  const disk = await withFstab(wish, { folder, root });
  const digest = sha256(disk.path);
  const target = oldFile(join(folder, 'target.img'), size);
  const words = ['--identity', 'new', ...options];
  const first = ectype.clone(disk.path, target, `--overwrite-target=${target}`, ...words);
  assert.ok((first.references?.rewritten.length ?? 0) > 0, 'the fstab was rewritten');
  assert.equal(first.references?.unresolved, []);
  assert.equal(
    first.warnings.filter((warning) => /share an ID/.test(warning)),
    [],
  );
  const ids = await demandTwin(disk, target, root);
  assert.ok(ectype.verify(disk.path, target, ...words).equal, 'verify agrees');

  const before = sha256(target);
  const again = ectype.clone(disk.path, target, ...words);
  assert.not.ok(again.changed, 'a second run finds nothing to write');
  assert.equal(again.prepared, [], 'and makes no view');
  assert.is(sha256(target), before);
  assert.is(sha256(disk.path), digest, 'the source is what it was');

  await changeDisk(disk, { random: randomFrom(SEED) }, [root]);
  const delta = ectype.clone(disk.path, target, ...words);
  assert.ok(delta.changed && delta.amounts.written < first.amounts.written / 2);
  assert.equal(await demandTwin(disk, target, root), ids, 'the IDs stay');
}

test('a Linux disk on GPT', () => live('gpt', LINUX, { root: 2, size: LINUX.size, options: [] }));

test('a disk with logical partitions that grow', () =>
  live('mbr', MBR, { root: 1, size: 320 * MiB, options: ['--layout', 'fill'] }));

test.run();
