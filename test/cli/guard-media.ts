// Targets and sources that are refused because of what and where they are. Each refusal wrote nothing.

import { existsSync, linkSync, mkdirSync, readFileSync, symlinkSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { clones, ectype, refuses } from '../support/cli.js';
import { HAS_LOOP, withExt4Mounted, withLoopDevice } from '../support/loop.js';
import { makeNtfs } from '../support/ntfs-volume.js';
import { run, tryRun } from '../support/run.js';
import { emptyFile, SAMPLE, SAMPLE_SIZE, sampleDisk } from '../support/sample-disk.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const scratch = scratchFolder();
const cli = ectype(scratch);
const source = sampleDisk(scratch, 'source.img');
const path = (name: string): string => join(scratch, name);
const blank = (name: string, size = SAMPLE_SIZE): string => emptyFile(path(name), size);
const rooted = HAS_LOOP ? test : test.skip;

test('a target that is too small, with the exact gap', () => {
  // The last partition ends at 14 MiB; behind it come 32 sectors of entries and the header.
  const needed = 14 * MiB + 33 * 512;
  for (const size of [0, 1, MiB, needed - 512]) {
    const target = blank('small.img', size);
    const error = refuses(cli, ['clone', '--yes', '--layout', 'same', source, target], {
      status: 3,
      code: 'safety.target-too-small',
      message: /too small: the clone needs/,
      untouched: [source, target],
    });
    assert.equal(error['details'], { needed, targetSize: size, missing: needed - size });
  }
  clones(cli, [source, blank('just.img', needed)]);
});

test('a bare file system onto less than its size', () => {
  const bare = path('bare.img');
  makeNtfs(bare, { size: 4 * MiB, clusterSize: 4096 });
  const target = blank('bare-target.img', 4 * MiB - 1);
  const error = refuses(cli, ['clone', '--yes', '--layout', 'same', bare, target], {
    status: 3,
    code: 'safety.target-too-small',
    message: /the target is 1 byte too small/,
    untouched: [bare, target],
  });
  assert.is((error['details'] as Record<string, number>)['missing'], 1);
});

test('one disk under two names: the same path, a link, a hard link', () => {
  symlinkSync(source, path('link.img'));
  linkSync(source, path('hard.img'));
  for (const other of [source, path('link.img'), path('hard.img'), join(scratch, '.', 'source.img')]) {
    for (const words of [
      [source, other],
      [other, source],
    ]) {
      refuses(cli, ['clone', '--yes', '--overwrite-target', source, ...words], {
        status: 3,
        code: 'safety.same-disk',
        message: /both names mean the same medium/,
        untouched: [source],
      });
    }
  }
  assert.is(cli.run(['verify', source, path('link.img')]).status, 3);
});

rooted('one disk under two names: a file and the loop device over it, and two loop devices', () => {
  withLoopDevice(source, (loop) => {
    for (const words of [
      [source, loop],
      [loop, source],
    ]) {
      refuses(cli, ['clone', '--yes', ...words], {
        status: 3,
        code: 'safety.same-disk',
        message: /lies on/,
        untouched: [source],
      });
    }
    withLoopDevice(path('hard.img'), (second) => {
      refuses(cli, ['clone', '--yes', '--overwrite-target', second, loop, second], {
        status: 3,
        code: 'safety.target-in-use',
        message: new RegExp(`attached as ${loop}`),
        untouched: [source],
      });
    });
  });
});

rooted('a read-only target', () => {
  const file = blank('read-only.img');
  withLoopDevice(
    file,
    (loop) => {
      for (const options of [[], ['--dry-run']]) {
        refuses(cli, ['clone', '--yes', ...options, source, loop], {
          status: 3,
          code: 'safety.target-read-only',
          message: /is read-only/,
          untouched: [file],
        });
      }
    },
    { readOnly: true },
  );
  withLoopDevice(file, (loop) => {
    // The kernel keeps this mark after the device is detached: it must be taken back.
    run('blockdev', ['--setro', loop]);
    try {
      refuses(cli, ['clone', '--yes', source, loop], {
        status: 3,
        code: 'safety.target-read-only',
        message: /is read-only/,
        untouched: [file],
      });
    } finally {
      run('blockdev', ['--setrw', loop]);
    }
  });
});

rooted('every byte onto a target with other sectors than the source', () => {
  const file = blank('sectors.img');
  const refusal = { status: 3, code: 'safety.sector-size-differs', untouched: [file, source] };
  withLoopDevice(
    file,
    (loop) =>
      refuses(cli, ['clone', '--yes', '--forensic', source, loop], {
        ...refusal,
        message: /sectors of 512 bytes and the target of 4096/,
      }),
    { sectorSize: 4096 },
  );
  refuses(cli, ['clone', '--yes', '--forensic', '--sector-size', '4096', source, file], {
    ...refusal,
    message: /sectors of 512 bytes and the target of 4096/,
  });
});

rooted('no room for a target file', () => {
  withExt4Mounted(path('full.img'), 4 * MiB, (folder) => {
    const target = join(folder, 'clone.img');
    const error = refuses(cli, ['clone', '--yes', '--forensic', source, target], {
      status: 3,
      code: 'safety.lacks-room',
      message: /there is no room for .*clone.img: it may grow by .* too little$/,
      untouched: [target],
    });
    const { needed, free, missing } = error['details'] as Record<string, number>;
    assert.is(missing, Number(needed) - Number(free));
    const sparse = emptyFile(target, SAMPLE_SIZE);
    refuses(cli, ['clone', '--yes', '--forensic', source, sparse], {
      status: 3,
      code: 'safety.lacks-room',
      message: /no room/,
      untouched: [sparse],
    });
  });
});

test('what is no disk, is not there, or cannot be made', () => {
  mkdirSync(path('folder'));
  run('mkfifo', [path('fifo')]);
  const target = path('unmade.img');
  const there = blank('there.img');
  const cases: readonly (readonly [from: string, to: string, code: string, message: RegExp])[] = [
    [path('folder'), target, 'device.not-a-disk', /is a directory/],
    ['/dev/null', target, 'device.not-a-disk', /is a character device/],
    [path('fifo'), target, 'device.not-a-disk', /is a special file/],
    [path('missing'), target, 'device.cannot-open', /no such file or directory \(ENOENT\)/],
    [source, path('folder'), 'device.not-a-disk', /a directory, which cannot be a target/],
    [source, '/dev/null', 'device.not-a-disk', /a character device, which cannot be a target/],
    [source, path('fifo'), 'device.not-a-disk', /a special file, which cannot be a target/],
    [source, join(path('nowhere'), 'a.img'), 'device.no-folder', /there is no folder \S+nowhere$/],
    [source, '/dev/no-such-disk', 'device.cannot-open', /no such file or directory/],
    [source, join(there, 'x'), 'device.cannot-open', /./],
  ];
  for (const [from, to, code, message] of cases) {
    refuses(cli, ['clone', '--yes', from, to], { status: 4, code, message, untouched: [target, there, source] });
    assert.not.ok(existsSync(target));
  }
});

test('a source that ends before its table says', () => {
  const cut = sampleDisk(scratch, 'cut.img');
  truncateSync(cut, 8 * MiB);
  refuses(cli, ['clone', '--yes', cut, path('cut-target.img')], {
    status: 5,
    code: 'filesystem.partition-outside',
    message: /partition 2 "root" spans/,
    untouched: [cut, path('cut-target.img')],
  });
});

rooted('a partition that the kernel still has elsewhere than the table says', () => {
  const target = sampleDisk(scratch, 'stale.img');
  const { ext4, ntfs } = SAMPLE;
  const before = readFileSync(target);
  const changed = sampleDisk(scratch, 'changed.img');
  run('debugfs', ['-w', '-R', `write ${changed} new`, `${changed}?offset=${ext4.offset}`]);
  const device = run('losetup', ['-f', '--show', '-P', target]).trim();
  try {
    tryRun('delpart', [device, '2']);
    run('addpart', [device, '2', `${ntfs.offset / 512}`, `${ext4.length / 512}`]);
    clones(cli, [`--overwrite-target=${device}`, `${changed}#2`, `${device}#2`]);
  } finally {
    run('losetup', ['-d', device]);
  }
  const after = readFileSync(target);
  assert.ok(after.subarray(ntfs.offset).equals(before.subarray(ntfs.offset)), 'where the kernel has it');
  assert.is(cli.run(['verify', `${changed}#2`, `${target}#2`]).status, 0);
});

test.run();
