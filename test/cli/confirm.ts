// The one question: who is asked what, which answers count, and what happens where nobody can answer.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { clones, ectype, fileDigest, MAIN } from '../support/cli.js';
import { type Typed, typed } from '../support/pty.js';
import { emptyFile, otherDisk, SAMPLE_SIZE, sampleDisk } from '../support/sample-disk.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const source = sampleDisk(scratch, 'source.img');
const foreign = otherDisk(scratch, 'foreign.img');
const QUESTION = /(go on|\[y\/N\]): ?|\[y\/N\] /;
let count = 0;

function asking(state: string, target: string, answer: string, before?: () => void): Promise<Typed> {
  return typed([process.execPath, MAIN, 'clone', source, target], {
    env: { ECTYPE_STATE: state },
    cwd: scratch,
    question: QUESTION,
    answer,
    ...(before ? { before } : {}),
  });
}

test('without a terminal and without --yes it refuses after the plan, and writes nothing', () => {
  const cli = ectype(scratch);
  const target = join(scratch, 'unasked.img');
  for (const path of [target, foreign]) {
    const before = fileDigest(path);
    const { status, stdout, stderr } = cli.run(['clone', source, path]);
    assert.is(status, 3);
    assert.is(stdout, '');
    assert.match(stderr, /^Source /);
    assert.match(stderr, /error: there is no terminal to confirm.*\nhint: Add --yes.*\n$/);
    const { events } = cli.json(['clone', source, path]);
    assert.equal(
      events.map(({ event }) => event),
      ['plan', 'error'],
    );
    assert.is(events[1]?.['code'], 'safety.cannot-ask');
    assert.is(fileDigest(path), before);
  }
  assert.is(cli.stateDigest(), 'not there');
});

for (const [name, answer, status, told] of [
  ['a wrong name', 'wrong\n', 3, /was not confirmed; nothing was written/],
  ['yes instead of the name', 'y\n', 3, /was not confirmed; nothing was written/],
  ['nothing', '\n', 3, /was not confirmed; nothing was written/],
  ['the end of input (Ctrl-D)', '\x04', 3, /was not confirmed; nothing was written/],
  ['Ctrl-C', '\x03', 130, /stopped before anything was written/],
] as const) {
  test(`a target with data: ${name}`, async () => {
    const cli = ectype(scratch);
    const before = fileDigest(foreign);
    const ran = await asking(cli.state, foreign, answer);
    assert.is(ran.status, status, ran.screen);
    assert.match(ran.screen, /What it holds now will be lost:/);
    assert.match(ran.screen, /Everything on \S+foreign\.img will be lost\. Type \S+foreign\.img to go on:/);
    assert.match(ran.screen, told);
    assert.is(fileDigest(foreign), before);
    assert.is(cli.stateDigest(), 'not there');
  });
}

test('a target with data: its name', async () => {
  const cli = ectype(scratch);
  const target = otherDisk(scratch, 'confirmed.img');
  const { status, screen } = await asking(cli.state, target, `${target}\n`);
  assert.is(status, 0, screen);
  assert.match(screen, /is a clone of/);
  assert.is(cli.run(['verify', source, target]).status, 0);
});

test('a blank or new target asks for a yes', async () => {
  for (const [answer, status] of [
    ['n\n', 3],
    ['\n', 3],
    ['y\n', 0],
    ['YES\n', 0],
  ] as const) {
    const cli = ectype(scratch);
    const target = join(scratch, `blank-${count++}.img`);
    if (count % 2 === 0) emptyFile(target, SAMPLE_SIZE);
    const { status: ended, screen } = await asking(cli.state, target, answer);
    assert.is(ended, status, screen);
    assert.match(screen, /Write to \S+\? \[y\/N\]/);
    if (status !== 0) assert.ok(!existsSync(target) || fileDigest(target) === blankDigest());
  }
});

function blankDigest(): string {
  return fileDigest(emptyFile(join(scratch, 'blank'), SAMPLE_SIZE));
}

test('a standby asks whether to bring it up to date', async () => {
  const cli = ectype(scratch);
  const target = join(scratch, 'standby.img');
  clones(cli, [source, target]);
  const { status, screen } = await asking(cli.state, target, 'y\n');
  assert.is(status, 0, screen);
  assert.match(screen, /it is brought up to date:/);
  assert.match(screen, /Bring \S+standby\.img up to date\? \[y\/N\]/);
  assert.not.match(screen, /will be lost/);
});

test('while one run asks, another one on the same target is refused', async () => {
  const cli = ectype(scratch);
  const target = otherDisk(scratch, 'twice.img');
  const before = fileDigest(target);
  let second = { status: 0, stderr: '' };
  const { status } = await asking(cli.state, target, 'no\n', () => {
    second = cli.run(['clone', '--yes', '--overwrite-target', target, source, target]);
  });
  assert.is(status, 3);
  assert.is(second.status, 3);
  assert.match(second.stderr, /twice\.img is being used by another program/);
  assert.is(fileDigest(target), before);
});

test('NO_COLOR and pipes get no colour', async () => {
  const cli = ectype(scratch);
  for (const env of [{}, { NO_COLOR: '1' }, { FORCE_COLOR: '1' }]) {
    for (const words of [['--help'], ['clone', '--help'], ['clone', '--dry-run', source, foreign], ['doctor']]) {
      const { stdout, stderr } = cli.run(words, env);
      assert.not.ok((stdout + stderr).includes('\x1b'), words.join(' '));
    }
  }
  const options = { cwd: scratch, question: /never asked/, answer: '' };
  const { screen } = await typed([process.execPath, MAIN, '--help'], { ...options, env: { NO_COLOR: '1' } });
  assert.not.ok(screen.includes('\x1b'));
});

test.run();
