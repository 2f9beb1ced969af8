// File systems of 2 and 16 TiB on sparse files: time and memory must not follow the size.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB, TiB } from '../../src/base/units.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import { fileSource } from '../support/file-source.js';
import { scratchFolder } from '../support/scratch.js';
import { makeXfs, usedByXfsDb } from '../support/xfs-image.js';

const scratch = scratchFolder();

async function openAndIterate(size: number, options: readonly string[]): Promise<void> {
  const image = join(scratch, `${size}.img`);
  makeXfs(image, size, ['-l', 'size=128m', ...options]);
  const expected = usedByXfsDb(image);
  const volume = fileSource(image);
  const rss = process.memoryUsage().rss;
  const started = performance.now();
  const info = await xfs.probe(volume);
  assert.ok(info);
  // The largest groups end one block before 1 TiB.
  assert.ok(info.size <= size && info.size > size - MiB);
  assert.is((await xfs.readState(volume, info)).kind, 'clean');
  const map = await xfs.openAllocationMap(volume, info);
  let used = 0;
  let extents = 0;
  for await (const { length } of map.usedExtents({ offset: 0, length: size })) {
    used += length;
    extents += 1;
  }
  await xfs.token(volume, info);
  const ms = Math.round(performance.now() - started);
  const grown = Math.round((process.memoryUsage().rss - rss) / MiB);
  const read = Math.round(volume.counted.bytes / MiB);
  console.log(
    `${size / TiB} TiB ${options.join(' ')}: ${ms} ms, ${extents} extents, ${read} MiB in ${volume.counted.reads} reads, ` +
      `memory +${grown} MiB`,
  );
  assert.is(used, expected);
  assert.ok(ms < 20_000, 'it takes seconds, not minutes');
  assert.ok(grown < 96, `memory grew by ${grown} MiB`);
  assert.ok(read < 64, 'the log is not read from end to end');
  await volume.close();
  rmSync(image);
}

test('2 TiB', () => openAndIterate(2 * TiB, []));
test('2 TiB in small groups', () => openAndIterate(2 * TiB, ['-d', 'agsize=1g']));
test('16 TiB', () => openAndIterate(16 * TiB, ['-m', 'rmapbt=1', '-s', 'size=4096']));

test.run();
