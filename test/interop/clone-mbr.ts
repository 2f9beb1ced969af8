// Whole disks with an MBR through the command line: logical partitions, and old disks whose partitions are not aligned.

import { test } from 'uvu';
import { MiB } from '../../src/base/units.js';
import { MBR_LOGICALS, OLD_MBR, roundTrip } from '../support/clone-round-trip.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();

for (const [name, wish] of [
  ['logical partitions', MBR_LOGICALS],
  ['partitions from LBA 63 on', OLD_MBR],
] as const) {
  test(`${name}: a file onto a file of equal size`, () => roundTrip(scratch, wish, { size: wish.size, loops: false }));
  test(`${name}: a loop device onto a larger one`, () =>
    roundTrip(scratch, wish, { size: wish.size + 37 * MiB + 512, loops: true }));
}

test.run();
