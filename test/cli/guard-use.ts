// Targets and sources that are refused because something uses them, or because one lies on the other.

import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { clones, ectype, refuses } from '../support/cli.js';
import { HAS_LOOP, withExt4Mounted, withLoopDevice } from '../support/loop.js';
import { withNtfsMounted } from '../support/ntfs-mount.js';
import { makeNtfs } from '../support/ntfs-volume.js';
import { run, tryRun } from '../support/run.js';
import { emptyFile, SAMPLE_SIZE, sampleDisk } from '../support/sample-disk.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const scratch = scratchFolder();
const cli = ectype(scratch);
const source = sampleDisk(scratch, 'source.img');
const path = (name: string): string => join(scratch, name);
const blank = (name: string, size = SAMPLE_SIZE): string => emptyFile(path(name), size);
const rooted = HAS_LOOP ? test : test.skip;

rooted('a source on a file system of the target, and a target on a file system of the source', () => {
  const host = path('host.img');
  withExt4Mounted(host, 48 * MiB, (folder) => {
    const inner = join(folder, 'inner.img');
    copyFileSync(source, inner);
    run('sync', ['-f', folder]);
    const loop = run('losetup', ['-j', host, '-O', 'NAME', '-n']).trim();
    for (const outer of [loop, host]) {
      refuses(cli, ['clone', '--yes', inner, outer], {
        status: 3,
        code: 'safety.same-disk',
        message: /inner.img lies on/,
        untouched: [inner],
      });
      refuses(cli, ['clone', '--yes', outer, inner], {
        status: 3,
        code: 'safety.same-disk',
        message: /inner.img lies on/,
        untouched: [inner],
      });
    }
    refuses(cli, ['clone', '--yes', loop, join(folder, 'new.img')], {
      status: 3,
      code: 'safety.source-in-use',
      message: /mounted on/,
      untouched: [inner],
    });
    assert.not.ok(existsSync(join(folder, 'new.img')));
  });
});

rooted('a mounted target, as a device, as the file behind it, and as a mounted source', () => {
  const mounted = path('mounted.img');
  withExt4Mounted(mounted, 24 * MiB, (folder) => {
    run('mount', ['-o', 'remount,ro', folder]);
    run('sync');
    const loop = run('losetup', ['-j', mounted, '-O', 'NAME', '-n']).trim();
    for (const target of [loop, mounted]) {
      refuses(cli, ['clone', '--yes', '--overwrite-target', target, source, target], {
        status: 3,
        code: 'safety.target-in-use',
        message: /is in use: mounted on \/\S+mounted\.img\.mounted/,
        untouched: [mounted, source],
      });
      refuses(cli, ['clone', '--yes', target, path('never.img')], {
        status: 3,
        code: 'safety.source-in-use',
        message: /could change while it is copied: mounted on/,
        untouched: [mounted, path('never.img')],
      });
    }
  });
});

rooted('a target that ntfs-3g has mounted from a raw file', async () => {
  const image = path('fuse.img');
  makeNtfs(image, { size: 20 * MiB, clusterSize: 4096 });
  await withNtfsMounted(
    image,
    () =>
      refuses(cli, ['clone', '--yes', '--overwrite-target', image, source, image], {
        status: 3,
        code: 'safety.target-in-use',
        message: /is in use: mounted on/,
        untouched: [image],
      }),
    { options: 'ro' },
  );
});

rooted('a target that is swap space in use', () => {
  const file = blank('swap.img', 24 * MiB);
  withLoopDevice(file, (loop) => {
    run('mkswap', [loop]);
    if (tryRun('swapon', [loop]).status !== 0) return console.log('swapon is not allowed here: not tested');
    try {
      for (const target of [loop, file]) {
        refuses(cli, ['clone', '--yes', '--overwrite-target', target, source, target], {
          status: 3,
          code: 'safety.target-in-use',
          message: /swap space in use/,
          untouched: [], // the kernel itself may write to it meanwhile
        });
      }
      assert.is(readFileSync(file).toString('latin1', 4086, 4096), 'SWAPSPACE2');
    } finally {
      run('swapoff', [loop]);
    }
  });
});

rooted('a file that is attached as a loop device is no target under its own name', () => {
  const file = blank('attached.img');
  withLoopDevice(file, (loop) => {
    refuses(cli, ['clone', '--yes', source, file], {
      status: 3,
      code: 'safety.target-in-use',
      message: new RegExp(`attached as ${loop}`),
      untouched: [file],
    });
    clones(cli, [source, loop]);
  });
});

rooted('a target that holds the state folder', () => {
  const image = path('state-host.img');
  withExt4Mounted(image, 24 * MiB, (folder) => {
    const inside = ectype(folder);
    const loop = run('losetup', ['-j', image, '-O', 'NAME', '-n']).trim();
    for (const target of [loop, image]) {
      const { status, events } = inside.json(['clone', '--yes', '--overwrite-target', target, source, target]);
      assert.is(status, 3);
      assert.is(events.at(-1)?.['code'], 'safety.target-holds-state');
    }
  });
});

test.run();
