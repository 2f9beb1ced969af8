// clone --rescue of a disk with real bad sectors, by the real command line: what is read, what is kept, what becomes
// zeros, run after run; and what a run leaves that is stopped, killed or out of time.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Extent, normalise } from '../../src/map/extent.js';
import { HAS_BAD_SECTORS, sectorsOf, withBadSectors } from '../support/bad-sectors.js';
import type { JsonEvent } from '../support/cli.js';
import { ectypeUntil } from '../support/ending.js';
import { SEED } from '../support/random.js';
import {
  BLOCK,
  changedBlocks,
  extentsOf,
  type RescueScene,
  rescueScenes,
  resultOf,
  SECTOR,
  sector,
  unreadableOf,
} from '../support/rescue-scene.js';
import { LONG } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { demandMarked, hasTable } from '../support/trouble.js';

const folder = scratchFolder();
const newScene = rescueScenes(folder, SEED);

/** A block in each partition that differs between the versions. */
function twoBlocks({ disk, versions }: RescueScene): [Extent, Extent] {
  const [raw] = changedBlocks(disk.raw, versions);
  const [ext4] = changedBlocks(disk.ext4, versions);
  assert.ok(raw && ext4, `no changed blocks (seed ${SEED})`);
  return [raw, ext4];
}

/** Both partitions hold the version, but for these extents. */
function demandEqual({ disk, held }: RescueScene, version: Buffer, except: readonly Extent[], name: string): void {
  const found = held({ offset: 0, length: disk.size });
  const wanted = Buffer.from(version);
  for (const { offset, length } of except) found.copy(wanted, offset, offset, offset + length);
  const { offset, length } = disk.raw;
  assert.ok(found.subarray(offset, offset + length).equals(wanted.subarray(offset, offset + length)), `${name}: raw`);
  for (let at = disk.ext4.offset; at < disk.ext4.offset + disk.ext4.length; at += 1024) {
    const block = wanted.subarray(at, at + 1024);
    const isFree = block.every((byte) => byte === 0); // what no file system uses is discarded, or left
    assert.ok(isFree || found.subarray(at, at + 1024).equals(block), `${name}: ext4 at ${at - disk.ext4.offset}`);
  }
}

const ended = (event: JsonEvent, phase: string): boolean => event.event === 'phase' && event['phase'] === phase;

if (HAS_BAD_SECTORS) {
  test('without --rescue the first bad sector ends the run and tells of --rescue', async () => {
    const scene = newScene();
    const [raw] = twoBlocks(scene);
    const bad = [sector(raw, 3)];
    const failed = await scene.clone(scene.versions[0], bad, []);
    const error = failed.events.at(-1);
    assert.is(failed.status, 4, JSON.stringify(error));
    assert.is(error?.['code'], 'device.cannot-read');
    assert.match(String(error?.['message']), /LBA \d+\): input\/output error/);
    assert.match(String(error?.['hint']), /--rescue/);
    demandMarked(scene.target);
    // With it, the same target is finished.
    const { changed } = resultOf(await scene.clone(scene.versions[0], bad), 8);
    assert.ok(changed && hasTable(scene.target));
  });

  test('without --rescue a clone stays as it is while nothing else differs', async () => {
    const scene = newScene();
    const [raw] = twoBlocks(scene);
    resultOf(await scene.clone(scene.versions[0], [], []), 0);
    const before = readFileSync(scene.target);
    const failed = await scene.clone(scene.versions[0], [sector(raw, 3)], []);
    assert.is(failed.status, 4);
    assert.ok(readFileSync(scene.target).equals(before));
  });

  test('--rescue of a healthy disk changes nothing: exit status 0, no mapfile', async () => {
    const scene = newScene();
    const { unreadable } = resultOf(await scene.clone(scene.versions[0], [], ['--rescue', '--verify']), 0);
    assert.is(unreadable, undefined);
    demandEqual(scene, scene.versions[0], [], 'healthy');
  });

  test('a first copy: zeros in the bad sectors and nowhere else, tried again by every later run', async () => {
    const scene = newScene();
    const [raw, ext4] = twoBlocks(scene);
    const [one, two] = scene.versions;
    const gap = { offset: 60 * SECTOR, length: 2 * SECTOR };
    const header = { offset: SECTOR, length: SECTOR };
    const bad = normalise([header, gap, sector(raw, 0), sector(raw, 100, 3), sector(ext4, 127)]);
    const first = unreadableOf(await scene.clone(one, bad, ['--rescue', '--verify']));
    assert.equal(extentsOf(first), bad);
    assert.equal(extentsOf(first, 'rebuilt'), [header]);
    assert.is(first.zeros, first.bytes - SECTOR);
    assert.equal(sectorsOf(first.mapfile, '-'), bad);
    assert.equal(sectorsOf(first.mapfile, '*'), []);
    demandEqual(scene, one, bad, 'first');
    for (const extent of bad.slice(1))
      assert.ok(
        scene.held(extent).every((byte) => byte === 0),
        'zeros',
      );
    assert.ok(hasTable(scene.target));
    // Bad again: nothing to write. One more sector gone, which the target has from the first run: it stays.
    const again = resultOf(await scene.clone(one, bad), 8);
    assert.is(again.changed, false);
    assert.is(again.amounts.written + again.amounts.zeroed, 0);
    const lost = sector(ext4, 5);
    const more = unreadableOf(await scene.clone(one, [...bad, lost]));
    assert.equal(extentsOf(more, 'kept'), [lost]);
    demandEqual(scene, one, bad, 'more');
    // Readable again.
    assert.is(resultOf(await scene.clone(two, []), 0).unreadable, undefined);
    demandEqual(scene, two, [], 'readable');
  });

  test('what an earlier run copied stays as long as it cannot be read, and is told with its date', async () => {
    const scene = newScene();
    const blocks = twoBlocks(scene);
    const [one, two] = scene.versions;
    const bad = blocks.map((block) => sector(block, 9));
    const start = new Date().toISOString();
    resultOf(await scene.clone(one, []), 0);
    const end = new Date().toISOString();
    const before = blocks.map(scene.held);
    for (const name of ['second', 'third']) {
      const found = unreadableOf(await scene.clone(two, bad, ['--rescue', '--verify']));
      assert.equal(extentsOf(found, 'kept'), normalise(bad), name);
      assert.is(found.zeros, 0, name);
      for (const { run = '' } of found.volumes.flatMap(({ extents }) => extents)) {
        assert.ok(start < run && run < end, `${name}: kept from ${run}`);
      }
      blocks.forEach((block, index) => {
        assert.ok(before[index]?.equals(scene.held(block)), `${name}: kept wholly`);
      });
      demandEqual(scene, two, blocks, name);
    }
    assert.is(resultOf(await scene.clone(two, []), 0).unreadable, undefined);
    demandEqual(scene, two, [], 'readable again');
  });

  test('boot code, gaps and what the marker covers are kept too, even over a run that was killed', async () => {
    const scene = newScene();
    const [one, two] = scene.versions;
    for (const version of [one, two]) version.fill(version === one ? 0x11 : 0x22, 40 * SECTOR, 80 * SECTOR);
    const bad = [sector({ offset: 0, length: BLOCK }, 50)];
    resultOf(await scene.clone(one, []), 0);
    const killed = await scene.clone(two, bad, ['--rescue'], {
      signal: 'SIGKILL',
      when: (event) => ended(event, 'commit'),
    });
    if (killed.signal === 'SIGKILL') assert.ok(!hasTable(scene.target) || killed.status === 8);
    const found = unreadableOf(await scene.clone(two, bad));
    assert.equal(extentsOf(found, 'kept'), bad);
    assert.ok(
      scene.held({ offset: 40 * SECTOR, length: 40 * SECTOR }).every((byte) => byte === 0x11),
      'the old gap',
    );
    assert.ok(hasTable(scene.target));
    resultOf(await scene.clone(two, []), 0);
    assert.ok(
      scene.held({ offset: 40 * SECTOR, length: 40 * SECTOR }).every((byte) => byte === 0x22),
      'the new gap',
    );
  });

  test('a single partition: its first blocks lie under the marker, and are kept over a run that was killed', async () => {
    const scene = newScene();
    const [one, two] = scene.versions;
    // A sector of the group descriptors: without them the partition is copied whole.
    const bad = [sector(scene.disk.ext4, 4), sector(scene.disk.ext4, 140)];
    const { offset } = scene.disk.ext4;
    const block = { offset, length: 2 * BLOCK };
    resultOf(await scene.clone(one, [], []), 0);
    resultOf(await scene.clone(one, [], ['--rescue'], undefined, '#2'), 0);
    const before = scene.held(block);
    const end = { signal: 'SIGKILL', when: (event: JsonEvent) => ended(event, 'commit') } as const;
    await scene.clone(two, bad, ['--rescue'], end, '#2');
    const found = unreadableOf(await scene.clone(two, bad, ['--rescue', '--verify'], undefined, '#2'));
    assert.equal(extentsOf(found, 'kept'), bad);
    assert.equal(sectorsOf(found.mapfile, '-'), bad);
    assert.ok(before.equals(scene.held(block)), 'kept wholly');
    resultOf(await scene.clone(two, [], ['--rescue'], undefined, '#2'), 0);
    const blocks = [0, 1, 2, 5, 100].map((index) => index * 1024);
    for (const at of blocks)
      assert.ok(
        scene.held({ offset: offset + at, length: 1024 }).equals(two.subarray(offset + at, offset + at + 1024)),
        `${at}`,
      );
  });

  test('killed in the middle of a rescue: the next run finishes it, and loses nothing of the old copy', async () => {
    const scene = newScene();
    const blocks = twoBlocks(scene);
    const [one, two] = scene.versions;
    const bad = blocks.map((block) => sector(block, 9, 2));
    resultOf(await scene.clone(one, []), 0);
    const before = blocks.map(scene.held);
    for (const phase of LONG ? ['rescue', 'commit'] : ['rescue']) {
      await scene.clone(two, bad, ['--rescue'], { signal: 'SIGKILL', when: (event) => ended(event, phase) });
    }
    const found = unreadableOf(await scene.clone(two, bad, ['--rescue', '--verify']));
    assert.equal(extentsOf(found, 'kept'), normalise(bad));
    blocks.forEach((block, index) => {
      assert.ok(before[index]?.equals(scene.held(block)), 'kept wholly');
    });
    demandEqual(scene, two, blocks, 'finished');
  });

  test('inspect shows a disk whose metadata cannot be read', async () => {
    const { disk, versions } = newScene();
    const path = join(folder, 'inspected.img');
    writeFileSync(path, versions[0]);
    const sectors = (...lbas: number[]): Extent[] => lbas.map((lba) => ({ offset: lba * SECTOR, length: SECTOR }));
    const look = (bad: readonly Extent[]): Promise<JsonEvent> =>
      withBadSectors(path, bad, async (device) => {
        const { status, events } = await ectypeUntil(['inspect', '--json', device], { state: join(folder, 'nowhere') });
        assert.is(status, 0, JSON.stringify(events));
        return events[0] as JsonEvent;
      });
    const superblock = disk.ext4.offset / SECTOR + 2;
    const { volumes, warnings } = await look(sectors(1, superblock));
    assert.match(String(warnings), /primary GPT header at LBA 1 cannot be read/);
    const copied = (volumes as { copied: { method: string } }[]).map((volume) => volume.copied.method);
    assert.equal(copied, ['whole', 'whole']);
    const { problem } = await look(sectors(0, 1, disk.size / SECTOR - 1));
    assert.match(String(problem), /damaged|cannot read/);
  });

  test('stopped by Ctrl-C: the mapfile says how far it came', async () => {
    const scene = newScene();
    const [raw] = twoBlocks(scene);
    const mapfile = `${scene.target}.map`;
    const words = ['--rescue', '--rescue-retries', '1000', '--mapfile', mapfile];
    const stopped = await scene.clone(scene.versions[0], [sector(raw, 9)], words, {
      signal: 'SIGINT',
      when: (event) => ended(event, 'rescue'),
    });
    assert.is(stopped.status, 130, stopped.stdout.slice(-300));
    assert.ok(existsSync(mapfile));
    assert.ok(sectorsOf(mapfile, '+').length > 0);
    assert.ok(sectorsOf(mapfile, '-').length + sectorsOf(mapfile, '*').length > 0);
    const found = unreadableOf(
      await scene.clone(scene.versions[0], [sector(raw, 9)], ['--rescue', '--mapfile', mapfile]),
    );
    assert.is(found.mapfile, mapfile);
    assert.equal(sectorsOf(mapfile, '-'), [sector(raw, 9)]);
  });

  test('time that is up: what was not gone over is told, and is not lost for later runs', async () => {
    const scene = newScene();
    const [raw] = twoBlocks(scene);
    const bad = [sector(raw, 9)];
    const found = unreadableOf(await scene.clone(scene.versions[0], bad, ['--rescue', '--rescue-time', '0']));
    const extents = found.volumes.flatMap((volume) => volume.extents);
    assert.ok(extents.length > 0 && extents.every(({ tried, fate }) => !tried && fate === 'zeros'));
    assert.ok(found.bytes >= BLOCK);
    assert.equal(sectorsOf(found.mapfile, '-'), []);
    demandEqual(scene, scene.versions[0], extents, 'out of time');
    const later = unreadableOf(await scene.clone(scene.versions[0], bad));
    assert.equal(extentsOf(later), bad);
    demandEqual(scene, scene.versions[0], bad, 'later');
  });
}

test.run();
