// File systems of 2 and 16 TiB on sparse files: time and memory must not follow the size.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GiB, MiB, TiB } from '../../src/base/units.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import { makeImage, usedByDumpe2fs } from '../support/ext4-image.js';
import { fileSource } from '../support/file-source.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();

/** -T largefile4 and few inodes: small inode tables, so the sparse file stays small. */
const OPTIONS = ['-t', 'ext4', '-T', 'largefile4', '-E', 'lazy_itable_init=1,nodiscard'];

async function openAndIterate(size: number, options: readonly string[]): Promise<void> {
  const image = join(scratch, `${size}.img`);
  makeImage(image, size, [...OPTIONS, ...options]);
  const expected = usedByDumpe2fs(image);
  const volume = fileSource(image);
  const rss = process.memoryUsage().rss;
  const started = performance.now();
  const info = await ext4.probe(volume);
  assert.ok(info);
  assert.is(info.size, size);
  const map = await ext4.openAllocationMap(volume, info);
  const opened = performance.now();
  let used = 0;
  let peak = 0;
  let extents = 0;
  for await (const extent of map.usedExtents({ offset: 0, length: size })) {
    used += extent.length;
    extents += 1;
    if (extents % 500 === 0) peak = Math.max(peak, process.memoryUsage().rss);
  }
  const ended = performance.now();
  const grown = Math.max(peak, process.memoryUsage().rss) - rss;
  console.log(
    `${size / TiB} TiB ${options.join(' ')}: opened in ${Math.round(opened - started)} ms, iterated in ` +
      `${Math.round(ended - opened)} ms, ${extents} extents, ${Math.round(volume.counted.bytes / MiB)} MiB in ` +
      `${volume.counted.reads} reads, memory +${Math.round(grown / MiB)} MiB`,
  );
  assert.is(used, expected);
  assert.ok(ended - started < 30_000, 'it takes seconds, not minutes');
  assert.ok(grown < 192 * MiB, `memory grew by ${Math.round(grown / MiB)} MiB`);

  const before = volume.counted.bytes;
  let inWindows = 0;
  const window = 8 * MiB;
  for (let offset = 1 * TiB; offset < 1 * TiB + 8 * GiB; offset += window) {
    for await (const extent of map.usedExtents({ offset, length: window })) inWindows += extent.length;
  }
  let atOnce = 0;
  for await (const extent of map.usedExtents({ offset: 1 * TiB, length: 8 * GiB })) atOnce += extent.length;
  assert.is(inWindows, atOnce);
  assert.ok(volume.counted.bytes - before < 8 * MiB, 'windows do not read the same bitmaps again');
  await volume.close();
  rmSync(image);
}

test('2 TiB', () => openAndIterate(2 * TiB, ['-N', '262144']));
test('2 TiB without checksums: every bitmap is written', () =>
  openAndIterate(2 * TiB, ['-N', '262144', '-O', '^metadata_csum,^uninit_bg']));
test('16 TiB', () => openAndIterate(16 * TiB, ['-N', '2097152', '-O', '64bit']));
test('16 TiB with meta_bg', () => openAndIterate(16 * TiB, ['-N', '2097152', '-O', '64bit,meta_bg,^resize_inode']));

test.run();
