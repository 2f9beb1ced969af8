// Media that fail and folders that are full: the right exit status, a message that names what and where, a target that
// never looks finished, and a next run that ends equal.

import type { ChildProcess } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JsonEvent } from '../support/cli.js';
import { withCrowdedFolder } from '../support/crowded.js';
import { ectypeUntil } from '../support/ending.js';
import { replaceContent } from '../support/power-cut.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { blankFile, demandMarked, hasTable, trouble } from '../support/trouble.js';

const MiB = 1 << 20;
const folder = scratchFolder();
const ROOT = process.getuid?.() === 0;
const { source, content, size, clone, failed, recovers } = trouble(folder);
let states = 0;

const newState = (): string => {
  states += 1;
  return join(folder, `state-${states}`);
};

async function withLoop(file: string, body: (device: string) => Promise<void>): Promise<void> {
  const device = run('losetup', ['-f', '--show', file]).trim();
  try {
    await body(device);
  } finally {
    run('losetup', ['-d', device]);
  }
}

/** Blocks that a sparse file takes: 0 where nothing was ever written. */
function allocated(path: string): number {
  const fd = openSync(path, 'r');
  try {
    return fstatSync(fd).blocks;
  } finally {
    closeSync(fd);
  }
}

test('a source file that shrinks while it is read', async () => {
  const shrinking = join(folder, 'shrinking.img');
  replaceContent(shrinking, content);
  const target = blankFile(join(folder, 'of-shrinking.img'), size);
  const state = newState();
  const onEvent = ({ event, phase }: JsonEvent): void => {
    if (event === 'phase' && phase === 'copy') truncateSync(shrinking, 30 * MiB);
  };
  const words = ['clone', '--yes', '--json', shrinking, target];
  const ended = await ectypeUntil(words, { state, onEvent });
  failed(ended, { status: 4, code: 'device.read-past-end', message: /shrinking\.img at .* ends .* too early/ });
  demandMarked(target);
  replaceContent(shrinking, content);
  assert.is((await ectypeUntil(words, { state })).status, 0);
  assert.is((await ectypeUntil(['verify', shrinking, target], { state })).status, 0);
});

if (ROOT) {
  test('input/output errors of the source', () => {
    const backing = join(folder, 'backing.img');
    replaceContent(backing, content);
    return withLoop(backing, async (device) => {
      const target = blankFile(join(folder, 'of-failing.img'), size);
      const state = newState();
      const onEvent = ({ event, phase }: JsonEvent): void => {
        // What a loop device cannot read from its file is an input/output error.
        if (event === 'phase' && phase === 'copy') truncateSync(backing, 30 * MiB);
      };
      const words = ['clone', '--yes', '--json', device, target];
      const ended = await ectypeUntil(words, { state, onEvent });
      const message = new RegExp(
        `cannot read ${device} at [\\d.]+ MiB \\(byte \\d+, LBA \\d+\\): input/output error \\(EIO\\)`,
      );
      failed(ended, { status: 4, code: 'device.cannot-read', message });
      demandMarked(target);
      replaceContent(backing, content);
      assert.is((await ectypeUntil(words, { state })).status, 0);
      assert.is((await ectypeUntil(['verify', device, target], { state })).status, 0);
    });
  });

  test('no room for the target file: somebody else takes it while the copy is under way', () =>
    withCrowdedFolder(join(folder, 'crowded'), '100m', async ({ path }) => {
      const target = join(path, 'target.img');
      const state = newState();
      const other = join(path, 'other');
      // What is left is enough to begin with.
      // What is left is enough to begin with. The run stands still meanwhile.
      const takeRoom = ({ event }: JsonEvent, child: ChildProcess): void => {
        if (event !== 'plan') return;
        child.kill('SIGSTOP');
        const { bavail, bsize } = statfsSync(path);
        writeFileSync(other, Buffer.alloc(Math.max(0, bavail * bsize - 8 * MiB), 1));
        child.kill('SIGCONT');
      };
      const message = /cannot write \S+target\.img at .*: no space left on the device \(ENOSPC\)/;
      for (let again = 0; again < 2; again += 1) {
        const ended = await clone(target, { state, onEvent: takeRoom });
        failed(ended, { status: 4, code: 'device.cannot-write', message });
        demandMarked(target);
        rmSync(other);
      }
      assert.ok(allocated(target) > 0);
      await recovers(target, { state });
    }));

  test('a target device that fails to write', () =>
    withCrowdedFolder(join(folder, 'crowded'), '12m', ({ path, remount }) =>
      withLoop(blankFile(join(path, 'backing.img'), size), async (device) => {
        const state = newState();
        const ended = await clone(device, { state });
        const message = new RegExp(`(cannot write|cannot make the writes to) ${device}.*(EIO|ENOSPC)`);
        const error = ended.events.findLast(({ event }) => event === 'error');
        failed(ended, { status: 4, code: String(error?.['code']), message });
        demandMarked(device);
        remount('size=300m');
        await recovers(device, { state });
      }),
    ));

  test('no room for the state, at every moment of a run', async () => {
    // From nothing at all to just enough: the record, its replacement, the maps' headers and pages fail one after the other.
    const codes = new Set<string>();
    for (let kib = 4; kib <= 64; kib += rounds({ short: 12, long: 4 })) {
      await withCrowdedFolder(join(folder, 'crowded'), `${kib}k`, async ({ path, remount }) => {
        const target = blankFile(join(folder, 'of-crowded.img'), size);
        const state = join(path, 'state');
        const ended = await clone(target, { state });
        if (ended.status !== 0) {
          const error = ended.events.findLast(({ event }) => event === 'error');
          codes.add(String(error?.['code']));
          failed(ended, { status: 4, code: String(error?.['code']), message: /\/crowded\/state\/.*ENOSPC/ });
          if (allocated(target) > 0) assert.ok(!hasTable(target) || readFileSync(target).length === size);
        }
        remount('size=10m');
        await recovers(target, { state });
      });
    }
    assert.ok(codes.has('device.state-unusable'), [...codes].join(' '));
  });

  test('a state folder that cannot be written: nothing is written to the target either', () =>
    withCrowdedFolder(join(folder, 'crowded'), '10m', async ({ path, remount }) => {
      const target = blankFile(join(folder, 'of-read-only.img'), size);
      const state = join(path, 'state');
      remount('ro');
      const ended = await clone(target, { state });
      failed(ended, {
        status: 4,
        code: 'device.state-unusable',
        message: /cannot keep state in \S+\/crowded\/state\S*: read-only file system \(EROFS\)/,
      });
      assert.is(allocated(target), 0);
      remount('rw');
      await recovers(target, { state });
      // Known by now: a later run fails the same way, and leaves the finished target alone.
      const before = readFileSync(target);
      remount('ro');
      failed(await clone(target, { state }, '--detect', 'compare'), {
        status: 4,
        code: 'device.state-unusable',
        message: /EROFS/,
      });
      assert.ok(readFileSync(target).equals(before));
    }));
}

test('a target that is not there, and a source that is not', async () => {
  const state = newState();
  const nowhere = join(folder, 'nowhere', 'target.img');
  failed(await clone(nowhere, { state }), {
    status: 4,
    code: 'device.no-folder',
    message: /there is no folder \S+\/nowhere$/,
  });
  const ended = await ectypeUntil(['clone', '--yes', '--json', join(folder, 'nothing.img'), source], { state });
  failed(ended, { status: 4, code: 'device.cannot-open', message: /nothing\.img.*ENOENT/ });
});

test.run();
