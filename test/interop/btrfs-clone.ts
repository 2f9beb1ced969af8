// The command line clones a btrfs: allocated blocks only; again after changes; refused while a log waits or devices miss.

import { closeSync, copyFileSync, fsyncSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { addSnapshots, fillWithHistory } from '../support/btrfs-corpus.js';
import { demandPerfect, demandScrubbed, makeBtrfs, mounted } from '../support/btrfs-image.js';
import { digestFolder } from '../support/ext4-corpus.js';
import { randomFrom, SEED } from '../support/random.js';
import { type Ran, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const MAIN = fileURLToPath(new URL('../../bundle/cli/main.js', import.meta.url));
const SIZE = 256 * MiB;

const ectype = (...args: string[]): Ran =>
  tryRun(process.execPath, [MAIN, ...args], { env: { ECTYPE_STATE: join(scratch, 'state') } });

function done(ran: Ran): string {
  assert.is(ran.status, 0, ran.stdout + ran.stderr);
  return ran.stdout;
}

test('clone, verify, change, clone again', () => {
  const source = join(scratch, 'source.img');
  const target = join(scratch, 'target.img');
  const random = randomFrom(SEED);
  makeBtrfs([source], SIZE, ['-L', 'root']);
  mounted([source], (folder) => fillWithHistory(folder, random, 24 * MiB));
  assert.match(done(ectype('inspect', source)), /btrfs "root"[\s\S]*clean[\s\S]*what is allocated/);
  writeFileSync(target, Buffer.alloc(SIZE, 0xa5));
  done(ectype('clone', '--yes', `--overwrite-target=${target}`, source, target));
  done(ectype('verify', source, target));

  const wanted = mounted([source], (folder) => {
    addSnapshots(folder, random);
    return digestFolder(folder);
  });
  const differs = ectype('verify', source, target);
  assert.is(differs.status, 7, differs.stdout + differs.stderr);
  done(ectype('clone', '--yes', source, target));
  done(ectype('verify', source, target));
  demandPerfect([target]);
  const found = mounted(
    [target],
    (folder) => {
      demandScrubbed(folder);
      return digestFolder(folder);
    },
    'ro',
  );
  assert.equal([...found], [...wanted]);
});

test('a log tree to replay is refused, and says what to do', () => {
  const source = join(scratch, 'logged.img');
  const crashed = join(scratch, 'crashed.img');
  makeBtrfs([source], SIZE, []);
  mounted([source], (folder) => {
    const fd = openSync(join(folder, 'a'), 'w');
    writeFileSync(fd, Buffer.alloc(100_000, 7));
    fsyncSync(fd);
    closeSync(fd);
    copyFileSync(source, crashed);
  });
  const { status, stderr, stdout } = ectype('clone', '--yes', crashed, join(scratch, 'never.img'));
  assert.is(status, 5, stdout + stderr);
  assert.match(stderr, /log tree was not replayed/);
  assert.match(stderr, /Mount it and unmount it/);
});

test('one of two devices is refused but for --forensic; both copies together are the file system', () => {
  const images = [join(scratch, 'first.img'), join(scratch, 'second.img')];
  const copies = images.map((image) => `${image}.copy`);
  makeBtrfs(images, 160 * MiB, ['-m', 'raid1', '-d', 'raid1']);
  const random = randomFrom(SEED);
  const wanted = mounted(images, (folder) => {
    fillWithHistory(folder, random, 16 * MiB);
    return digestFolder(folder);
  });
  for (const [index, image] of images.entries()) {
    const refused = ectype('clone', '--yes', image, copies[index] ?? '');
    assert.is(refused.status, 5, refused.stdout + refused.stderr);
    assert.match(refused.stderr, /one of the 2 devices/);
    assert.match(refused.stderr, /Clone all 2 devices while none of them is mounted, each with --forensic$/m);
    done(ectype('clone', '--yes', '--forensic', image, copies[index] ?? ''));
  }
  const found = mounted(copies, digestFolder, 'ro');
  assert.equal([...found], [...wanted]);
});

test.run();
