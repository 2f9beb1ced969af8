// What a clone says and does on its way: the plan, dry runs, JSON, quiet, a second run, verification.

import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { clones, ectype, fileDigest } from '../support/cli.js';
import { mounted } from '../support/ext4-image.js';
import { run } from '../support/run.js';
import { emptyFile, putBytes, SAMPLE, SAMPLE_SIZE, sampleDisk } from '../support/sample-disk.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const source = sampleDisk(scratch, 'source.img');
let count = 0;
const newName = (): string => join(scratch, `target-${count++}.img`);

test('a dry run shows the plan on stdout and touches nothing at all', () => {
  const cli = ectype(scratch);
  const target = newName();
  const { status, stdout, stderr } = cli.run(['clone', '--dry-run', source, target]);
  assert.is(status, 0);
  assert.is(stderr, '');
  assert.match(stdout, /^Source {2}\S+source.img {2}16 MiB/);
  assert.match(stdout, /^Target .*\(will be made\)$/m);
  assert.match(stdout, /partition 2 "root": ext4 "root", 1\.\d+ MiB of 6 MiB; written for the first time$/m);
  assert.match(stdout, /At most \d/);
  assert.not.match(stdout, / {2}now /);
  assert.not.ok(existsSync(target));
  assert.is(cli.stateDigest(), 'not there');
});

test('a dry run onto a disk that is there leaves its bytes and the state alone, before and after a clone', () => {
  const cli = ectype(scratch);
  const target = sampleDisk(scratch, 'kept.img');
  const look = () => [fileDigest(source), fileDigest(target), cli.stateDigest()];
  const before = look();
  assert.match(cli.run(['clone', '--dry-run', source, target]).stdout, /will be lost:\n {2}- partition 1 "ESP"/);
  assert.equal(look(), before);
  clones(cli, ['--overwrite-target', target, source, target]);
  const cloned = look();
  for (const options of [[], ['--yes'], ['--detect', 'compare'], ['--verify'], ['--forensic']]) {
    assert.is(cli.run(['clone', '--dry-run', ...options, source, target]).status, 0);
  }
  assert.equal(look(), cloned);
});

test('--dry-run --json is one plan event with the facts', () => {
  const cli = ectype(scratch);
  const { status, events } = cli.json(['clone', '--dry-run', source, newName()]);
  assert.is(status, 0);
  assert.is(events.length, 1);
  const [plan] = events as unknown as { [field: string]: never }[];
  assert.is(plan?.['event'], 'plan');
  const {
    source: from,
    target,
    scope,
    volumes,
    bytesToRead,
  } = plan as unknown as Record<string, Record<string, never>>;
  assert.is(from?.['size'], SAMPLE_SIZE);
  assert.is(target?.['exists'], false);
  assert.is(target?.['standby'], false);
  assert.is(scope, 'disk');
  assert.equal(
    (volumes as unknown as { name: string; source: unknown; method: string; detect: string }[]).map((each) => [
      each.name,
      each.method,
      each.detect,
    ]),
    [
      ['partition 1 "ESP"', 'allocated', 'first'],
      ['partition 2 "root"', 'allocated', 'first'],
      ['partition 3 "Basic data"', 'allocated', 'first'],
    ],
  );
  assert.ok(Number(bytesToRead) > 0 && Number(bytesToRead) < SAMPLE_SIZE / 2);
});

test('--json tells plan, phases, progress and result, and no more is read than the plan said', () => {
  const cli = ectype(scratch);
  const { status, events } = cli.json(['clone', '--yes', '--verify', source, newName()]);
  assert.is(status, 0);
  const kinds = events.map(({ event }) => event);
  assert.is(kinds[0], 'plan');
  assert.is(kinds.at(-1), 'result');
  assert.ok(kinds.includes('progress'));
  assert.equal(
    events.filter(({ event }) => event === 'phase').map((event) => event['phase']),
    ['copy', 'commit', 'verify'],
  );
  const result = events.at(-1) as unknown as { changed: boolean; verified: number; amounts: Record<string, number> };
  assert.is(result.changed, true);
  assert.ok(result.verified > 0);
  assert.ok(Number(result.amounts['sourceRead']) <= Number(events[0]?.['bytesToRead']));
});

test('without --json the plan and the progress go to stderr and the result to stdout', () => {
  const cli = ectype(scratch);
  const target = newName();
  const { status, stdout, stderr } = cli.run(['clone', '--yes', source, target], { NO_COLOR: '1' });
  assert.is(status, 0);
  assert.match(stdout, new RegExp(`^${target} is a clone of ${source}\\.\nread .*; .* s.*\\.\n`));
  assert.match(stderr, /^Source /);
  assert.not.ok((stdout + stderr).includes('\x1b'));
  // Files may both be used at once; the advice to unplug a disk is for disks.
  assert.not.match(stdout, /unplug/);
});

test('--quiet says only the result', () => {
  const cli = ectype(scratch);
  const { status, stdout, stderr } = cli.run(['clone', '--yes', '--quiet', source, newName()]);
  assert.is(status, 0);
  assert.is(stderr, '');
  assert.is(stdout.split('\n').length, 3);
});

test('the clone is right for outside judges, and the source is untouched', () => {
  const cli = ectype(scratch);
  const before = fileDigest(source);
  const target = newName();
  clones(cli, [source, target]);
  assert.is(fileDigest(source), before);
  run('sgdisk', ['-v', target]);
  const ext4 = join(scratch, 'ext4');
  const { offset, length } = SAMPLE.ext4;
  run('dd', [`if=${target}`, `of=${ext4}`, 'bs=1M', `skip=${offset >> 20}`, `count=${length >> 20}`, 'status=none']);
  run('e2fsck', ['-fn', ext4]);
  assert.is(cli.run(['verify', source, target]).status, 0);
});

test('a second run without changes writes nothing and says so', () => {
  const cli = ectype(scratch);
  const target = newName();
  clones(cli, [source, target]);
  const before = fileDigest(target);
  const { status, stdout, stderr } = cli.run(['clone', '--yes', source, target]);
  assert.is(status, 0);
  assert.match(stdout, /already was a clone of .*: nothing was written to it\.\n/);
  assert.match(stdout, /wrote 0 bytes/);
  assert.not.match(stdout, /zeroed/);
  assert.match(stderr, /holds the clone of an earlier run of .*; it is brought up to date:/);
  assert.not.match(stderr, /will be lost/);
  assert.is(fileDigest(target), before);
});

test('a second run after a change writes little', () => {
  const cli = ectype(scratch);
  const changing = sampleDisk(scratch, 'changing.img');
  const target = newName();
  clones(cli, [changing, target]);
  const volume = join(scratch, 'changing-ext4');
  const { offset, length } = SAMPLE.ext4;
  run('dd', [
    `if=${changing}`,
    `of=${volume}`,
    'bs=1M',
    `skip=${offset >> 20}`,
    `count=${length >> 20}`,
    'status=none',
  ]);
  mounted(volume, (folder) => appendFileSync(join(folder, 'new file'), 'hello'));
  putBytes(changing, readFileSync(volume), offset);
  const result = clones(cli, [changing, target]) as unknown as { changed: boolean; amounts: Record<string, number> };
  assert.is(result.changed, true);
  assert.ok(Number(result.amounts['written']) < 1 << 20);
  assert.is(cli.run(['verify', changing, target]).status, 0);
});

test('verify ends with 7 and names the place of a difference', () => {
  const cli = ectype(scratch);
  const target = newName();
  clones(cli, [source, target]);
  const at = SAMPLE.ext4.offset + 1024 + 0x78;
  putBytes(target, Buffer.from('oops'), at);
  const plain = cli.run(['verify', source, target]);
  assert.is(plain.status, 7);
  assert.match(plain.stdout, /differs from .* in 1 block:\n {2}partition 2 "root": 65536 bytes at 3145728/);
  const { status, events } = cli.json(['verify', source, target]);
  assert.is(status, 7);
  assert.is(events.at(-1)?.['equal'], false);
  assert.is(events.at(-1)?.['differenceCount'], 1);
});

for (const size of [1, 513, 4095, 131_073, 1_000_003]) {
  test(`a source of ${size} bytes of no known kind, twice`, () => {
    const cli = ectype(scratch);
    const odd = join(scratch, `odd-${size}`);
    appendFileSync(odd, Buffer.alloc(size, 'odd content '));
    const target = newName();
    clones(cli, [odd, target]);
    assert.is(fileDigest(target), fileDigest(odd));
    assert.is(clones(cli, [odd, target])['changed'], false);
  });
}

test('an empty source is said to be empty', () => {
  const cli = ectype(scratch);
  const empty = emptyFile(join(scratch, 'empty'), 0);
  const target = newName();
  const { status, stderr, stdout } = cli.run(['clone', '--yes', empty, target]);
  assert.is(status, 4);
  assert.is(stdout, '');
  assert.match(stderr, /empty is empty \(0 bytes\): there is nothing to clone/);
  assert.not.ok(existsSync(target));
  assert.is(cli.run(['inspect', empty]).status, 0);
});

test.run();
