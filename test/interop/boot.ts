// boot in a real virtual machine, with systems of a few bytes: what it takes for a start and what not, that the disk stays
// as it is, and that no machine outlives ectype.

import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { diskOf, programDisk } from '../support/boot-program.js';
import { ectype, fileDigest, type JsonEvent, MAIN } from '../support/cli.js';
import { ectypeUntil } from '../support/ending.js';
import { HAS_LOOP, withLoopDevice } from '../support/loop.js';
import { writeCounters } from '../support/loop-device.js';
import { typed } from '../support/pty.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const work = join(scratch, 'work');
mkdirSync(work);
const cli = ectype(scratch);
const rooted = HAS_LOOP ? test : test.skip;
const path = (name: string): string => join(scratch, name);
const words = (...more: readonly string[]): string[] => ['boot', '--scratch', work, '--memory', '128M', ...more];

/** Processes of machines that were started here. */
function machines(): string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(join(work, 'ectype-boot-'));
    } catch {
      return false;
    }
  });
}

function demandNothingLeft(): void {
  assert.equal(machines(), []);
  assert.equal(
    readdirSync(work).filter((name) => name.startsWith('ectype-boot-')),
    [],
  );
}

/** Proves it, and that the disk is as it was and nothing is left behind. */
function prove(disk: string, ...more: readonly string[]): { status: number; last: JsonEvent; result: JsonEvent } {
  const before = fileDigest(disk);
  const { status, events } = cli.json(words('--prove', ...more, disk));
  assert.is(fileDigest(disk), before, `${disk} was written`);
  demandNothingLeft();
  const last = events.at(-1);
  const result = events.find(({ event }) => event === 'result');
  if (!last || !result) throw new Error(`no result: ${JSON.stringify(events)}`);
  return { status, last, result };
}

const PNG = Buffer.from([0x89, 0x50, 0x4e, 0x47]);
const isPng = (file: string): boolean => readFileSync(file).subarray(0, 4).equals(PNG);

test('a login prompt is a success; what the system writes never reaches the disk', () => {
  const disk = programDisk(path('login.img'), { text: 'tiny login: ', writes: true });
  const { status, result } = prove(disk);
  assert.is(status, 0, JSON.stringify(result));
  assert.is(result['booted'], true);
  assert.is(result['evidence'], 'login prompt');
  assert.is(result['firmware'], 'bios');
  assert.ok((result['consoleTail'] as string[]).includes('tiny login:'));
  assert.is(result['screenshot'], undefined);
});

for (const [name, text, booted] of [
  ['starts', 'tiny login: ', true],
  ['does not start', 'Kernel panic - not syncing: no init\r\n', false],
] as const) {
  test(`clone --prove-boot: a clone that ${name}`, () => {
    const source = programDisk(path(`proved ${name}.img`), { text, writes: true });
    const target = path(`proof ${name}.img`);
    const proof = ['--prove-boot', '--prove-boot-time', '2m', '--scratch', work];
    const { status, events } = cli.json(['clone', '--yes', ...proof, source, target]);
    const result = events.find(({ event }) => event === 'result');
    const boot = result?.['boot'] as Record<string, unknown> | undefined;
    assert.is(boot?.['booted'], booted, JSON.stringify(events.at(-1)));
    assert.is(status, booted ? 0 : 7);
    assert.is(
      fileDigest(target),
      fileDigest(source),
      'the clone is whole either way, and the machine did not write it',
    );
    demandNothingLeft();
  });
}

for (const bus of ['virtio', 'nvme']) {
  test(`the same on ${bus}`, () => {
    const disk = programDisk(path(`${bus}.img`), { text: 'tiny login: ', writes: true });
    assert.is(prove(disk, '--bus', bus).status, 0);
  });
}

test('a boot sector of zeros: status 7, and what the firmware said', () => {
  const { status, last, result } = prove(diskOf(path('zeros.img'), Buffer.alloc(512)));
  assert.is(status, 7);
  assert.is(result['booted'], false);
  assert.is(last['code'], 'verify.boot-failed');
  assert.match(String(last['message']), /did not start: the firmware found nothing to start/);
  assert.ok(isPng(String(result['screenshot'])));
});

test('a panic: status 7 at once', () => {
  const text = 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n';
  const { status, result } = prove(programDisk(path('panic.img'), { text }), '--time-limit', '2m');
  assert.is(status, 7);
  assert.is(result['evidence'], 'boot failure');
  // In the order in which the pieces of the line come.
  for (const what of [/the kernel panicked/, /the kernel finds no root file system/]) {
    assert.match(String(result['saw']), what);
  }
  assert.ok(Number(result['seconds']) < 60);
});

test('a system that says nothing is not known to start; its screen is there to look at', () => {
  const picture = path('screen.png');
  const disk = programDisk(path('silent.img'), { text: 'Windows is a trademark' });
  const { status, last, result } = prove(disk, '--time-limit', '12s', '--screenshot', picture);
  assert.is(status, 7);
  assert.is(last['code'], 'verify.boot-unproven');
  assert.is(result['booted'], false);
  assert.match(String(result['evidence']), /^screen /);
  assert.match(String(last['message']), /whether .* starts is not known: no login prompt/);
  assert.is(result['screenshot'], picture);
  assert.ok(isPng(picture));
});

test('restarting again and again is a failure, and so is switching itself off', () => {
  const restarting = prove(programDisk(path('restart.img'), { text: 'again ', next: 'restart' }));
  assert.is(restarting.status, 7);
  assert.match(String(restarting.result['saw']), /restarts again and again/);
  const off = prove(programDisk(path('off.img'), { text: 'bye ', next: 'off' }));
  assert.is(off.status, 7);
  assert.is(off.result['evidence'], 'machine ended');
});

rooted('a device is started without a single write to it', () => {
  const disk = programDisk(path('device.img'), { text: 'tiny login: ', writes: true });
  withLoopDevice(disk, (device) => {
    const before = writeCounters(device);
    assert.is(prove(device).status, 0);
    assert.equal(writeCounters(device), before);
  });
});

test('a picture of the screen', () => {
  const disk = programDisk(path('picture.img'), { text: 'hello' });
  const picture = path('picture.png');
  const { status, stdout } = cli.run(words('--screenshot', picture, '--after', '3s', disk));
  assert.is(status, 0);
  assert.match(stdout, /the screen is in .*picture\.png/);
  assert.ok(isPng(picture));
  const { events } = cli.json(words('--screenshot', path('no/such.png'), '--after', '1s', disk));
  assert.is(events.at(-1)?.['code'], 'device.machine-refuses');
  demandNothingLeft();
});

test('the serial console on the terminal; Ctrl-A X ends it', async () => {
  const disk = programDisk(path('terminal.img'), { text: 'type something: ' });
  const before = fileDigest(disk);
  const { status, screen } = await typed([process.execPath, MAIN, ...words(disk)], {
    env: { ECTYPE_STATE: path('state') },
    cwd: scratch,
    question: /type something: /,
    answer: '\x01x',
  });
  assert.is(status, 0, screen);
  assert.match(screen, /Ctrl-A X ends the machine/);
  assert.is(fileDigest(disk), before);
  demandNothingLeft();
});

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let wait = 0; wait < 500 && !condition(); wait += 1) await sleep(20);
  assert.ok(condition(), what);
}

const isStarted = ({ message }: JsonEvent): boolean => /the BIOS starts the disk/.test(String(message));

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} ends the machine: status 130, nothing left`, async () => {
    const disk = programDisk(path('stopped.img'), { text: 'waiting' });
    const started = performance.now();
    const { status, events } = await ectypeUntil(words('--prove', '--json', disk), {
      state: path('state'),
      end: { signal, when: isStarted },
    });
    assert.is(status, 130, JSON.stringify(events));
    assert.is(events.at(-1)?.['code'], 'interrupted.boot');
    assert.ok(performance.now() - started < 60_000);
    demandNothingLeft();
  });
}

test('kill -9 of ectype ends the machine too, and the next run clears up', async () => {
  const disk = programDisk(path('killed.img'), { text: 'waiting' });
  const before = fileDigest(disk);
  let seen: string[] = [];
  const ended = await ectypeUntil(words('--prove', '--json', disk), {
    state: path('state'),
    onEvent: (event: JsonEvent, child: ChildProcess) => {
      if (!isStarted(event)) return;
      seen = machines();
      child.kill('SIGKILL');
    },
  });
  assert.is(ended.signal, 'SIGKILL');
  assert.ok(seen.length > 0);
  await until(() => machines().length === 0, 'the machine goes on');
  assert.is(fileDigest(disk), before);
  assert.ok(
    readdirSync(work).some((name) => name.startsWith('ectype-boot-')),
    'nobody could remove it',
  );
  cli.json(words('--prove', '--time-limit', '1s', disk));
  demandNothingLeft();
});

test('a QEMU that fails is told with its words', () => {
  const disk = programDisk(path('fails.img'), { text: 'x' });
  const fake = path('bin');
  mkdirSync(fake);
  const script = '#!/bin/sh\ncase "$*" in *"-S -display"*) exit 0;; esac\necho "qemu: no such thing" >&2\nexit 1\n';
  writeFileSync(join(fake, 'qemu-system-x86_64'), script, { mode: 0o755 });
  const { status, stderr } = cli.run(words('--prove', disk), { PATH: `${fake}:${process.env['PATH'] ?? ''}` });
  assert.is(status, 4);
  assert.match(stderr, /qemu-system-x86_64 ended with 1: qemu: no such thing/);
  demandNothingLeft();
});

test.run();
