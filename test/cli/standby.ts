// Whose disk is it? Roles, standbys, foreign data, and targets that change between plan and write.

import { copyFileSync, existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { clone, silent, ToolError } from '../../src/index.js';
import { clones, type Ectype, ectype, fileDigest, refuses } from '../support/cli.js';
import { run } from '../support/run.js';
import { emptyFile, otherDisk, putBytes, SAMPLE, SAMPLE_SIZE, sampleDisk } from '../support/sample-disk.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const source = sampleDisk(scratch, 'source.img');
let count = 0;
const newName = (): string => join(scratch, `target-${count++}.img`);

function guidOf(cli: Ectype, disk: string): string {
  const [event] = cli.json(['inspect', disk]).events;
  const { table } = event as unknown as { table: { id: string } };
  return table.id;
}

test('foreign data is refused with --yes unless the disk is named, by path or GUID', () => {
  const cli = ectype(scratch);
  const target = otherDisk(scratch, 'foreign.img');
  const untouched = [source, target];
  const error = refuses(cli, ['clone', '--yes', source, target], {
    status: 3,
    code: 'safety.target-holds-data',
    message: /foreign.img holds a GPT with 3 partitions, and this source was never cloned to it/,
    untouched,
  });
  assert.match(String(error['hint']), new RegExp(`--overwrite-target=${target}$`));
  const guid = guidOf(cli, target);
  for (const wrong of ['', 'SERIAL', source, `${guid}x`, guidOf(cli, source)]) {
    refuses(cli, ['clone', '--yes', `--overwrite-target=${wrong}`, source, target], {
      status: 3,
      code: 'safety.wrong-overwrite-id',
      message: /names another disk/,
      untouched,
    });
  }
  const copy = newName();
  copyFileSync(target, copy);
  clones(cli, [`--overwrite-target=${guid}`, source, target]);
  clones(cli, [`--overwrite-target=${copy}`, source, copy]);
});

test('every kind of content counts as data; only zeros do not', () => {
  const cli = ectype(scratch);
  const contents: readonly (readonly [offset: number, bytes: Buffer, told: RegExp])[] = [
    [SAMPLE_SIZE - 1, Buffer.from('x'), /data of an unknown kind/],
    [0, Buffer.from('LUKS\xba\xbe', 'latin1'), /data of an unknown kind/],
    [510, Buffer.from([0x55, 0xaa]), /data of an unknown kind/],
    [0, readFileSync(source).subarray(SAMPLE.ext4.offset, SAMPLE.ext4.offset + 65_536), /a file system \(ext4\)/],
    [512, Buffer.from('EFI PART'), /damaged partition table|data of an unknown kind/],
  ];
  for (const [offset, bytes, told] of contents) {
    const target = emptyFile(newName(), SAMPLE_SIZE);
    putBytes(target, bytes, offset);
    refuses(cli, ['clone', '--yes', source, target], {
      status: 3,
      code: 'safety.target-holds-data',
      message: told,
      untouched: [source, target],
    });
  }
  clones(cli, [source, emptyFile(newName(), SAMPLE_SIZE)]);
});

test('a disk that was a source is no target, with or without --yes, unless it is named', () => {
  const cli = ectype(scratch);
  const standby = newName();
  const original = sampleDisk(scratch, 'original.img');
  clones(cli, [original, standby]);
  for (const options of [['--yes'], ['--dry-run'], []]) {
    refuses(cli, ['clone', ...options, standby, original], {
      status: 3,
      code: 'safety.target-was-source',
      message: /original.img is known as a source/,
      untouched: [original, standby],
    });
  }
  clones(cli, ['--overwrite-target', original, standby, original]);
});

test('a standby needs no word with --yes, again and again', () => {
  const cli = ectype(scratch);
  const target = newName();
  clones(cli, [source, target]);
  for (let again = 0; again < 2; again += 1) assert.is(clones(cli, [source, target])['changed'], false);
  const [plan] = cli.json(['clone', '--dry-run', source, target]).events as unknown as { target: unknown }[];
  assert.match(JSON.stringify(plan?.target), /"standby":true,"unfinished":false/);
});

test('a standby that somebody used says so, and is brought up to date all the same', () => {
  const cli = ectype(scratch);
  const target = newName();
  clones(cli, [source, target]);
  run('debugfs', ['-w', '-R', 'set_super_value mtime now', `${target}?offset=${SAMPLE.ext4.offset}`]);
  const { stdout } = cli.run(['clone', '--dry-run', source, target]);
  assert.match(stdout, /"root".*; both sides are read.*: the target was used or changed since the last run/);
  assert.match(stdout, /will be lost/);
  clones(cli, [source, target]);
  assert.is(cli.run(['verify', source, target]).status, 0);
});

test('a standby that was repartitioned since is foreign data, even where it kept its GUID', () => {
  const cli = ectype(scratch);
  for (const change of [
    ['-o', '-n', '1:2048:20000'],
    ['-d', '3', '-n', '3:18432:30000'],
    ['-n', '4:28672:30719'],
  ]) {
    const target = newName();
    clones(cli, [source, target]);
    run('sgdisk', [...change, target]);
    refuses(cli, ['clone', '--yes', source, target], {
      status: 3,
      code: 'safety.target-holds-data',
      message: /holds a GPT with \d partitions?/,
      untouched: [source, target],
    });
  }
});

test('another disk under the name of a standby is foreign data', () => {
  const cli = ectype(scratch);
  const target = newName();
  clones(cli, [source, target]);
  renameSync(otherDisk(scratch, 'moved.img'), target);
  refuses(cli, ['clone', '--yes', source, target], {
    status: 3,
    code: 'safety.target-holds-data',
    message: /holds a GPT with 3 partitions/,
    untouched: [source, target],
  });
});

test('content without any ID is known by what it begins with', () => {
  const cli = ectype(scratch);
  const odd = join(scratch, 'odd.img');
  emptyFile(odd, 300_000);
  putBytes(odd, Buffer.from('neither table nor file system'), 0);
  const target = newName();
  clones(cli, [odd, target]);
  putBytes(odd, Buffer.from('changed'), 200_000);
  clones(cli, [odd, target]);
  assert.is(fileDigest(target), fileDigest(odd));
  putBytes(target, Buffer.from('somebody else wrote this'), 0);
  refuses(cli, ['clone', '--yes', odd, target], {
    status: 3,
    code: 'safety.target-holds-data',
    message: /data of an unknown kind/,
    untouched: [odd, target],
  });
});

async function exchanged(
  exchange: (target: string) => void,
  target: string,
  original: string = source,
): Promise<unknown> {
  process.env['ECTYPE_STATE'] = join(scratch, 'library-state');
  try {
    return await clone({
      source: original,
      target,
      confirm: async () => {
        exchange(target);
        return true;
      },
      report: silent,
      signal: new AbortController().signal,
    });
  } catch (error) {
    return error;
  }
}

test('a target that is exchanged between plan and write is not written to', async () => {
  const target = emptyFile(newName(), SAMPLE_SIZE);
  const other = otherDisk(scratch, 'other.img');
  const before = fileDigest(other);
  const error = await exchanged((path) => renameSync(other, path), target);
  assert.instance(error, ToolError);
  assert.is((error as ToolError).code, 'safety.identity-changed');
  assert.is(fileDigest(target), before);
});

test('a target file that somebody makes between plan and write is not written to', async () => {
  const target = newName();
  const error = await exchanged((path) => putBytes(emptyFile(path, 10), Buffer.from('mine'), 0), target);
  assert.instance(error, ToolError);
  assert.is((error as ToolError).code, 'device.cannot-open');
  assert.is(readFileSync(target, 'latin1'), 'mine\0\0\0\0\0\0');
});

test('a source file that is written between plan and copy is not copied by that plan', async () => {
  const changing = sampleDisk(scratch, 'changing.img');
  const target = emptyFile(newName(), SAMPLE_SIZE);
  const before = fileDigest(target);
  const change = (): void => {
    // A file appears in what the plan calls free.
    run('debugfs', [
      '-w',
      '-R',
      `write ${fileURLToPath(import.meta.url)} new`,
      `${changing}?offset=${SAMPLE.ext4.offset}`,
    ]);
  };
  const error = await exchanged(change, target, changing);
  assert.instance(error, ToolError);
  assert.is((error as ToolError).code, 'filesystem.source-changed-early');
  assert.is(fileDigest(target), before);
});

test('a target file that is written between plan and copy is not believed to be what the plan saw', async () => {
  const target = emptyFile(newName(), SAMPLE_SIZE);
  assert.not.instance(await exchanged(() => {}, target), ToolError);
  const change = (): void => {
    const file = fileURLToPath(import.meta.url);
    run('debugfs', ['-w', '-R', `write ${file} new`, `${target}?offset=${SAMPLE.ext4.offset}`]);
  };
  const error = await exchanged(change, target);
  assert.instance(error, ToolError);
  assert.is((error as ToolError).code, 'safety.target-changed');
  assert.not.instance(await exchanged(() => {}, target), ToolError);
  assert.is(ectype(scratch).run(['verify', source, target]).status, 0);
});

test('a declined plan leaves nothing behind, neither target nor state', async () => {
  const target = newName();
  const state = join(scratch, 'declined-state');
  process.env['ECTYPE_STATE'] = state;
  const { report, signal } = { report: silent, signal: new AbortController().signal };
  try {
    await clone({ source, target, confirm: async () => false, report, signal });
    assert.unreachable();
  } catch (error) {
    assert.is((error as ToolError).code, 'safety.not-confirmed');
  }
  assert.not.ok(existsSync(target));
  assert.not.ok(existsSync(state));
});

test.run();
