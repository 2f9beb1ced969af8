// What a user says and sees of rapid runs: what changed by name, the full check, why everything is read after all.

import { appendFileSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { type Ectype, ectypeIn } from '../support/ectype-cli.js';
import { makeImage, mounted } from '../support/ext4-image.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const random = randomFrom(SEED);
/** Stamps of the last two seconds before a run prove nothing. */
const SETTLED_MS = 2200;
const FS_BLOCK = 4 * KiB;

interface Pair {
  readonly source: string;
  readonly target: string;
  readonly ectype: Ectype;
  clone(...options: string[]): ReturnType<Ectype['clone']>;
}

async function clonedPair(name: string): Promise<Pair> {
  const source = join(scratch, `${name}-source.img`);
  const target = join(scratch, `${name}-target.img`);
  makeImage(source, 96 * MiB, ['-t', 'ext4', '-b', String(FS_BLOCK)]);
  mounted(source, (folder) => {
    mkdirSync(join(folder, 'photos/2026'), { recursive: true });
    mkdirSync(join(folder, 'letters'));
    for (let file = 0; file < 20; file += 1) writeFileSync(join(folder, `photos/2026/${file}.jpg`), random.bytes(MiB));
    writeFileSync(join(folder, 'letters/to\nnobody'), random.bytes(100 * KiB));
  });
  await sleep(SETTLED_MS);
  const ectype = ectypeIn(join(scratch, name));
  ectype.clone(source, target);
  return { source, target, ectype, clone: (...options) => ectype.clone(source, target, ...options) };
}

function change({ source }: Pair, name: string, bytes: number): void {
  mounted(source, (folder) => appendFileSync(join(folder, name), random.bytes(bytes)));
}

test('--show-changes names the files and folders that changed, and nothing that did not', async () => {
  const pair = await clonedPair('changes');
  change(pair, 'photos/2026/7.jpg', 3 * MiB);
  change(pair, 'letters/to\nnobody', 64 * KiB);
  const [changes, ...more] = pair.clone('--show-changes').changes ?? [];
  assert.equal(more, []);
  assert.equal(
    changes?.files.map(({ path }) => path),
    ['/photos/2026/7.jpg', '/letters/to\nnobody'],
  );
  assert.equal(
    changes?.folders.map(({ path }) => path),
    ['/photos', '/photos/2026', '/letters'],
  );
  const [photo] = changes?.files ?? [];
  assert.ok(photo && photo.bytes >= 3 * MiB && photo.bytes <= 4 * MiB, `${photo?.bytes} bytes of the photo`);
  assert.ok((changes?.structures ?? 0) > 0 && changes?.unnamed === 0);
  assert.equal(pair.clone('--show-changes').changes, [], 'then nothing did');
  assert.is(pair.clone().changes, undefined, 'nobody asked');
});

test('both sides are read after so many runs that wrote something', async () => {
  const pair = await clonedPair('check');
  const modes: (string | undefined)[] = [];
  for (let round = 0; round < 5; round += 1) {
    change(pair, 'letters/to\nnobody', KiB);
    for (const hasChanged of [true, false]) {
      const { plan, changed } = pair.clone('--full-check-every', '3');
      assert.is(changed, hasChanged);
      modes.push(plan.volumes[0]?.detect);
    }
  }
  // The check is the third run at the latest; one that finds nothing to write does not count.
  assert.equal(modes.join(' '), 'rapid rapid rapid compare rapid rapid rapid compare rapid rapid');
  change(pair, 'letters/to\nnobody', KiB);
  assert.is(pair.clone('--full-check-every', '0').plan.volumes[0]?.detect, 'rapid', 'never');
  const { plan } = pair.clone('--full-check-every', '3');
  assert.match(plan.volumes[0]?.detectReason ?? '', /full check after 2 runs/);
  assert.is(
    pair.ectype.refused(2, 'clone', '--full-check-every', 'often', pair.source, pair.target).code,
    'usage.bad-option',
  );
});

test('a full check finds what no run before it could: damage of the target', async () => {
  const pair = await clonedPair('damage');
  const block = Number(run('debugfs', ['-R', 'bmap photos/2026/3.jpg 10', pair.source])) * FS_BLOCK;
  assert.ok(block > 0);
  run('dd', [
    'if=/dev/urandom',
    `of=${pair.target}`,
    `bs=${FS_BLOCK}`,
    'count=1',
    `seek=${block / FS_BLOCK}`,
    'conv=notrunc',
  ]);
  change(pair, 'letters/to\nnobody', KiB);
  pair.clone();
  assert.not.ok(pair.ectype.verify(pair.source, pair.target).equal, 'a rapid run cannot see it');
  assert.is(pair.clone('--full-check-every', '1').plan.volumes[0]?.detect, 'compare');
  assert.ok(pair.ectype.verify(pair.source, pair.target).equal);
});

test('after a crash of the source everything is read: no stamp shows what was forced out before it', async () => {
  const pair = await clonedPair('crash');
  const { source, target, ectype } = pair;
  const crashed = join(scratch, 'crashed.img');
  mounted(source, (folder) => {
    const file = join(folder, 'photos/2026/5.jpg');
    run('dd', ['if=/dev/urandom', `of=${file}`, 'bs=4k', 'count=8', 'conv=notrunc,fdatasync']);
    copyFileSync(source, crashed); // what a power failure leaves at this moment
  });
  copyFileSync(crashed, source);
  rmSync(crashed);
  mounted(source, () => {}); // the kernel replays the journal
  const [volume] = ectype.clone(source, target).plan.volumes;
  assert.is(volume?.detect, 'hash');
  assert.match(volume?.detectReason ?? '', /crash/);
  assert.ok(ectype.verify(source, target).equal);
});

test.run();
