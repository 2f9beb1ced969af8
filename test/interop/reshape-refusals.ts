// What cannot be shown at another size says so, names why, and starts nothing; steps and devices work.

import { mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { minimumSize } from '../../src/reshape/minimum.js';
import { makeView, type Step, type ViewOptions } from '../../src/reshape/view.js';
import { programsOf } from '../../src/reshape/view-folder.js';
import { HAS_LOOP } from '../support/loop.js';
import type { Content } from '../support/partition-content.js';
import { thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { assertNothingLeft, digestOf, dumpView, judgeView, makeScene, viewOptions } from '../support/reshape.js';
import { run } from '../support/run.js';
import { emptyFile, putBytes } from '../support/sample-disk.js';
import { scratchFolder } from '../support/scratch.js';

const folder = scratchFolder();
let made = 0;

function newFolder(): string {
  made += 1;
  const path = join(folder, `${made}`);
  mkdirSync(path);
  return path;
}

/** The options for a whole file that one command has made. */
function bare(filesystem: string, size: number, command: string, args: readonly string[]): ViewOptions {
  const scratch = newFolder();
  const path = emptyFile(join(scratch, 'volume'), size);
  run(command, [...args, path]);
  const source = { path, kind: 'file', offset: 0, length: size } as const;
  return { source, filesystem, size: 2 * size, sectorSize: 512, scratch, name: 'the volume' };
}

async function refused(options: ViewOptions, code: string, message: RegExp): Promise<void> {
  const before = digestOf(options.source.path);
  const error = await thrownBy(() => makeView(options));
  assert.is((error as { code?: string }).code, code, String(error));
  assert.match(String(error), message);
  assertNothingLeft(options.scratch);
  assert.is(digestOf(options.source.path), before);
}

const UNSUPPORTED = 'filesystem.resize-unsupported';
const ext4 = (size = 32 * MiB): ViewOptions => bare('ext4', size, 'mke2fs', ['-q', '-F', '-t', 'ext4']);

test('file systems that nothing resizes', async () => {
  await refused(bare('exfat', 16 * MiB, 'mkfs.exfat', []), UNSUPPORTED, /the volume \(exfat\).*no program on Linux/);
  await refused(bare('fat12', 2 * MiB, 'mkfs.vfat', ['-F', '12']), UNSUPPORTED, /FAT12 has no room/);
  await refused({ ...ext4(), filesystem: 'crypto_LUKS' }, UNSUPPORTED, /crypto_LUKS.*what is there now is ext4/);
});

test('another file system than was said, and none', async () => {
  await refused({ ...ext4(), filesystem: 'xfs' }, UNSUPPORTED, /what is there now is ext4/);
  const empty = bare('ext4', 4 * MiB, 'true', []);
  await refused(empty, UNSUPPORTED, /what is there now is no known file system/);
});

test('parts on other devices', async () => {
  const options = bare('btrfs', 160 * MiB, 'true', []);
  const other = emptyFile(join(options.scratch, 'other'), 160 * MiB);
  run('mkfs.btrfs', ['-q', options.source.path, other]);
  await refused(options, 'filesystem.unclean', /btrfs/);
  const xfs = bare('xfs', 320 * MiB, 'true', []);
  const log = emptyFile(join(xfs.scratch, 'log'), 80 * MiB);
  run('mkfs.xfs', ['-q', '-l', `logdev=${log},size=64m`, xfs.source.path]);
  await refused(xfs, 'filesystem.unclean', /log lies on another device/);
});

test('bigalloc shrinks with no tool', async () => {
  const options = bare('ext4', 64 * MiB, 'mke2fs', ['-q', '-F', '-t', 'ext4', '-O', 'bigalloc']);
  await refused({ ...options, size: 48 * MiB }, UNSUPPORTED, /bigalloc/);
});

test('an unclean file system is not repaired', async () => {
  const options = ext4();
  run('debugfs', ['-w', '-R', 'set_super_value state 2', options.source.path]);
  await refused(options, 'filesystem.unclean', /the volume \(ext4\) cannot be copied consistently/);
});

test('damage that only e2fsck sees ends the run', async () => {
  const options = ext4();
  run('debugfs', ['-w', '-R', 'clri <2>', options.source.path]);
  await refused(options, 'filesystem.program-failed', /cannot check the volume before.*e2fsck ended with 4/);
});

test('what e2fsck puts right unasked is said', async () => {
  const options = ext4();
  run('debugfs', ['-w', '-R', 'set_inode_field <2> links_count 77', options.source.path]);
  const before = digestOf(options.source.path);
  const view = await makeView(options);
  await view.close();
  assert.match(view.notes.join(), /e2fsck put small things right/);
  assert.is(digestOf(options.source.path), before);
});

test('a program that is not installed', async () => {
  const options = bare('swap', 4 * MiB, 'mkswap', ['-q']);
  const { PATH } = process.env;
  const real = { ...process.env };
  process.env['PATH'] = newFolder();
  try {
    // Folders of administrators are searched in any case; qemu lies elsewhere.
    await refused(options, 'device.program-missing', /the program qemu-img is needed and is not installed/);
  } finally {
    process.env['PATH'] = PATH ?? real['PATH'];
  }
});

test('a scratch folder that is not there', async () => {
  const options = { ...ext4(), scratch: join(folder, 'nowhere') };
  const error = await thrownBy(() => makeView(options));
  assert.is((error as { code?: string }).code, 'device.scratch-unusable', String(error));
});

if (HAS_LOOP) {
  test('a scratch folder without room: an error, and nothing left', async () => {
    const content: Content = { kind: 'ntfs', clusterSize: 4096 };
    const scene = await makeScene(newFolder(), {
      content,
      filesystem: 'ntfs',
      size: 60 * MiB,
      random: randomFrom(SEED),
      fullness: 0.5,
    });
    const scratch = newFolder();
    run('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', scratch]);
    try {
      const options = { ...viewOptions(scene, 30 * MiB), scratch };
      const error = await thrownBy(() => makeView(options));
      assert.match(String((error as { code?: string }).code), /^(filesystem|device)\./, String(error));
      assertNothingLeft(scratch);
    } finally {
      run('umount', [scratch]);
    }
    assert.is(digestOf(scene.disk), scene.digest);
  });

  test('a volume on a device, of sectors of 512 and of 4096 bytes', async () => {
    const scene = await makeScene(newFolder(), {
      content: { kind: 'ext', options: ['-t', 'ext4', '-b', '4096'] },
      filesystem: 'ext4',
      size: 48 * MiB,
      random: randomFrom(SEED),
    });
    const wanted = { ...viewOptions(scene, 70 * MiB), sectorSize: 4096 };
    const fromFile = await judgeView(scene, 70 * MiB);
    for (const sectorSize of [512, 4096]) {
      const device = run('losetup', ['-f', '--show', '-b', `${sectorSize}`, scene.disk]).trim();
      try {
        const source = { ...wanted.source, path: device, kind: 'device' } as const;
        const view = await makeView({ ...wanted, source });
        const dump = join(scene.scratch, 'from-device');
        try {
          await dumpView(view, dump);
        } finally {
          await view.close();
        }
        assert.is(digestOf(dump), fromFile.digest);
      } finally {
        run('losetup', ['-d', device]);
      }
    }
    assert.is(digestOf(scene.disk), scene.digest);
  });
}

test('steps before and after, at the same size too', async () => {
  const options = { ...ext4(), size: 32 * MiB };
  const said: string[] = [];
  const label = (text: string) => async (bench: { path: string }) => {
    said.push(run('e2label', [bench.path]).trim());
    run('e2label', [bench.path, text]);
  };
  for (const size of [32 * MiB, 50 * MiB]) {
    const view = await makeView({ ...options, size, before: [label('first')], after: [label('second')] });
    const dump = join(options.scratch, 'dump');
    await dumpView(view, dump);
    await view.close();
    assert.is(run('e2label', [dump]).trim(), 'second');
    run('e2fsck', ['-fn', dump]);
  }
  assert.equal(said, ['', 'first', '', 'first']);
  assert.is(run('e2label', [options.source.path]).trim(), '');
});

test('the source is opened for reading only', async () => {
  const options = ext4();
  const seen: number[] = [];
  const look: Step = async ({ path }) => {
    for (const pid of programsOf(dirname(path))) {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        if (readlinkSync(`/proc/${pid}/fd/${fd}`) !== options.source.path) continue;
        const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1] ?? '7';
        seen.push(Number.parseInt(flags, 8) & 3);
      }
    }
  };
  await (await makeView({ ...options, before: [look], after: [look] })).close();
  assert.equal(seen, [0, 0]); // O_RDONLY, before and after the resize
});

test('a change that no longer is the file system is not handed out', async () => {
  const spoil = async ({ path }: { path: string }): Promise<void> => putBytes(path, Buffer.alloc(64 * KiB), 0);
  const options = ext4();
  const error = await thrownBy(() => makeView({ ...options, after: [spoil] }));
  assert.is((error as { code?: string }).code, 'filesystem.reshape-unproven', String(error));
  assertNothingLeft(options.scratch);
});

test('minimums without a tool start none', async () => {
  const options = bare('swap', 4 * MiB, 'mkswap', ['-q']);
  assert.is((await minimumSize({ ...options, scratch: join(folder, 'nowhere') })).minimum, 40 * KiB);
});

test.run();
