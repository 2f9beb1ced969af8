// The log as real kernels leave it: xfs_logprint must say the same of it.

import { copyFileSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import { memoryTarget } from '../../src/source/memory.js';
import type { Source } from '../../src/source/types.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { logByXfsprogs, logOffset, makeXfs, mountedXfs, withXfs, writeSynced, xfsField } from '../support/xfs-image.js';

const scratch = scratchFolder();
const random = randomFrom(SEED);
const SMALLEST_LOG = 5605376;

async function isClean(volume: Source): Promise<boolean> {
  const info = await xfs.probe(volume);
  assert.ok(info);
  return (await xfs.readState(volume, info)).kind === 'clean';
}

/** Makes and touches many inodes: every sync writes them to the log again. */
function churn(folder: string, name: string): void {
  const into = join(folder, name);
  mkdirSync(into);
  const names = Array.from({ length: random.between(400, 800) }, (_, index) => join(into, `${index}`));
  for (const path of names) writeFileSync(path, 'x');
  for (let sync = random.between(8, 16); sync > 0; sync -= 1) {
    for (const path of names) utimesSync(path, sync, sync);
    run('sync', ['-f', folder]);
  }
  for (const path of names) rmSync(path);
  if (random.chance(0.5)) writeSynced(join(into, 'synced'), random.bytes(100));
}

for (const options of [`size=${SMALLEST_LOG}`, 'size=8m,su=32k']) {
  test(`many times round the log, power failing at any moment: ${options}`, async () => {
    const image = join(scratch, 'rounds.img');
    makeXfs(image, 48 * MiB, ['-l', options]);
    const seen = { clean: 0, dirty: 0 };
    for (let round = 0; round < rounds({ short: 3, long: 40 }); round += 1) {
      const copies = [image];
      mountedXfs(image, (folder) => {
        for (let burst = 0; burst < 3; burst += 1) {
          churn(folder, `${round}-${burst}`);
          copies.push(`${image}.${burst}`);
          copyFileSync(image, `${image}.${burst}`);
        }
      });
      for (const copy of copies) {
        const expected = logByXfsprogs(copy)?.clean;
        assert.is(await withXfs(copy, isClean), expected);
        if (expected) seen.clean += 1;
        else seen.dirty += 1;
        if (copy !== image) rmSync(copy);
      }
    }
    const first = readFileSync(image).subarray(logOffset(image));
    const cycle = first.readUInt32BE(first.readUInt32BE(0) === 0xfeedbabe ? 4 : 0);
    console.log(`clean ${seen.clean}, dirty ${seen.dirty}, the log is in round ${cycle}`);
    assert.ok(cycle > 1 && seen.dirty > 2);
    rmSync(image);
  });
}

test('writes torn by a power failure: never clean where xfs_logprint would replay', async () => {
  const image = join(scratch, 'torn.img');
  const crashed = `${image}.crashed`;
  const torn = `${image}.torn`;
  makeXfs(image, 48 * MiB, ['-l', `size=${SMALLEST_LOG}`]);
  const offset = logOffset(image);
  const blocks = (xfsField(image, 'logblocks') * 4096) / 512;
  const seen = { same: 0, stricter: 0, broken: 0 };
  for (let round = 0; round < rounds({ short: 3, long: 30 }); round += 1) {
    const before = readFileSync(image);
    mountedXfs(image, (folder) => {
      churn(folder, `${round}`);
      copyFileSync(image, crashed);
    });
    const heads = [crashed, image].map((path) => ({ after: readFileSync(path), head: logByXfsprogs(path)?.head ?? 0 }));
    for (let attempt = 0; attempt < rounds({ short: 25, long: 100 }); attempt += 1) {
      const { after, head } = random.pick(heads);
      const bytes = tear({ before, after }, { offset, blocks, head });
      writeFileSync(torn, bytes);
      const said = logByXfsprogs(torn);
      const clean = await isClean(memoryTarget(bytes));
      if (!said) seen.broken += 1;
      else if (clean === said.clean) seen.same += 1;
      else {
        assert.not.ok(clean, 'a log that waits for its replay was called clean');
        seen.stricter += 1;
      }
    }
  }
  console.log(`as xfs_logprint ${seen.same}, stricter ${seen.stricter}, not readable by it ${seen.broken}`);
  assert.ok(seen.same > seen.stricter);
});

/** The log as after the crash, but some of the last blocks before its head never arrived. */
function tear(
  { before, after }: { before: Buffer; after: Buffer },
  { offset, blocks, head }: { offset: number; blocks: number; head: number },
): Buffer {
  const bytes = Buffer.from(after);
  const reach = random.pick([4, 20, 100, 2000]);
  for (let count = random.between(1, 6); count > 0; count -= 1) {
    const length = random.between(1, random.pick([1, 8, 64]));
    const start = head - 1 - random.below(reach);
    for (let block = start; block < Math.min(start + length, head); block += 1) {
      const at = offset + ((block + blocks) % blocks) * 512;
      before.copy(bytes, at, at, at + 512);
    }
  }
  return bytes;
}

test.run();
