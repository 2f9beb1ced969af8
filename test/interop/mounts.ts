// Which mounted file systems lie on a disk, and in which order they can be frozen: asked of a real kernel.

import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { freezer } from '../../src/device/freeze.js';
import { filesystemOf, filesystemsBelow, type MountedFilesystem, mountsOf, swapsOf } from '../../src/device/mounts.js';
import { makeBtrfs, mounted } from '../support/btrfs-image.js';
import { type LiveDisk, withLiveDisk, withSafety } from '../support/live-disk.js';
import { HAS_LOOP, withExt4Mounted, withLoopDevice } from '../support/loop.js';
import { run, tryRun } from '../support/run.js';
import { emptyFile } from '../support/sample-disk.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const rooted = HAS_LOOP ? test : test.skip;
const path = (name: string): string => join(scratch, name);
const shown = (found: readonly MountedFilesystem[]): string[] =>
  found.map(({ type, points }) => `${type} ${points.join(' ')}`);

/** Undoes a mount whatever happens. */
function withMount<T>(words: readonly string[], point: string, body: () => T): T {
  mkdirSync(point, { recursive: true });
  run('mount', [...words, point]);
  try {
    return body();
  } finally {
    run('umount', [point]);
  }
}

function partsOf({ parts }: LiveDisk): { ext4: Part; xfs: Part; btrfs: Part } {
  const [ext4, xfs, btrfs] = parts;
  if (!ext4 || !xfs || !btrfs) throw new Error('a part is missing');
  return { ext4, xfs, btrfs };
}
type Part = LiveDisk['parts'][number];

rooted('every file system of an image, the innermost mount first, with its place', () =>
  withLiveDisk(scratch, (disk) => {
    const { ext4, xfs, btrfs } = partsOf(disk);
    const expected = [btrfs, xfs, ext4].map(({ type, point }) => `${type} ${point}`);
    const link = path('hard-link.img');
    linkSync(disk.image, link);
    const askFor = (asked: string): void => {
      const found = mountsOf(asked);
      assert.equal(shown(found), expected);
      for (const { type, places, readOnly, device } of found) {
        const { offset, loop } = disk.parts.find((part) => part.type === type) ?? ext4;
        assert.equal(places, [{ path: loop, offset, direct: true }]);
        assert.is(readOnly, false);
        assert.is(device.startsWith('0:'), type === 'btrfs', device);
      }
    };
    askFor(disk.image);
    askFor(link);
    withLoopDevice(disk.image, askFor);
    withLoopDevice(disk.image, (loop) => withLoopDevice(loop, askFor));
    for (const { loop, type, point } of disk.parts) assert.equal(shown(mountsOf(loop)), [`${type} ${point}`]);
  }),
);

rooted('bind mounts and subvolumes are the same file system, whatever their names', () =>
  withLiveDisk(scratch, (disk) => {
    const { xfs, btrfs } = partsOf(disk);
    run('btrfs', ['-q', 'subvolume', 'create', join(btrfs.point, 'home')]);
    const odd = path('odd name\twith \\ and "\u00e4"');
    withMount(['-o', 'subvol=home', btrfs.loop], odd, () => {
      const deep = join(xfs.point, 'a/b');
      withMount(['--bind', join(btrfs.point, 'home')], deep, () => {
        const found = mountsOf(disk.image).map(({ type, points }) => ({ type, points: [...points].sort() }));
        assert.equal(found[0], { type: 'xfs', points: [xfs.point] }, 'a btrfs mount lies higher now');
        assert.equal(found[1], { type: 'btrfs', points: [btrfs.point, deep, odd].sort() });
        assert.is(found.length, 3);
        assert.is(mountsOf(disk.image)[1]?.points[0], odd, 'the shallowest first');
      });
    });
  }),
);

rooted('a file system in a file of another is frozen first, wherever it is mounted', () =>
  withLiveDisk(scratch, async (disk) => {
    const { ext4 } = partsOf(disk);
    const inner = join(ext4.point, 'inner.img');
    emptyFile(inner, 8 * MiB);
    run('mke2fs', ['-q', '-F', '-t', 'ext4', inner]);
    run('sync', ['-f', ext4.point]);
    const point = path('shallow');
    await withMount(['-o', 'loop', inner], point, () =>
      withSafety([point], () => {
        const found = mountsOf(disk.image);
        assert.is(shown(found)[0], `ext4 ${point}`);
        assert.equal(found[0]?.places, []);
        assert.is(found.length, 4);
        writeFileSync(join(point, 'dirty'), Buffer.alloc(3 * MiB, 7));
        const below = filesystemsBelow(join(point, 'dirty'));
        for (const { device, points } of found) {
          assert.is(below.has(device), [point, ext4.point].includes(points[0] ?? ''), points[0]);
        }
        const ice = freezer(found);
        try {
          const before = performance.now();
          ice.freeze();
          assert.is(ice.thaw().length, 4);
          assert.ok(performance.now() - before < 5000);
        } finally {
          ice.close();
        }
      }),
    );
  }),
);

rooted('each device of a btrfs over several names it', () => {
  const images = ['two-0.img', 'two-1.img'].map(path);
  makeBtrfs(images, 128 * MiB, ['-m', 'raid1', '-d', 'raid1']);
  mounted(images, (folder) => {
    for (const image of images) assert.equal(shown(mountsOf(image)), [`btrfs ${folder}`]);
  });
  assert.equal(images.flatMap(mountsOf), []);
});

rooted('what is mounted in another name space only is named without a mount point, and cannot be opened', () => {
  const image = path('elsewhere.img');
  emptyFile(image, 8 * MiB);
  run('mke2fs', ['-q', '-F', '-t', 'ext4', image]);
  const module = new URL('../../src/device/mounts.js', import.meta.url).href;
  const freezing = new URL('../../src/device/freeze.js', import.meta.url).href;
  // Inside, the mount is taken out of the process's sight again by a second name space made before it.
  withLoopDevice(image, (loop) => {
    mkdirSync(path('elsewhere'));
    const code = `import { mountsOf } from '${module}'; import { freezer } from '${freezing}';
      const found = mountsOf('${loop}'); let error = '';
      try { freezer(found); } catch ({ code }) { error = code; }
      console.log(JSON.stringify({ found, error }));`;
    const script = `mount ${loop} ${path('elsewhere')} && nsenter -t $PPID -m -- "$0" --input-type=module -e "$1"; umount ${path('elsewhere')}`;
    const said = run('unshare', ['-m', 'sh', '-c', script, process.execPath, code]);
    const { found, error }: { found: MountedFilesystem[]; error: string } = JSON.parse(said);
    assert.equal(
      found.map(({ type, points, places }) => ({ type, points, places })),
      [{ type: '', points: [], places: [{ path: loop, offset: 0, direct: true }] }],
    );
    assert.is(error, 'filesystem.mount-out-of-reach');
  });
});

rooted('which file system holds a file, also one that is not there yet', () =>
  withLiveDisk(scratch, (disk) => {
    const { ext4, xfs, btrfs } = partsOf(disk);
    const devices = new Map(mountsOf(disk.image).map(({ type, device }) => [type, device]));
    run('btrfs', ['-q', 'subvolume', 'create', join(btrfs.point, 'sub')]);
    symlinkSync(join(btrfs.point, 'nothing/yet'), join(ext4.point, 'link'));
    symlinkSync('live/inner/inner/nothing', path('relative'));
    symlinkSync('loop', path('loop'));
    const cases: [string, string][] = [
      [ext4.point, 'ext4'],
      [join(ext4.point, 'not/there/yet'), 'ext4'],
      [xfs.point, 'xfs'],
      [join(xfs.point, 'new.log'), 'xfs'],
      [btrfs.point, 'btrfs'],
      [join(btrfs.point, 'sub/new'), 'btrfs'],
      [join(ext4.point, 'link'), 'btrfs'],
      [path('relative'), 'btrfs'],
    ];
    mkdirSync(path('live-neighbour'), { recursive: true });
    for (const [asked, type] of cases) {
      assert.is(filesystemOf(asked)?.type, type, asked);
      assert.is(filesystemOf(asked)?.device, devices.get(type), asked);
      assert.equal([...filesystemsBelow(asked)][0], devices.get(type), asked);
    }
    for (const asked of [path('live-neighbour'), scratch, '/proc/self/status', '/']) {
      assert.not.ok([...devices.values()].includes(filesystemOf(asked)?.device ?? ''), asked);
    }
    // Half way up a path that a mount covers: what counts is what is reached.
    withMount(['-t', 'tmpfs', 'cover'], xfs.point, () => {
      assert.is(filesystemOf(join(xfs.point, 'inner/x'))?.type, 'tmpfs');
    });
  }),
);

rooted('an overlay waits for the file system that it writes to', () =>
  withLiveDisk(scratch, (disk) => {
    const { ext4 } = partsOf(disk);
    const folders = ['lower', 'upper', 'work'].map((name) => join(ext4.point, name));
    for (const folder of folders) mkdirSync(folder);
    const [lower, upper, work] = folders;
    const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    const point = path('overlay');
    mkdirSync(point);
    if (tryRun('mount', ['-t', 'overlay', '-o', options, 'overlay', point]).status !== 0) {
      return console.log('this kernel has no overlay: not tested');
    }
    try {
      const device = mountsOf(ext4.loop)[0]?.device ?? '';
      assert.ok(filesystemsBelow(join(point, 'new')).has(device));
    } finally {
      run('umount', [point]);
    }
  }),
);

rooted('swap areas and swap files of the disk', () =>
  withExt4Mounted(path('swap-file.img'), 32 * MiB, (folder) => {
    const file = join(folder, 'swap file');
    run('dd', ['if=/dev/zero', `of=${file}`, 'bs=1M', 'count=8', 'status=none']);
    run('chmod', ['600', file]);
    const area = emptyFile(path('swap-area.img'), 8 * MiB);
    withLoopDevice(area, (loop) => {
      for (const each of [file, loop]) run('mkswap', ['-q', each]);
      if (tryRun('swapon', [file]).status !== 0) return console.log('swapon is not allowed here: not tested');
      try {
        run('swapon', [loop]);
        assert.equal(swapsOf(path('swap-file.img')), [{ path: file, isFile: true }]);
        for (const asked of [area, loop]) assert.equal(swapsOf(asked), [{ path: loop, isFile: false }]);
      } finally {
        tryRun('swapoff', [loop]);
        run('swapoff', [file]);
      }
    });
  }),
);

test.run();
