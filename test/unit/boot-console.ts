// What a serial console says of a system's start: prompts, failures, and what is neither.

import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createConsoleWatch, type Sighting } from '../../src/machine/console-watch.js';
import { SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';

function seen(...pieces: readonly string[]): Sighting[] {
  const watch = createConsoleWatch();
  return pieces.flatMap((piece) => watch.feed(piece));
}

const kinds = (sightings: readonly Sighting[]): string[] => sightings.map(({ kind }) => kind);

for (const text of [
  'Debian GNU/Linux 12 debian ttyS0\r\n\r\ndebian login: ',
  'login: ',
  '\x1b[?2004h\x1b[1;32mhost-7 login:\x1b[0m ',
  'host login: [   51.402715] random: crng init done\r\n',
]) {
  test(`a login prompt: ${JSON.stringify(text)}`, () => assert.ok(kinds(seen(text)).includes('login')));
}

for (const text of [
  'Last login: Mon Nov 2 10:00:00 on ttyS0\r\n',
  'systemd-logind[1]: login: something\r\n',
  'Please login: later\r\n',
  'a login prompt will follow',
  'Starting user login management...\r\n',
]) {
  test(`no login prompt: ${JSON.stringify(text)}`, () => assert.not.ok(kinds(seen(text)).includes('login')));
}

for (const [text, what] of [
  ['[    2.1] Kernel panic - not syncing: Attempted to kill init!\r\n', /panicked/],
  ['[    2.1] VFS: Unable to mount root fs on unknown-block(0,0)\r\n', /root file system/],
  ['error: no such device: 1234.\r\nEntering rescue mode...\r\ngrub rescue> ', /grub rescue/],
  ['Boot failed: not a bootable disk\r\n\r\nNo bootable device.\r\n', /nothing to start/],
  ['You are in emergency mode. After logging in, type "journalctl -xb"\r\n', /emergency mode/],
  ['ALERT!  UUID=1-2 does not exist.  Dropping to a shell!\r\n', /initramfs/],
  ['BdsDxe: No bootable option or device was found.\r\n', /nothing to start/],
  ['UEFI Interactive Shell v2.2\r\n\x1b[1mShell> \x1b[0m', /no boot loader/],
  ['\x1b[2J\x1b[01;01Hgrub> ', /menu/],
] as const) {
  test(`a failure: ${JSON.stringify(text)}`, () => {
    const failures = seen(text).filter(({ kind }) => kind === 'failure');
    assert.is(failures.length, 1);
    assert.match((failures[0] as { what: string }).what, what);
  });
}

test('steps are told once, and are no verdict', () => {
  const found = seen(
    'GRUB loading.\r\nWelcome to GRUB!\r\n',
    '[    0.000000] Linux version 6.1.0-1-amd64 (x)\r\nWelcome to Debian GNU/Linux 12 (bookworm)!\r\n',
    '[  OK  ] Reached target multi-user.target - Multi-User System.\r\n',
  );
  assert.equal(found, [
    { kind: 'step', what: 'GRUB' },
    { kind: 'step', what: 'Linux version 6.1.0-1-amd64' },
    { kind: 'step', what: 'Welcome to Debian GNU/Linux 12 (bookworm)!' },
    { kind: 'step', what: 'systemd reached its target' },
  ]);
});

test('the shell of the firmware is no boot loader, and says which one it starts', () => {
  const found = seen(
    'BdsDxe: starting Boot0002 "EFI Internal Shell" from Fv(7CB8BDC9)\r\n',
    'no firmware entry: starting \\EFI\\debian\\shimx64.efi\r\n',
    'BdsDxe: starting Boot0001 "UEFI QEMU HARDDISK QM00001 " from PciRoot(0x0)\r\n',
  );
  assert.equal(found, [
    { kind: 'step', what: 'no firmware entry: starting \\EFI\\debian\\shimx64.efi' },
    { kind: 'step', what: 'UEFI starts a boot loader' },
  ]);
});

test('the tail holds the last lines without escapes, and endless output takes bounded memory', () => {
  const watch = createConsoleWatch();
  for (let line = 0; line < 1000; line += 1) watch.feed(`\x1b[1mline ${line}\x1b[0m\r\n`);
  watch.feed('x'.repeat(100_000));
  const tail = watch.tail();
  assert.is(tail.length, 40);
  assert.is(tail.at(-2), 'line 999');
  assert.ok((tail.at(-1) ?? '').length <= 4096);
});

const WORDS = [
  '\r\n',
  '\n',
  '\x1b[0m',
  'host login: ',
  'login: ',
  'Kernel panic - not syncing: x',
  'grub rescue> ',
  'a',
];

test('how the text is cut into pieces changes no failure, and no text breaks it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constantFrom(...WORDS), fc.string()), { maxLength: 30 }),
      fc.array(fc.nat(200), { maxLength: 20 }),
      (words, cuts) => {
        const text = words.join('');
        const places = [...new Set([0, ...cuts.filter((cut) => cut < text.length), text.length])].sort((a, b) => a - b);
        const pieces = places.slice(1).map((end, index) => text.slice(places[index], end));
        const failures = (sightings: readonly Sighting[]): Set<string> =>
          new Set(sightings.flatMap((each) => (each.kind === 'failure' ? [each.what] : [])));
        const whole = failures(seen(text));
        const cut = failures(seen(...pieces));
        // Cut at a prompt, a line is seen before its rest comes: more is seen, never less.
        for (const what of whole) assert.ok(cut.has(what), what);
      },
    ),
    { seed: SEED, numRuns: rounds({ short: 300, long: 20_000 }) },
  );
});

test.run();
