// Who owns what on FAT12/16/32: every cluster of every file by its content, which lies nowhere else; chains are fragmented.

import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { fat } from '../../src/filesystem/fat/plugin.js';
import { memoryTarget } from '../../src/source/memory.js';
import { damage } from '../support/damage.js';
import { fillFat, makeFat } from '../support/fat-volume.js';
import { faultySource } from '../support/faulty.js';
import { assertContent, assertCovered, assertSameInParts, bytesOf, ownerAt, ownersOf } from '../support/owners.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();

for (const { bits, size, sectorsPerCluster } of [
  { bits: 12, size: 4 * MiB, sectorsPerCluster: 4 },
  { bits: 16, size: 24 * MiB, sectorsPerCluster: 4 },
  { bits: 32, size: 40 * MiB, sectorsPerCluster: 1 },
] as const) {
  const work = join(scratch, `${bits}`);
  const image = join(scratch, `fat${bits}.img`);
  const random = randomFrom(SEED + bits);
  makeFat(image, { size, bits, sectorsPerCluster });
  mkdirSync(work);
  fillFat(image, work, random, { budget: size / 4 });
  const bytes = readFileSync(image);
  const volume = memoryTarget(bytes);
  const clusterSize = sectorsPerCluster * 512;

  test(`FAT${bits}: files, directories, tables, free clusters`, async () => {
    const owners = await ownersOf(fat, volume);
    const out = join(work, 'out');
    mkdirSync(out);
    run('mcopy', ['-i', image, '-s', '-Q', '-n', '::/*', out]);
    const files = readdirSync(out, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [[`/${relative(out, path)}`], readFileSync(path)] as const);
    assert.ok(files.length > 10);
    assert.ok(assertContent(owners, bytes, { files, clusterSize }) > 100);
    const names = new Set(owners.flatMap((owner) => owner.names));
    for (const name of [
      'boot sector',
      'file allocation table 2',
      'directory /',
      'directory /Folder with a long name 0/deep',
    ]) {
      assert.ok(names.has(name), name);
    }
    assert.is(
      bytesOf(owners, ({ kind, names: some }) => kind !== 'free' && some.length === 0),
      0,
    );
    const free = bytesOf(owners, ({ kind }) => kind === 'free');
    const said = Number(/([\d ]+) bytes free/.exec(run('mdir', ['-i', image, '::/']))?.[1]?.replaceAll(' ', ''));
    assert.ok(free - said >= 0 && free - said < clusterSize, `${free} bytes, mdir says ${said}`);
    await assertSameInParts(fat, volume, { whole: owners, random, count: 60 });
  });

  test(`FAT${bits}: the second table tells what the first cannot`, async () => {
    const owners = await ownersOf(fat, volume);
    const files = owners.filter(({ kind }) => kind === 'file');
    const place = random.pick(files).extent.offset;
    const table = owners.find(({ names }) => names[0] === 'file allocation table 1')?.extent;
    assert.ok(table);
    const failing = faultySource(volume, { faults: [{ verbs: ['read'], within: table, errno: 'EIO' }] });
    const info = await fat.probe(failing);
    assert.ok(info);
    const told = (await fat.ownersOf?.(failing, info, [{ offset: place, length: 1 }])) ?? [];
    assert.equal(told[0]?.names, ownerAt(owners, place).names);
  });

  test(`FAT${bits}: damage never throws nor hangs`, async () => {
    const owners = await ownersOf(fat, volume);
    const places = owners.flatMap(({ kind, extent }) => (kind === 'structure' && extent.length >= 512 ? [extent] : []));
    const whole = [{ offset: 0, length: bytes.length }];
    for (let round = 0; round < rounds({ short: 12, long: 2000 }); round += 1) {
      const place = random.pick(places);
      const repair = damage(bytes, place.offset, Math.min(place.length, 4096), random);
      const info = await fat.probe(volume);
      if (info) assertCovered(whole, (await fat.ownersOf?.(volume, info, whole)) ?? []);
      repair();
    }
  });
}

test.run();
