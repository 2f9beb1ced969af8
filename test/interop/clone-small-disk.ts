// A disk with exFAT, F2FS and swap through the command line: what travels, what is noticed, what is refused.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Bytes, KiB, MiB } from '../../src/base/units.js';
import { sha256 } from '../support/clone-judge.js';
import { clonedPair } from '../support/clone-pair.js';
import { roundTrip, type Wish } from '../support/clone-round-trip.js';
import { cutOut, putBack, writeAt } from '../support/disk-builder.js';
import { EXFAT, F2FS, SWAP, UNRECOGNISED } from '../support/partition-content.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();

const DISK: Wish = {
  table: 'gpt',
  size: 240 * MiB,
  partitions: [
    { content: EXFAT, size: (40 * MiB) / 512 + 5 },
    { content: SWAP, size: (16 * MiB) / 512 + 1 },
    { content: F2FS, size: (120 * MiB) / 512 },
    { content: UNRECOGNISED, size: (3 * MiB) / 512 },
  ],
};

for (const loops of [false, true]) {
  test(`a disk of all three, onto ${loops ? 'a larger device' : 'an equal file'}`, () =>
    roundTrip(scratch, DISK, { size: DISK.size + (loops ? 10 * MiB : 0), loops }));
}

test('a swap area: 4 KiB of it travel, and what a standby paged out is noticed', async () => {
  const pair = await clonedPair(scratch, DISK);
  const { disk, target, ectype } = pair;
  const extent = disk.partitions[1]?.extent;
  assert.ok(extent);
  const plan = (): unknown => ectype.clone(disk.path, target).plan.volumes[1];
  const { used, method, detect } = plan() as { used: number; method: string; detect: string };
  assert.equal([method, detect], ['allocated', 'hash']);
  // The header page, and the sector behind the last whole page.
  assert.is(used, 4096 + 512);
  // The source pages: nothing to do, whatever it is.
  writeAt(disk.path, extent.offset + 5 * MiB, Buffer.alloc(2 * MiB, 'paged'));
  assert.not.ok(ectype.clone(disk.path, target).changed);
  // The standby pages to a place that its map knows.
  writeAt(target, extent.offset + 64 * KiB, Buffer.alloc(MiB / 2, 'paged on the standby'));
  assert.is((plan() as { detect: string }).detect, 'compare');
  assert.ok(ectype.verify(disk.path, target).equal);
  assert.not.ok(ectype.clone(disk.path, target, '--verify').changed);
  assert.is((plan() as { detect: string }).detect, 'hash');
  pair.remove();
});

test('a hibernated computer, a volume that was not unmounted: refused, nothing written', async () => {
  const pair = await clonedPair(scratch, DISK);
  const { disk, target, ectype } = pair;
  const [exfatPart, swapPart, f2fsPart] = disk.partitions;
  assert.ok(exfatPart && swapPart && f2fsPart);
  const before = sha256(target);
  const refusal = (offset: Bytes, bytes: Buffer, message: RegExp): void => {
    const part = join(scratch, 'saved');
    const place = { offset, length: bytes.length };
    cutOut(disk.path, place, part);
    writeAt(disk.path, offset, bytes);
    assert.match(ectype.refused(5, 'clone', '--yes', disk.path, target).message, message);
    putBack(disk.path, place, part);
    rmSync(part);
  };
  refusal(swapPart.extent.offset + 4086, Buffer.from('S1SUSPEND\0'), /partition 2 \(swsuspend\).*hibernates/);
  refusal(exfatPart.extent.offset + 106, Buffer.from([2]), /partition 1 \(exfat\).*not unmounted/);
  refusal(f2fsPart.extent.offset + 1024 + 2201, Buffer.from('/dev/sdx'), /partition 3 \(f2fs\).*other devices/);
  assert.is(sha256(target), before);
  assert.match(run('blkid', ['-p', '-o', 'value', '-s', 'PTTYPE', target]), /gpt/);
  pair.remove();
});

test.run();
