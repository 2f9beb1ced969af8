// File systems that are frozen: everybody who writes waits, all of them come free again, and nobody hides it if one came
// free too early. Real ext4, xfs and btrfs, mounted inside each other.

import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { freezer } from '../../src/device/freeze.js';
import { type MountedFilesystem, mountsOf } from '../../src/device/mounts.js';
import { type LiveDisk, waitingIn, withLiveDisk, writeIn } from '../support/live-disk.js';
import { HAS_LOOP } from '../support/loop.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const rooted = HAS_LOOP ? test : test.skip;
const pointsOf = ({ parts }: LiveDisk): string[] => parts.map(({ point }) => point);

function failure(work: () => void): ToolError {
  try {
    work();
  } catch (error) {
    if (error instanceof ToolError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

rooted('writers wait on all of them, readers do not, and all go on after the thaw', () =>
  withLiveDisk(scratch, async (disk) => {
    const points = pointsOf(disk);
    for (let round = 0; round < 3; round += 1) {
      const ice = freezer(mountsOf(disk.image));
      try {
        assert.equal(ice.cannotFreeze, []);
        await Promise.all(points.map((point) => writeIn(point).ended));
        ice.sync();
        ice.freeze();
        const writers = points.map(writeIn);
        await sleep(300);
        assert.equal(
          writers.map(({ done }) => done()),
          [undefined, undefined, undefined],
        );
        for (const point of points) run('ls', ['-l', point]);
        const before = performance.now();
        const times = ice.thaw();
        for (const { ended } of writers) assert.ok((await ended) - before < 1000);
        // In reverse order: the outermost was frozen last and is thawed first.
        assert.equal(
          times.map(({ point }) => point),
          points,
        );
        const all = times.map(({ ms }) => ms);
        assert.ok(
          all.every((ms) => ms >= 290 && ms < 5000),
          String(all),
        );
        assert.equal(
          all,
          [...all].sort((a, b) => a - b),
          'the first to be frozen is the last to be thawed',
        );
        assert.equal(ice.thaw(), [], 'nothing is frozen any more');
      } finally {
        ice.close();
      }
    }
  }),
);

rooted('what is frozen is on the disk: a copy taken meanwhile is whole', () =>
  withLiveDisk(scratch, (disk) => {
    const [ext4] = disk.parts;
    if (!ext4) throw new Error('no parts');
    const ice = freezer(mountsOf(disk.image));
    try {
      run('sh', ['-c', `for i in 1 2 3 4 5; do head -c 300000 /dev/urandom > ${ext4.point}/f$i; done`]);
      ice.freeze();
      const copy = `${disk.image}.copy`;
      run('dd', [`if=${ext4.loop}`, `of=${copy}`, 'bs=1M', 'iflag=direct', 'status=none']);
      ice.thaw();
      assert.is(tryRun('e2fsck', ['-fn', copy]).status, 0);
      assert.match(run('dumpe2fs', ['-h', copy]), /Filesystem features:(?!.*needs_recovery)/);
      run('rm', [copy]);
    } finally {
      ice.close();
    }
  }),
);

rooted('one that is frozen by somebody else is named, left as it is, and the others are thawed', () =>
  withLiveDisk(scratch, async (disk) => {
    const points = pointsOf(disk);
    for (const [index, point] of points.entries()) {
      const ice = freezer(mountsOf(disk.image));
      try {
        run('fsfreeze', ['-f', point]);
        const { code, message } = failure(() => ice.freeze());
        assert.is(code, 'filesystem.cannot-freeze');
        assert.ok(message.includes(`on ${point} `), message);
        assert.equal(
          await waitingIn(points),
          points.map((_, each) => each === index),
        );
        ice.close();
        assert.equal(await waitingIn([point]), [true]);
        run('fsfreeze', ['-u', point]);
      } finally {
        ice.close();
        tryRun('fsfreeze', ['-u', point]);
      }
    }
  }),
);

rooted('a thaw by somebody else does not stay hidden, and the others are thawed all the same', () =>
  withLiveDisk(scratch, async (disk) => {
    const points = pointsOf(disk);
    for (const foreign of [points.slice(0, 1), points.slice(1, 2), points.slice(2), points]) {
      const ice = freezer(mountsOf(disk.image));
      try {
        ice.freeze();
        for (const point of foreign) run('fsfreeze', ['-u', point]);
        const { code, details } = failure(() => ice.thaw());
        assert.is(code, 'filesystem.thawed-by-another');
        assert.equal(details['points'], foreign);
        assert.equal(await waitingIn(points), [false, false, false]);
        ice.freeze();
        assert.is(ice.thaw().length, 3);
      } finally {
        ice.close();
      }
    }
  }),
);

rooted('closing thaws what is frozen still', () =>
  withLiveDisk(scratch, async (disk) => {
    const ice = freezer(mountsOf(disk.image));
    ice.freeze();
    ice.close();
    ice.close();
    assert.equal(await waitingIn(pointsOf(disk)), [false, false, false]);
    assert.throws(() => ice.freeze(), /internal error/);
  }),
);

rooted('read-only file systems are frozen, too: nobody can make them writable meanwhile', () =>
  withLiveDisk(scratch, (disk) => {
    const [first] = disk.parts;
    if (!first) throw new Error('no parts');
    run('mount', ['-o', 'remount,ro', first.point]);
    const mounted = mountsOf(first.loop);
    assert.equal(
      mounted.map(({ readOnly }) => readOnly),
      [true],
    );
    const ice = freezer(mounted);
    try {
      ice.freeze();
      assert.is.not(tryRun('mount', ['-o', 'remount,rw', first.point]).status, 0);
      ice.thaw();
      run('mount', ['-o', 'remount,rw', first.point]);
    } finally {
      ice.close();
    }
  }),
);

rooted('types that cannot be frozen are told before anything is frozen, and left alone', () =>
  withLiveDisk(scratch, (disk) => {
    const [inner, ...others] = mountsOf(disk.image);
    if (!inner) throw new Error('no mounts');
    const vfat: MountedFilesystem = { ...inner, type: 'vfat' };
    const ice = freezer([vfat, ...others]);
    try {
      assert.equal(ice.cannotFreeze, [vfat]);
      ice.freeze();
      assert.equal(
        ice.thaw().map(({ point }) => point),
        others.map(({ points }) => points[0]).reverse(),
      );
    } finally {
      ice.close();
    }
  }),
);

rooted('a file system that is hidden by another mount is out of reach, unless it has another mount', () =>
  withLiveDisk(scratch, (disk) => {
    const inner = disk.parts.at(-1);
    if (!inner) throw new Error('no parts');
    const aside = `${scratch}/aside`;
    run('mount', ['-t', 'tmpfs', 'cover', inner.point]);
    try {
      const hidden = failure(() => freezer(mountsOf(inner.loop)));
      assert.is(hidden.code, 'filesystem.mount-out-of-reach');
      run('umount', [inner.point]);
      run('mkdir', ['-p', aside]);
      run('mount', ['--bind', inner.point, aside]);
      run('mount', ['-t', 'tmpfs', 'cover', inner.point]);
      const ice = freezer(mountsOf(inner.loop));
      try {
        ice.freeze();
        assert.equal(
          ice.thaw().map(({ point }) => point),
          [aside],
        );
      } finally {
        ice.close();
      }
    } finally {
      run('umount', [inner.point]);
      tryRun('umount', [aside]);
    }
  }),
);

test.run();
