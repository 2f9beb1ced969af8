// A whole XFS through the command line: only what it uses is copied, again only what changed, and never an unclean one.

import { copyFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { clones, ectype, refuses } from '../support/cli.js';
import { digestFolder, fillFolder, thinFolder } from '../support/ext4-corpus.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';
import { demandPerfectXfs, makeXfs, mountedXfs, usedByXfsDb, writeSynced } from '../support/xfs-image.js';

const scratch = scratchFolder();
const cli = ectype(scratch);
const source = join(scratch, 'source.img');
const target = join(scratch, 'target.img');

makeXfs(source, 320 * MiB, ['-L', 'standby', '-l', 'size=10m']);
mountedXfs(source, (folder) => {
  fillFolder(folder, randomFrom(SEED), { files: 400, largest: 4 * MiB, total: 80 * MiB });
  run('sync', ['-f', folder]);
  thinFolder(folder, randomFrom(SEED));
});

function sameFiles(): void {
  demandPerfectXfs(target);
  const wanted = mountedXfs(source, digestFolder, 'ro,norecovery');
  const copy = join(scratch, 'mounted.img');
  copyFileSync(target, copy);
  assert.equal([...mountedXfs(copy, digestFolder)], [...wanted]);
  rmSync(copy);
}

test('the first clone copies what is used', () => {
  const used = usedByXfsDb(source);
  clones(cli, [source, target]);
  const allocated = statSync(target).blocks * 512;
  // Blocks of 64 KiB are copied when any part of them is used.
  assert.ok(allocated < used + 40 * MiB && allocated < 0.6 * 320 * MiB, `${allocated} allocated, ${used} used`);
  sameFiles();
  const { status, stdout } = cli.run(['verify', source, target]);
  assert.is(status, 0, stdout);
});

test('the second clone copies what changed; the third writes nothing', () => {
  mountedXfs(source, (folder) => writeFileSync(join(folder, 'new'), randomFrom(SEED).bytes(2 * MiB)));
  clones(cli, [source, target]);
  sameFiles();
  const { mtimeMs } = statSync(target);
  clones(cli, [source, target]);
  assert.is(statSync(target).mtimeMs, mtimeMs);
  assert.is(cli.run(['verify', source, target]).status, 0);
});

test('inspect names it', () => {
  const { status, stdout } = cli.run(['inspect', source]);
  assert.is(status, 0);
  assert.match(stdout, /xfs/);
  assert.match(stdout, /standby/);
});

test('a log that waits for its replay is refused', () => {
  const crashed = join(scratch, 'crashed.img');
  mountedXfs(source, (folder) => {
    writeSynced(join(folder, 'synced'), Buffer.alloc(100_000, 1));
    run('cp', ['--sparse=always', source, crashed]);
  });
  const error = refuses(cli, ['clone', '--yes', crashed, target], {
    status: 5,
    code: 'filesystem.unclean',
    message: /log was not replayed/,
    untouched: [],
  });
  assert.match(String(error['hint']), /Mount it and unmount it once/);
});

test.run();
