// exFAT and F2FS volumes without a table through the command line, through several rounds of changes.

import { test } from 'uvu';
import { type Bytes, KiB, MiB } from '../../src/base/units.js';
import { testVariants, type Variant } from '../support/clone-variants.js';
import { F2FS } from '../support/partition-content.js';
import { scratchFolder } from '../support/scratch.js';

function exfat(clusterSize: Bytes, size: Bytes): Variant {
  return { name: `exFAT with clusters of ${clusterSize}`, size, content: { kind: 'exfat', clusterSize } };
}

testVariants(scratchFolder(), [
  exfat(4 * KiB, 40 * MiB),
  exfat(128 * KiB, 64 * MiB + 1536),
  { name: 'F2FS', size: 112 * MiB, content: F2FS },
]);

test.run();
