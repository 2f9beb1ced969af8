// Which files of ext2/3/4 have records, and where their data lies, beside what the kernel says of the same files.

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import { type Extent, normalise } from '../../src/map/extent.js';
import { makeImage, mounted, withVolume } from '../support/ext4-image.js';
import { randomFrom, SEED } from '../support/random.js';
import { scanRecords } from '../support/record-scan.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { ALL, Workload } from '../support/workload.js';

const scratch = scratchFolder();
const image = join(scratch, 'volume');

/** Written extents of a file as FIEMAP tells them. */
function fiemap(path: string, blockSize: number): Extent[] {
  const rows = run('filefrag', ['-v', `-b${blockSize}`, path]);
  const found: Extent[] = [];
  for (const [, start, length, rest = ''] of rows.matchAll(/^ *\d+: +\d+\.\. +\d+: +(\d+)\.\. +\d+: +(\d+):(.*)$/gm)) {
    if (rest.includes('unwritten') || rest.includes('inline')) continue;
    found.push({ offset: Number(start) * blockSize, length: Number(length) * blockSize });
  }
  return normalise(found);
}

for (const [name, options] of [
  ['ext4', ['-t', 'ext4', '-b', '4096']],
  ['1 KiB', ['-t', 'ext4', '-b', '1024']],
  ['ext3', ['-t', 'ext3', '-b', '1024']],
  ['ext2 of 2 KiB', ['-t', 'ext2', '-b', '2048']],
  ['bigalloc', ['-t', 'ext4', '-b', '4096', '-O', 'bigalloc', '-C', '16384']],
  ['inline data', ['-t', 'ext4', '-b', '4096', '-O', 'inline_data']],
  ['meta_bg', ['-t', 'ext4', '-b', '1024', '-O', 'meta_bg,^resize_inode', '-g', '2048']],
] as const) {
  test(`extents as the kernel tells them: ${name}`, async () => {
    makeImage(image, 64 * MiB, options);
    const simple = options[1] === 'ext4' ? {} : { fallocate: false, shift: false, punch: false };
    const blockSize = name === 'bigalloc' ? 16 * KiB : 4 * KiB;
    const can = { ...ALL, reflink: false, ...simple };
    const work = new Workload(randomFrom(SEED), { can, room: 16 * MiB, largest: 200 * KiB, blockSize });
    mounted(image, (folder) => work.work(folder, 300));
    const expected = new Map<number, Extent[]>();
    mounted(
      image,
      (folder) => {
        for (const { paths } of work.files) {
          const path = join(folder, paths[0] ?? '');
          const extents = fiemap(path, Number(options[3]));
          if (extents.length > 0) expected.set(statSync(path).ino, extents);
        }
      },
      'ro',
    );
    const { records } = await withVolume(image, (volume) => scanRecords(ext4, volume));
    assert.ok(expected.size > 10);
    assert.equal(
      [...records.keys()],
      [...expected.keys()].sort((a, b) => a - b),
    );
    for (const [id, { extents }] of records) assert.equal(normalise(extents), expected.get(id), `inode ${id}`);
  });
}

test.run();
