// NTFS at another place and on other sectors, judged by ntfs-3g and its tools.

import { copyFileSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { adaptationOf, type Journey, moveVolume, withSectors } from '../support/moved.js';
import { hashTree, withNtfsMounted } from '../support/ntfs-mount.js';
import { fillFolder, makeNtfs } from '../support/ntfs-volume.js';
import { thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const scratch = scratchFolder();
const random = randomFrom(SEED);
const HIDDEN = 0x1c;

interface Made {
  readonly path: string;
  readonly hashes: Map<string, string>;
}

async function make(
  name: string,
  geometry: { size: number; clusterSize: number; sectorSize?: number; hidden?: number },
): Promise<Made> {
  const path = join(scratch, name);
  makeNtfs(path, geometry);
  if (geometry.hidden !== undefined) setHidden(path, geometry, geometry.hidden);
  await withNtfsMounted(path, (folder) => fillFolder(folder, random, { budget: 3 * MiB }));
  return { path, hashes: await hashesOf(path) };
}

function setHidden(
  path: string,
  { size, sectorSize = 512 }: { size: number; sectorSize?: number },
  hidden: number,
): void {
  const bytes = readFileSync(path);
  bytes.writeUInt32LE(hidden, HIDDEN);
  bytes.writeUInt32LE(hidden, size - sectorSize + HIDDEN);
  writeFileSync(path, bytes);
}

function hashesOf(path: string, device = path): Promise<Map<string, string>> {
  return withNtfsMounted(path, hashTree, { options: 'ro', device });
}

function clustersOf(path: string): string {
  return /Volume Size in Clusters: (\d+)/.exec(run('ntfsinfo', ['-m', path]))?.[1] ?? 'none';
}

/** Everything the tools of ntfs-3g can say about a volume on sectors of this size, and a writing mount. */
async function judge({ hashes, path: old }: Made, path: string, sectorSize: number): Promise<void> {
  await withSectors(path, sectorSize, async (device) => {
    assert.is(clustersOf(device), clustersOf(old));
    run('ntfsfix', ['-n', device]);
    assert.match(run('ntfsresize', ['--info', '--no-progress-bar', device]), /You might resize at/);
    assert.equal(await hashesOf(path, device), hashes);
    assert.is(await restoredFrom(path, sectorSize), true, 'the backup boot sector is of no use');
    await withNtfsMounted(path, (folder) => writeFileSync(join(folder, 'new'), 'content'), { device });
    const after = await hashesOf(path, device);
    after.delete('new');
    assert.equal(after, hashes);
    run('ntfsfix', ['-n', device]);
  });
}

/** True if ntfsfix repairs a volume without a boot sector from the backup, and it is the boot sector that was there. */
async function restoredFrom(path: string, sectorSize: number): Promise<boolean> {
  const copy = `${path}.headless`;
  copyFileSync(path, copy);
  const bytes = readFileSync(copy);
  const boot = Buffer.from(bytes.subarray(0, 512));
  bytes.fill(0, 0, 512);
  writeFileSync(copy, bytes);
  await withSectors(copy, sectorSize, async (device) => tryRun('ntfsfix', [device]));
  return readFileSync(copy).subarray(0, 512).equals(boot);
}

const at = (startLba: number, sectorSize = 512): Journey['source'] => ({ startLba, sectorSize });

test('moved: hidden sectors in both boot sectors, and nothing else', async () => {
  const made = await make('moved', { size: 24 * MiB, clusterSize: 4096, hidden: 2048 });
  const moved = await moveVolume(made.path, { source: at(2048), target: at(1_050_624) });
  assert.equal(moved.notes, []);
  assert.is(moved.patches.length, 2);
  assert.ok(moved.patches.every(({ bytes }) => bytes.length <= 4));
  for (const offset of [0, 24 * MiB - 512]) {
    assert.is(readFileSync(moved.path).readUInt32LE(offset + HIDDEN), 1_050_624);
  }
  await judge(made, moved.path, 512);
});

test('where it was: nothing; made on an image: nothing', async () => {
  const made = await make('stays', { size: 12 * MiB, clusterSize: 4096, hidden: 2048 });
  assert.equal((await moveVolume(made.path, { source: at(2048), target: at(2048) })).patches, []);
  setHidden(made.path, { size: 12 * MiB }, 0);
  assert.equal((await moveVolume(made.path, { source: at(2048), target: at(4096) })).patches, []);
});

test('grown by ntfsresize without a backup boot sector: it gets one', async () => {
  const made = await make('grown', { size: 24 * MiB, clusterSize: 4096, hidden: 2048 });
  truncateSync(made.path, 40 * MiB);
  run('ntfsresize', ['-f', '-f', '--no-progress-bar', '-s', '41943k', made.path], { input: 'y\n' });
  run('ntfsfix', ['-d', made.path]);
  const total = Number(readFileSync(made.path).readBigUInt64LE(0x28));
  const end = total * 512;
  const bytes = readFileSync(made.path);
  bytes.fill(0, end, end + 512);
  writeFileSync(made.path, bytes);
  const moved = await moveVolume(made.path, { source: at(2048), target: at(4096), size: end + 512 });
  await judge(made, moved.path, 512);
});

test('no room for a backup boot sector: said, and no reason to refuse', async () => {
  const made = await make('no-room', { size: 12 * MiB, clusterSize: 4096, hidden: 2048 });
  const moved = await moveVolume(made.path, { source: at(2048), target: at(4096), size: 12 * MiB - 512 });
  assert.is(moved.patches.length, 1);
  assert.match(moved.notes.join(), /no room for its backup boot sector/);
  const cut = await thrownBy(() => adaptationOf(made.path, { source: at(0), target: at(0), size: 11 * MiB }));
  assert.is(cut instanceof ToolError && cut.code, 'filesystem.not-movable');
});

for (const { size, clusterSize } of [
  { size: 24 * MiB, clusterSize: 4096 },
  { size: 24 * MiB + 20_480, clusterSize: 65_536 },
  { size: 24 * MiB + 4096, clusterSize: 8192 },
  { size: 96 * MiB, clusterSize: 1 << 18 },
]) {
  test(`${size} bytes in clusters of ${clusterSize}: from sectors of 512 to 4096, and back`, async () => {
    const name = `sectors-${size}-${clusterSize}`;
    const made = await make(name, { size, clusterSize, hidden: 2048 });
    const there = await moveVolume(made.path, { source: at(2048), target: at(256, 4096) });
    assert.match(there.notes.join(), /counts? in sectors of 4096 bytes; its file records stay at 1024 bytes/);
    const bytes = readFileSync(there.path);
    assert.is(bytes.readUInt16LE(0x0b), 4096);
    assert.is(bytes.readUInt32LE(HIDDEN), 256);
    assert.is((Number(bytes.readBigUInt64LE(0x28)) + 1) * 4096, size, 'the backup lies in the last sector');
    const saved = join(scratch, `${name}-4096`);
    copyFileSync(there.path, saved);
    await judge(made, there.path, 4096);
    const back = await moveVolume(saved, { source: at(256, 4096), target: at(2048) });
    assert.ok(readFileSync(back.path).subarray(0, 512).equals(readFileSync(made.path).subarray(0, 512)));
    await judge(made, back.path, 512);
  });
}

test('made for sectors of 4096 by mkntfs, on sectors of 512', async () => {
  const made = await make('born-4096', { size: 24 * MiB, clusterSize: 4096, sectorSize: 4096, hidden: 256 });
  const moved = await moveVolume(made.path, { source: at(256, 4096), target: at(2048) });
  assert.match(moved.notes.join(), /records stay at 4096 bytes/);
  await judge(made, moved.path, 512);
});

test('a file system that has sectors of 4096 already moves to a disk that has, too', async () => {
  const made = await make('raw-4096', { size: 12 * MiB, clusterSize: 4096, sectorSize: 4096, hidden: 2048 });
  const moved = await moveVolume(made.path, { source: at(2048), target: at(256, 4096) });
  assert.equal(moved.notes, []);
  await judge(made, moved.path, 4096);
});

async function refusedFor4096(path: string): Promise<string> {
  const error = await thrownBy(() => adaptationOf(path, { source: at(2048), target: at(256, 4096) }));
  assert.ok(error instanceof ToolError, 'not refused');
  return `${error.code}: ${error.message}`;
}

test('refused: clusters smaller than a sector', async () => {
  const made = await make('small', { size: 12 * MiB, clusterSize: 2048 });
  assert.match(await refusedFor4096(made.path), /sector-size-stays: .*clusters have 2048 bytes/);
});

test('refused: a Windows system; a folder of that name alone is none', async () => {
  const { path } = await make('windows', { size: 12 * MiB, clusterSize: 4096 });
  await withNtfsMounted(path, (folder) => mkdirSync(join(folder, 'WINDOWS')));
  assert.is((await adaptationOf(path, { source: at(2048), target: at(256, 4096) })).notes.length, 1);
  await withNtfsMounted(path, (folder) => mkdirSync(join(folder, 'WINDOWS', 'system32')));
  assert.match(await refusedFor4096(path), /sector-size-stays: .*Windows is installed on it/);
  assert.equal((await adaptationOf(path, { source: at(2048), target: at(4096) })).notes, [], 'moving alone is fine');
});

test('refused: no sector left for the backup; room behind it is enough', async () => {
  const { path } = await make('odd', { size: 12 * MiB + 512, clusterSize: 4096, hidden: 2048 });
  const journey = { source: at(2048), target: at(256, 4096) };
  const cut = await thrownBy(() => adaptationOf(path, { ...journey, size: 12 * MiB }));
  assert.match(cut instanceof ToolError ? cut.message : '', /no room for its backup boot sector/);
  const roomy = await moveVolume(path, { ...journey, size: 12 * MiB + 4096 });
  assert.is(statSync(roomy.path).size, 12 * MiB + 4096);
  await judge({ path, hashes: await hashesOf(path) }, roomy.path, 4096);
});

test.run();
