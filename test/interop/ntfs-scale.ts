// NTFS volumes of terabytes: a map costs seconds and little memory.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ntfs } from '../../src/filesystem/ntfs/plugin.js';
import { fileSource } from '../support/file-source.js';
import { makeNtfs } from '../support/ntfs-volume.js';
import { scratchFolder } from '../support/scratch.js';

const TiB = 2 ** 40;
const MAX_SECONDS = 10;
const MAX_GROWTH = 100 * 2 ** 20;
const scratch = scratchFolder();

for (const clusterSize of [4096, 65536]) {
  test(`2 TiB with clusters of ${clusterSize}`, async () => {
    const image = join(scratch, `large-${clusterSize}`);
    makeNtfs(image, { size: 2 * TiB, clusterSize });
    const source = fileSource(image);
    const before = process.memoryUsage().rss;
    const started = performance.now();
    const info = await ntfs.probe(source);
    assert.ok(info);
    assert.is((await ntfs.readState(source, info)).kind, 'clean');
    const map = await ntfs.openAllocationMap(source, info);
    let used = 0;
    for await (const { length } of map.usedExtents({ offset: 0, length: source.size })) used += length;
    await ntfs.token(source, info);
    const seconds = (performance.now() - started) / 1000;
    const growth = process.memoryUsage().rss - before;
    console.log(`${clusterSize}: ${seconds.toFixed(2)} s, ${(growth / 2 ** 20).toFixed(0)} MiB, ${used} bytes used`);
    assert.ok(used > 0 && used < 0.001 * TiB);
    assert.ok(seconds < MAX_SECONDS);
    assert.ok(growth < MAX_GROWTH);
    await source.close();
    rmSync(image);
  });
}

test.run();
