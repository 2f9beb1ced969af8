// Parts of disks and every byte of them: --only, one partition into another, --forensic, and single devices.

import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import {
  demandNothingInvented,
  demandSameFiles,
  demandSoundTable,
  holdsNoise,
  oldFile,
  sha256,
  sha256Outside,
} from '../support/clone-judge.js';
import { filesOf, SMALL } from '../support/clone-pair.js';
import { MBR_LOGICALS, OLD_MBR, preparedDisk, type Wish } from '../support/clone-round-trip.js';
import { type BuiltDisk, changeDisk, cutOut, onPartition, partitionOf, putBack } from '../support/disk-builder.js';
import { ectypeIn } from '../support/ectype-cli.js';
import { attachLoop } from '../support/loop-device.js';
import { checkContent, EXT4, listFiles, NTFS, UNRECOGNISED } from '../support/partition-content.js';
import { randomFrom, SEED, sampleOf } from '../support/random.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const random = randomFrom(SEED);
let folders = 0;

async function copied(wish: Wish): Promise<BuiltDisk> {
  const { disk } = await preparedDisk(scratch, wish);
  const path = join(scratch, `copy-${folders++}.img`);
  copyFileSync(disk.path, path);
  return { ...disk, path };
}

test('--only: the target gets these partitions, and nothing of the others', async () => {
  const disk = await copied(SMALL);
  const folder = join(scratch, `only-${folders++}`);
  const ectype = ectypeIn(folder);
  const target = oldFile(join(folder, 'target.img'), disk.size + 5 * MiB);
  const kept = { ...disk, partitions: disk.partitions.filter(({ number }) => [2, 5].includes(number)) };
  for (let round = 0; round < 2; round += 1) {
    ectype.clone(disk.path, target, '--only', '2,5', ...(round === 0 ? ['--overwrite-target', target] : []));
    demandSoundTable(kept, target);
    assert.equal(partitionNumbers(target), [2, 5]);
    const wanted = await filesOf(kept);
    await demandSameFiles(kept, target, wanted);
    if (round === 0) demandNothingInvented(kept, target);
    assert.not.ok(holdsNoise(target, round));
    for (const number of [1, 3]) {
      const { extent } = partitionOf(disk, number);
      assert.is.not(sha256(target, extent), sha256(disk.path, extent), `partition ${number} stayed at home`);
    }
    assert.not.ok(ectype.clone(disk.path, target, '--only', '2,5').changed);
    assert.ok(ectype.verify('--only', '2,5', disk.path, target).equal);
    await changeDisk(disk, { random, generation: round + 1 });
  }
  ectype.clone(disk.path, target);
  demandSoundTable(disk, target);
  await demandSameFiles(disk, target, await filesOf(disk));
  ectype.clone(disk.path, target, '--only', '3');
  assert.equal(partitionNumbers(target), [3]);
  rmSync(folder, { recursive: true });
  rmSync(disk.path);
});

test('--only: logical partitions leave the chain in order', async () => {
  const disk = await copied(MBR_LOGICALS);
  const folder = join(scratch, `only-${folders++}`);
  const ectype = ectypeIn(folder);
  const target = oldFile(join(folder, 'target.img'), disk.size);
  ectype.clone(disk.path, target, '--only', '2,6', '--overwrite-target', target);
  assert.match(run('sfdisk', ['--verify', target]), /No errors detected/);
  const kept = { ...disk, partitions: disk.partitions.filter(({ number }) => [2, 6].includes(number)) };
  await demandSameFiles(kept, target, await filesOf(kept));
  assert.not.ok(holdsNoise(target));
  rmSync(folder, { recursive: true });
  rmSync(disk.path);
});

function partitionNumbers(disk: string): number[] {
  const found: { partitiontable: { partitions: { node: string }[] } } = JSON.parse(run('sfdisk', ['--json', disk]));
  return found.partitiontable.partitions.map(({ node }) => Number(/\d+$/.exec(node)?.[0]));
}

for (const loops of sampleOf([false, true], 1)) {
  test(`A#2 B#6 ${loops ? 'between loop devices' : 'between files'}: every other byte of B stays`, async () => {
    const source = await copied({
      table: 'gpt',
      size: 90 * MiB,
      partitions: [
        { content: UNRECOGNISED, size: 99, start: 40 },
        { content: EXT4, size: (36 * MiB) / 512 + 5, start: 143 },
        { content: NTFS, size: (38 * MiB) / 512 },
      ],
    });
    const other = await copied(MBR_LOGICALS);
    const ectype = ectypeIn(join(scratch, `parts-${folders++}`));
    for (const [from, to] of [
      [2, 6],
      [3, 5],
    ] as const) {
      const { extent } = partitionOf(other, to);
      const { extent: read, content } = partitionOf(source, from);
      const outside = sha256Outside(other.path, extent, other.size);
      const before = sha256(source.path);
      const clone = (a: string, b: string): void => {
        assert.ok(ectype.clone(a, b, '--overwrite-target', b.replace(/#.*/, '')).changed);
        assert.not.ok(ectype.clone(a, b).changed, 'again');
        assert.ok(ectype.verify(a, b).equal);
      };
      if (!loops) clone(`${source.path}#${from}`, `${other.path}#${to}`);
      else {
        attachLoop(source.path, 512, (a) => attachLoop(other.path, 512, (b) => clone(`${a}#${from}`, `${b}#${to}`)));
      }
      assert.is(sha256Outside(other.path, extent, other.size), outside, 'everything else is what it was');
      assert.is(sha256(source.path), before);
      const wanted = await onPartition(source.path, read, (file) => listFiles(file, content), { write: false });
      const written = { offset: extent.offset, length: read.length };
      await onPartition(other.path, written, (file) => checkContent(file, content), { write: false });
      const found = await onPartition(other.path, written, (file) => listFiles(file, content), { write: false });
      assert.equal(found, wanted);
    }
    rmSync(source.path);
    rmSync(other.path);
  });
}

test('a partition, then the whole disk, then the partition: no history misleads another', async () => {
  const disk = await copied(SMALL);
  const { path } = disk;
  const target = join(scratch, `mixed-${folders++}.img`);
  const ectype = ectypeIn(`${target}.d`);
  ectype.clone(path, target);
  const [generations] = [[1, 2, 3, 4, 5, 6]];
  for (const generation of generations) {
    await changeDisk(disk, { random, generation });
    if (generation % 2 === 1) {
      const number = random.pick([1, 2, 3]);
      ectype.clone(`${path}#${number}`, `${target}#${number}`, '--overwrite-target', target);
      const { extent, content } = partitionOf(disk, number);
      const one = { ...disk, partitions: [{ number, extent, content }] };
      await demandSameFiles(one, target, await filesOf(one));
    } else {
      ectype.clone(path, target);
      demandSoundTable(disk, target);
      await demandSameFiles(disk, target, await filesOf(disk));
      assert.ok(ectype.verify(path, target).equal);
    }
  }
  rmSync(target);
  rmSync(path);
});

for (const [name, wish] of [
  ['GPT', SMALL],
  ['MBR', OLD_MBR],
] as const) {
  test(`--forensic: a ${name} disk of equal size is the source byte for byte, again after changes`, async () => {
    const disk = await copied(wish);
    const folder = join(scratch, `forensic-${folders++}`);
    const ectype = ectypeIn(folder);
    const target = oldFile(join(folder, 'target.img'), disk.size);
    ectype.clone(disk.path, target, '--forensic', '--overwrite-target', target);
    assert.is(sha256(target), sha256(disk.path));
    assert.not.ok(ectype.clone(disk.path, target, '--forensic').changed);
    await changeDisk(disk, { random });
    const last = disk.partitions.at(-1)?.extent;
    assert.ok(last);
    putBack(disk.path, { offset: last.offset + last.length, length: 512 }, oldFile(join(folder, 'sector'), 512));
    ectype.clone(disk.path, target, '--forensic');
    assert.is(sha256(target), sha256(disk.path));
    assert.ok(ectype.verify('--forensic', disk.path, target).equal);
    rmSync(folder, { recursive: true });
    rmSync(disk.path);
  });
}

test('--forensic and back: a clone after a forensic one, and the other way round', async () => {
  const disk = await copied(SMALL);
  const folder = join(scratch, `forensic-${folders++}`);
  const ectype = ectypeIn(folder);
  const target = oldFile(join(folder, 'target.img'), disk.size);
  ectype.clone(disk.path, target, '--overwrite-target', target);
  ectype.clone(disk.path, target, '--forensic');
  assert.is(sha256(target), sha256(disk.path), 'free space came along although the file systems had not changed');
  await changeDisk(disk, { random });
  ectype.clone(disk.path, target);
  await demandSameFiles(disk, target, await filesOf(disk));
  ectype.clone(disk.path, target, '--forensic');
  assert.is(sha256(target), sha256(disk.path));
  rmSync(folder, { recursive: true });
  rmSync(disk.path);
});

test('a bare partition file onto a partition of a disk is refused as a whole, and works as a part', async () => {
  const disk = await copied(SMALL);
  const { extent } = partitionOf(disk, 2);
  const file = join(scratch, 'bare.img');
  cutOut(disk.path, extent, file);
  const ectype = ectypeIn(join(scratch, `bare-${folders++}`));
  const before = sha256(disk.path);
  assert.is(ectype.refused(2, 'clone', '--yes', file, `${disk.path}#2`).exitStatus, 2);
  assert.is(sha256(disk.path), before);
  rmSync(file);
  rmSync(disk.path);
});

test('boot code without partitions is no empty disk: what lies behind it travels', () => {
  const ectype = ectypeIn(join(scratch, `boot-code-${folders++}`));
  const source = join(scratch, 'boot-code.img');
  const bytes = random.bytes(20 * MiB);
  bytes.fill(0, 446, 510).writeUInt16BE(0x55aa, 510);
  writeFileSync(source, bytes);
  const target = oldFile(join(scratch, 'boot-code-target.img'), bytes.length);
  ectype.clone(source, target, '--overwrite-target', target);
  assert.is(sha256(target), sha256(source));
  assert.not.ok(ectype.clone(source, target).changed);
  rmSync(source);
  rmSync(target);
});

test.run();
