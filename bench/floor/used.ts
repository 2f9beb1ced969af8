// What the file system of a disk uses, as whole blocks, for a floor that copies no more than that.
// Usage: node dist/bench/floor/used.js DISK > FILE

import { identify } from '../../src/filesystem/registry.js';
import { BLOCK_SIZE } from '../../src/map/block-map.js';
import { normalise, widen } from '../../src/map/extent.js';
import { openDiskSource } from '../../src/source/disk.js';

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: used DISK');
const disk = openDiskSource(path, {});
try {
  const { recognised } = await identify(disk);
  if (!recognised) throw new Error(`${path} holds no file system`);
  const map = await recognised.plugin.openAllocationMap(disk, recognised.info);
  const used = [];
  for await (const extent of map.usedExtents({ offset: 0, length: disk.size })) {
    used.push(widen(extent, { unit: BLOCK_SIZE, limit: disk.size }));
  }
  console.log(JSON.stringify(normalise(used)));
} finally {
  await disk.close();
}
