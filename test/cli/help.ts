// Help, version and wrong usage, as a user meets them.

import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ectype } from '../support/cli.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const cli = ectype(scratch);
const COMMANDS = ['boot', 'clone', 'disks', 'doctor', 'inspect', 'verify'];

test('--version is the package version', () => {
  const { version }: { version: string } = JSON.parse(readFileSync('package.json', 'utf8'));
  for (const option of ['--version', '-v']) {
    assert.equal(cli.run([option]), { status: 0, stdout: `${version}\n`, stderr: '' });
  }
});

test('--help lists every command with a line on what it does', () => {
  for (const words of [['--help'], ['-h'], []]) {
    const { status, stdout, stderr } = cli.run(words);
    assert.is(status, 0);
    assert.is(stderr, '');
    for (const command of COMMANDS) assert.match(stdout, new RegExp(`ectype ${command} .*\\n    [a-z]`));
    assert.not.match(stdout, /#0/);
  }
});

for (const command of COMMANDS) {
  test(`${command} --help has a description, options, exit statuses and examples`, () => {
    const { status, stdout, stderr } = cli.run([command, '--help']);
    assert.is(status, 0);
    assert.is(stderr, '');
    assert.match(stdout, /^[A-Z][^\n]{10,}\n/);
    for (const heading of ['Usage', 'Options', 'Details', 'Examples']) {
      assert.match(stdout, new RegExp(`^${heading}$`, 'm'));
    }
    assert.match(stdout, /Exit status: 0/);
    assert.match(stdout, new RegExp(`^ {2}\\$ ectype ${command}`, 'm'));
    assert.not.match(stdout, /#0/);
    assert.not.ok(stdout.includes('\x1b'));
    // Every option says what it is for, in one column.
    const options = stdout.split('\n').filter((line) => /^ {2}--/.test(line));
    assert.ok(options.length >= 2);
    const columns = new Set(options.map((line) => /^ {2}\S+( \S+)? {2,}/.exec(line)?.[0].length));
    assert.is(columns.size, 1, options.join('\n'));
  });
}

test('help shows what the value of an option is', () => {
  const { stdout } = cli.run(['clone', '--help']);
  assert.match(cli.run(['inspect', '--help']).stdout, /--at PLACES /);
  for (const option of [
    '--only NUMBERS',
    '--detect rapid|hash|compare',
    '--overwrite-target ID',
    '--sector-size BYTES',
    '--rescue-time DURATION',
  ]) {
    assert.ok(stdout.includes(option), option);
  }
});

const WRONG: readonly (readonly [words: readonly string[], problem: RegExp, hint: RegExp])[] = [
  [['bogus'], /there is no command "bogus"/, /clone, disks/],
  [['clone'], /not enough positional arguments/, /ectype clone --help/],
  [['clone', 'a'], /not enough positional arguments/, /ectype clone --help/],
  [['clone', 'a', 'b', 'c'], /extraneous positional argument \("c"\)/, /ectype clone --help/],
  [['clone', '--wat', 'a', 'b'], /unsupported option name \("--wat"\)/, /ectype clone --help/],
  [['clone', 'a', 'b', '--only'], /not enough arguments to option --only/, /ectype clone --help/],
  [['clone', '--only', '1,x', 'a', 'b'], /--only 1,x: wanted are partition numbers/, /--help/],
  [['clone', '--only', '0', 'a', 'b'], /--only 0: wanted are partition numbers/, /--help/],
  [['clone', '--detect', 'magic', 'a', 'b'], /--detect magic: wanted is rapid, hash or compare/, /--help/],
  [['clone', '--sector-size', '520', 'a', 'b'], /--sector-size 520: wanted is 512 or 4096/, /--help/],
  [['clone', '--rescue-time', '2h', 'a', 'b'], /--rescue-time 2h: this option needs --rescue/, /--help/],
  [['clone', '--rescue', '--rescue-time', 'soon', 'a', 'b'], /--rescue-time soon: wanted is a time/, /--help/],
  [['verify', 'a'], /not enough positional arguments/, /ectype verify --help/],
  [['inspect'], /not enough positional arguments/, /ectype inspect --help/],
  [['inspect', ''], /"" names neither a disk nor a partition/, /\/dev\/sdb/],
  [['clone', '#1', 'b'], /"#1" names neither a disk nor a partition/, /\/dev\/sdb/],
  [['clone', 'a#0', 'b'], /"a#0" names neither a disk nor a partition/, /\/dev\/sdb/],
];

for (const [words, problem, hint] of WRONG) {
  test(`wrong usage: ectype ${words.join(' ')}`, () => {
    const plain = cli.run(words);
    assert.is(plain.status, 2);
    assert.is(plain.stdout, '');
    assert.match(plain.stderr, /^error: .*\nhint: .*\n$/);
    assert.match(plain.stderr, problem);
    assert.match(plain.stderr, hint);

    const { status, events } = cli.json(words);
    assert.is(status, 2);
    assert.is(events.length, 1);
    assert.is(events[0]?.event, 'error');
    assert.is(events[0]?.['exitStatus'], 2);
    assert.match(String(events[0]?.['code']), /^usage\./);
    assert.match(String(events[0]?.['message']), problem);
  });
}

test('nothing was left in the state folder', () => assert.is(cli.stateDigest(), 'not there'));

test.run();
