// Page and swap files in thousands of pieces between other files: only theirs are zeros on the target, every other byte
// that a file system owns is the source's. One test a kind, with a few random volumes; more in the long run.

import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { oldFile } from '../support/clone-judge.js';
import { demandPerfect, makeImage, mounted } from '../support/ext4-image.js';
import { cloned, verified } from '../support/in-process.js';
import { asWindowsOwn, hashTree, withNtfsMounted } from '../support/ntfs-mount.js';
import { makeNtfs } from '../support/ntfs-volume.js';
import { demandLeftOut, pagedContent } from '../support/paged.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const ROUNDS = rounds({ short: 2, long: 40 });
const PAGE = 4 * KiB;
const scratch = scratchFolder();
const source = join(scratch, 'source');
const target = join(scratch, 'target');

/** Fills the volume with files of about a cluster, and deletes some of them: what is written then lies in pieces. */
function crowd(folder: string, random: Random, { clusterSize, files }: { clusterSize: number; files: number }): void {
  mkdirSync(join(folder, 'crowd'));
  const names = Array.from({ length: files }, (_, index) => join(folder, 'crowd', `${index}`));
  for (const name of names) writeFileSync(name, random.bytes(800 + random.below(clusterSize)));
  run('sync', ['-f', folder]);
  const rest = openSync(join(folder, 'rest'), 'w');
  const piece = random.bytes(256 * KiB);
  try {
    for (;;) writeSync(rest, piece);
  } catch {
    // The volume is full, as it should be.
  } finally {
    closeSync(rest);
  }
  const share = 0.4 + random.below(40) / 100;
  for (const name of names) if (random.chance(share)) rmSync(name);
  run('sync', ['-f', folder]);
}

/** Grows two files by turns, so that their pieces lie among each other. Returns what was written to the first. */
function writeByTurns(
  folder: string,
  random: Random,
  { name, head, unit }: { name: string; head: number; unit: number },
): number {
  const { bavail, bsize } = statfsSync(folder);
  const most = Math.floor((bavail * bsize * 0.35) / PAGE) * PAGE;
  const paged = Buffer.concat([Buffer.alloc(head), pagedContent(Math.min(most, PAGE * random.between(30, 150)))]);
  const [file, other] = [openSync(join(folder, name), 'a', 0o600), openSync(join(folder, 'other'), 'a')];
  try {
    for (let at = 0; at < paged.length; ) {
      const length = Math.min(paged.length - at, unit * random.between(1, 4));
      assert.is(writeSync(file, paged, at, length), length);
      writeSync(other, random.bytes(random.between(1, unit)));
      at += length;
    }
  } finally {
    for (const fd of [file, other]) closeSync(fd);
  }
  return paged.length - head;
}

async function demandOnly(paged: number, listed: (image: string) => Promise<Map<string, string>>): Promise<void> {
  rmSync(target, { force: true });
  oldFile(target, statSync(source).size);
  const { plan, excludedBytes } = await cloned(source, target);
  assert.ok(excludedBytes >= paged, `${plan.warnings.join()} ${excludedBytes}`);
  demandLeftOut(source, target, paged);
  assert.equal(await listed(target), await listed(source));
  assert.ok((await verified(source, target)).equal);
  assert.not.ok((await cloned(source, target)).changed);
}

test(`${ROUNDS} fragmented page files on NTFS`, async () => {
  for (let round = 0; round < ROUNDS; round += 1) {
    const random = randomFrom(SEED + round);
    const clusterSize = random.pick([512, 2 * KiB, 4 * KiB]);
    makeNtfs(source, { size: 1500 * clusterSize + 8 * MiB, clusterSize });
    const paged = await withNtfsMounted(source, (folder) => {
      crowd(folder, random, { clusterSize, files: 700 });
      const written = writeByTurns(folder, random, { name: 'pagefile.sys', head: 0, unit: clusterSize });
      asWindowsOwn(join(folder, 'pagefile.sys'));
      return written;
    });
    await demandOnly(paged, async (image) => {
      run('ntfsfix', ['-n', image]);
      const files = await withNtfsMounted(image, hashTree, { options: 'ro' });
      assert.ok(files.delete('pagefile.sys') && files.has('other') && files.has('rest'));
      return files;
    });
  }
});

test(`${ROUNDS} fragmented swap files on ext2/3/4`, async () => {
  for (let round = 0; round < ROUNDS; round += 1) {
    const random = randomFrom(SEED + round);
    const blockSize = random.pick([1 * KiB, 2 * KiB, 4 * KiB]);
    const kind = random.pick(['ext2', 'ext3', 'ext4', 'ext4']);
    makeImage(source, 14 * MiB, ['-t', kind, '-b', `${blockSize}`, '-N', '2000', '-J', 'size=4', '-m', '0']);
    const paged = mounted(source, (folder) => {
      mkdirSync(join(folder, 'etc'));
      writeFileSync(join(folder, 'etc/fstab'), '/swap none swap sw 0 0\n');
      crowd(folder, random, { clusterSize: 4 * KiB, files: 700 });
      const length = writeByTurns(folder, random, { name: 'swap', head: PAGE, unit: PAGE });
      run('mkswap', ['-q', join(folder, 'swap')]);
      return length;
    });
    await demandOnly(paged, async (image) => {
      demandPerfect(image);
      return mounted(
        image,
        (folder) => {
          const files = hashTree(folder);
          assert.ok(files.delete('swap') && files.has('other') && files.has('rest'));
          return files.set('header', readFileSync(join(folder, 'swap')).toString('hex', 0, PAGE));
        },
        'ro',
      );
    });
  }
});

test.run();
