// Files are left out of an allocation only if the map agrees with them in every byte.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CLEAN, type ExcludedFile, type FilesystemPlugin } from '../../src/filesystem/plugin.js';
import { mapOfExtents } from '../../src/map/allocation-map.js';
import type { Extent } from '../../src/map/extent.js';
import { type Allocation, allocationOf, usedBytes } from '../../src/plan/allocation.js';
import { leavesOut } from '../../src/plan/exclusions.js';
import type { VolumeReport } from '../../src/plan/inspect.js';
import { memoryTarget } from '../../src/source/memory.js';

const SIZE = 4 << 20;
const volume = memoryTarget(Buffer.alloc(SIZE));
const extent = (offset: number, length: number): Extent => ({ offset, length });
const file = (...extents: Extent[]): ExcludedFile => ({ path: '/page', kind: 'page file', extents });

const filesystem = {
  kind: 'test',
  label: '',
  uuid: '',
  size: SIZE,
  blockSize: 4096,
  used: undefined,
  lastWritten: undefined,
};
const plugin: FilesystemPlugin = {
  name: 'test',
  probe: async () => filesystem,
  readState: async () => CLEAN,
  openAllocationMap: async () => mapOfExtents([extent(0, 100_000), extent(200_000, 50_000)], 1),
  token: async () => Buffer.alloc(16),
};

function allocation(excludable: readonly ExcludedFile[], forensic = false): Promise<Allocation> {
  const report: VolumeReport = {
    name: 'it',
    partition: undefined,
    extent: extent(0, SIZE),
    filesystem,
    plugin,
    state: CLEAN,
    foreign: undefined,
    unrecognised: '',
    excludable,
  };
  return allocationOf(volume, report, { forensic, leaveOut: true });
}

test('what is used, in any order, is taken out of the map', async () => {
  const { map, wiped, excluded } = await allocation([file(extent(220_000, 10_000), extent(90_000, 5_000))]);
  const used = [];
  for await (const each of map.usedExtents(extent(0, SIZE))) used.push(each);
  const left = [extent(0, 90_000), extent(95_000, 5_000), extent(200_000, 20_000), extent(230_000, 20_000)];
  assert.equal(used, left);
  assert.equal(wiped, [extent(90_000, 5_000), extent(220_000, 10_000)]);
  assert.is(excluded.length, 1);
});

test('a window into the map is cut as well', async () => {
  const { map } = await allocation([file(extent(90_000, 5_000))]);
  const used = [];
  for await (const each of map.usedExtents(extent(91_000, 5_000))) used.push(each);
  assert.equal(used, [extent(95_000, 1_000)]);
});

test('free, claimed twice, or partly free: nothing is left out, with a warning', async () => {
  for (const files of [
    [file(extent(150_000, 10))],
    [file(extent(99_999, 2))],
    [file(extent(10, 10), extent(15, 10))],
    [file(extent(10, 10)), file(extent(10, 10))],
    [file(extent(0, 10), extent(SIZE, 10))],
  ]) {
    const { map, wiped, excluded, notLeftOut } = await allocation(files);
    assert.is(await usedBytes(map, SIZE), 150_000);
    assert.equal([wiped, excluded], [[], []]);
    assert.match(notLeftOut, /contradicts the place of \/page/);
  }
});

test('a forensic copy asks the map all the same', async () => {
  const { map, method } = await allocation([file(extent(90_000, 5_000))], true);
  assert.is(method, 'whole');
  assert.is(await usedBytes(map, SIZE), SIZE - 5_000);
  assert.match((await allocation([file(extent(150_000, 10))], true)).notLeftOut, /contradicts/);
});

test('what the options mean', () => {
  assert.is(leavesOut({}), true);
  assert.is(leavesOut({ keepExcluded: true }), false);
  assert.is(leavesOut({ forensic: true }), false);
  assert.is(leavesOut({ forensic: true, excludePageFiles: true }), true);
});

test.run();
