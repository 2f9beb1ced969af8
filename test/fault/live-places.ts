// What may lie on a file system that a live clone freezes: the state folder and what stdout goes to, but not the target.
// And what cannot be frozen is refused.

import { spawn } from 'node:child_process';
import { closeSync, cpSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { MAIN } from '../support/cli.js';
import { errorOf } from '../support/ending.js';
import { cloneLive, demandHealed, demandWritable, runLive, safely, withLiveVolume } from '../support/live-volume.js';
import { HAS_LOOP } from '../support/loop.js';
import { withNtfsMounted } from '../support/ntfs-mount.js';
import { newImage, RAPID_KINDS, type RapidKind } from '../support/rapid-kinds.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const rooted = HAS_LOOP ? test : test.skip;
const named = (wanted: string): RapidKind => {
  const kind = RAPID_KINDS.find(({ name }) => name === wanted);
  if (!kind) throw new Error(`no ${wanted}`);
  return kind;
};

rooted('a target on what would be frozen is refused', () =>
  withLiveVolume(named('ext4'), join(scratch, 'target'), async (volume) => {
    const direct = await runLive(volume, join(volume.point, 'target.img'));
    assert.is(direct.status, 3, direct.stdout);
    assert.is(errorOf(direct).code, 'safety.target-on-frozen');
    // On a file system in a file there it would hang all the same.
    const [image, folder] = [join(volume.point, 'inner.img'), join(volume.folder, 'inner')];
    newImage(named('ext4'), image, 16 * MiB);
    mkdirSync(folder);
    run('mount', ['-o', 'loop', image, folder]);
    try {
      const { status, stdout } = await runLive(volume, join(folder, 'target.img'));
      assert.is(status, 3, stdout);
    } finally {
      run('umount', [folder]);
    }
  }),
);

for (const kind of RAPID_KINDS.filter(({ name }) => name !== 'NTFS')) {
  rooted(`${kind.name}: the state folder may be frozen`, () =>
    withLiveVolume(kind, join(scratch, `state-${kind.name}`), async (outer) => {
      const volume = { ...outer, state: join(outer.point, 'state') };
      const target = join(volume.folder, 'target.img');
      for (const wanted of ['first', 'rapid', 'rapid']) {
        const { plan } = await cloneLive(volume, target);
        assert.is(plan.volumes[0]?.detect, wanted, plan.volumes[0]?.detectReason);
      }
      cpSync(volume.state, outer.state, { recursive: true });
      volume.unmount();
      await demandHealed(outer, target, ['rapid']);
    }),
  );

  rooted(`${kind.name}: what is told may go to a frozen file`, () =>
    withLiveVolume(kind, join(scratch, `stdout-${kind.name}`), async ({ device, point, folder, state }) => {
      const path = join(point, 'told');
      const told = openSync(path, 'w');
      const words = [MAIN, 'clone', '--live', '--yes', '--json', device, join(folder, 'target.img')];
      const status = await safely(point, async () => {
        const env = { ...process.env, ECTYPE_STATE: state };
        const child = spawn(process.execPath, words, { env, stdio: ['ignore', told, told] });
        const ended = await new Promise<number | null>((resolve) => child.on('exit', resolve));
        await demandWritable(point);
        return ended;
      });
      closeSync(told);
      const text = readFileSync(path, 'utf8');
      assert.is(status, 0, text);
      const last = text.trimEnd().split('\n').at(-1) ?? '';
      assert.is((JSON.parse(last) as { event: string }).event, 'result', text);
    }),
  );
}

rooted('a file system that nobody can freeze is refused', async () => {
  const folder = join(scratch, 'fuse');
  mkdirSync(folder);
  const image = join(folder, 'source.img');
  newImage(named('NTFS'), image);
  const device = run('losetup', ['-f', '--show', image]).trim();
  try {
    const work = async (point: string): Promise<void> => {
      const volume = { kind: named('NTFS'), image, device, point, folder, state: join(folder, 'state') };
      const ended = await runLive({ ...volume, unmount: () => {} }, join(folder, 'target.img'));
      assert.is(ended.status, 5, ended.stdout);
      assert.is(errorOf(ended).code, 'filesystem.cannot-hold-still');
    };
    await withNtfsMounted(image, work, { device });
  } finally {
    run('losetup', ['-d', device]);
  }
});

test.run();
