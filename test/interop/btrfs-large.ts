// File systems of 2 and 16 TiB on sparse files, and one whose extent tree is large: time and memory must not follow.

import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GiB, KiB, MiB, TiB } from '../../src/base/units.js';
import { btrfs } from '../../src/filesystem/btrfs/plugin.js';
import { makeBtrfs, mounted } from '../support/btrfs-image.js';
import { type CountedSource, fileSource } from '../support/file-source.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();

interface Measured {
  readonly volume: CountedSource;
  readonly used: number;
  readonly extents: number;
}

async function openAndIterate(image: string, name: string): Promise<Measured> {
  const volume = fileSource(image);
  const rss = process.memoryUsage().rss;
  const started = performance.now();
  const info = await btrfs.probe(volume);
  assert.ok(info);
  assert.is(info.size, volume.size);
  const map = await btrfs.openAllocationMap(volume, info);
  const opened = performance.now();
  let used = 0;
  let peak = 0;
  let extents = 0;
  for await (const extent of map.usedExtents({ offset: 0, length: volume.size })) {
    used += extent.length;
    extents += 1;
    if (extents % 500 === 0) peak = Math.max(peak, process.memoryUsage().rss);
  }
  const ended = performance.now();
  const grown = Math.max(peak, process.memoryUsage().rss) - rss;
  console.log(
    `${name}: opened in ${Math.round(opened - started)} ms, iterated in ${Math.round(ended - opened)} ms, ` +
      `${extents} extents, ${Math.round(volume.counted.bytes / MiB)} MiB in ${volume.counted.reads} reads, ` +
      `memory +${Math.round(grown / MiB)} MiB`,
  );
  assert.ok(ended - started < 30_000, 'it takes seconds, not minutes');
  assert.ok(grown < 160 * MiB, `memory grew by ${Math.round(grown / MiB)} MiB`);

  const before = volume.counted.bytes;
  const window = 256 * KiB;
  const from = Math.floor(volume.size / 2 / window) * window;
  let inWindows = 0;
  for (let offset = from; offset < from + GiB && offset + window <= volume.size; offset += window) {
    for await (const extent of map.usedExtents({ offset, length: window })) inWindows += extent.length;
  }
  let atOnce = 0;
  const length = Math.min(GiB, Math.floor((volume.size - from) / window) * window);
  for await (const extent of map.usedExtents({ offset: from, length })) atOnce += extent.length;
  assert.is(inWindows, atOnce);
  assert.ok(volume.counted.bytes - before < 64 * MiB, 'windows do not read the same blocks again and again');
  await volume.close();
  return { volume, used, extents };
}

async function large(size: number): Promise<void> {
  const image = join(scratch, `${size}.img`);
  makeBtrfs([image], size, []);
  // Preallocated space makes thousands of chunks and costs none of the sparse file.
  const files = (size / TiB) * rounds({ short: 1, long: 8 });
  mounted([image], (folder) => {
    for (let index = 0; index < files; index += 1) run('fallocate', ['-l', '100G', join(folder, `${index}`)]);
  });
  const { used } = await openAndIterate(image, `${size / TiB} TiB`);
  assert.ok(used > files * 100 * GiB);
  rmSync(image);
}

test('2 TiB', () => large(2 * TiB));
test('16 TiB', () => large(16 * TiB));

test('many extents', async () => {
  const count = rounds({ short: 30_000, long: 150_000 });
  const image = join(scratch, 'fragmented.img');
  makeBtrfs([image], 4 * GiB, ['-n', '4096', '-m', 'single']);
  mounted([image], (folder) => {
    const fd = openSync(join(folder, 'fragmented'), 'w');
    const sector = Buffer.alloc(4 * KiB, 1);
    for (let index = 0; index < count; index += 1) writeSync(fd, sector, 0, sector.length, index * 8 * KiB);
    run('sync', ['-f', folder]);
    // Copy-on-write leaves a hole where every second one was.
    for (let index = 0; index < count; index += 2) writeSync(fd, sector, 0, sector.length, index * 8 * KiB);
    closeSync(fd);
  });
  const { extents } = await openAndIterate(image, `${count} extents`);
  assert.ok(extents > count / 3, `${extents} runs`);
  rmSync(image);
});

test.run();
