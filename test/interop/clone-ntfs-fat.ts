// NTFS and FAT of every cluster size through the command line, judged by ntfs-3g, dosfstools and mtools.

import { test } from 'uvu';
import { type Bytes, KiB, MiB } from '../../src/base/units.js';
import { testVariants, type Variant } from '../support/clone-variants.js';
import { LONG } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

function ntfs(clusterSize: Bytes, size: Bytes): Variant {
  return { name: `NTFS with clusters of ${clusterSize}`, size, content: { kind: 'ntfs', clusterSize } };
}

function fat(bits: 12 | 16 | 32, sectorsPerCluster: number, size: Bytes): Variant {
  return {
    name: `FAT${bits}, ${sectorsPerCluster} a cluster`,
    size,
    content: { kind: 'fat', bits, sectorsPerCluster },
  };
}

testVariants(scratchFolder(), [
  ntfs(512, 36 * MiB),
  ntfs(1 * KiB, 36 * MiB + 512),
  ntfs(4 * KiB, 48 * MiB + 5 * 512),
  ntfs(16 * KiB, 60 * MiB),
  ntfs(64 * KiB, 90 * MiB + 512),
  ...(LONG ? [ntfs(2 * MiB, 700 * MiB + 512)] : []),
  fat(12, 1, 1440 * KiB),
  fat(12, 8, 15 * MiB + 512),
  fat(16, 4, 20 * MiB + 1536),
  fat(16, 64, 140 * MiB),
  fat(32, 1, 48 * MiB),
  fat(32, 4, 140 * MiB + 512),
]);

test.run();
