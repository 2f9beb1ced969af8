// Sleep is held off for just as long as a run lasts, and nothing that goes wrong with it reaches the run.

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inhibitSleep } from '../../src/device/inhibit.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const MODULE = new URL('../../src/device/inhibit.js', import.meta.url).href;
let count = 0;

/** A folder with a program that stands for systemd-inhibit and logs what happens to it. */
function fake(script = 'echo "begin $*" >> "$LOG"; for last; do :; done; "$last" > /dev/null; echo end >> "$LOG"'): {
  folder: string;
  log: () => string;
} {
  const folder = join(scratch, `bin-${count++}`);
  mkdirSync(folder);
  const log = join(folder, 'log');
  writeFileSync(join(folder, 'systemd-inhibit'), `#!/bin/sh\nLOG=${log}\n${script}\n`);
  chmodSync(join(folder, 'systemd-inhibit'), 0o755);
  return { folder, log: () => (existsSync(log) ? readFileSync(log, 'utf8') : '') };
}

const pathWith = (folder: string): string => [join(scratch, 'nowhere'), folder].join(delimiter);

async function until(condition: () => boolean): Promise<void> {
  for (let wait = 0; wait < 500 && !condition(); wait += 1) await sleep(10);
  assert.ok(condition());
}

test('held from the call to the release', async () => {
  const { folder, log } = fake();
  const release = inhibitSleep('cloning A to B', { runtimeFolder: scratch, searchPath: pathWith(folder) });
  await until(() => log() !== '');
  assert.is(log(), 'begin --what=sleep:shutdown --who=ectype --why=cloning A to B --mode=block cat\n');
  release();
  await until(() => log().endsWith('end\n'));
  release();
});

test('nothing is started where systemd does not run the machine, or has no such program', async () => {
  const { folder, log } = fake();
  inhibitSleep('why', { runtimeFolder: join(scratch, 'missing'), searchPath: folder })();
  inhibitSleep('why', { runtimeFolder: scratch, searchPath: join(scratch, 'nowhere') })();
  inhibitSleep('why', { runtimeFolder: scratch, searchPath: '' })();
  await sleep(100);
  assert.is(log(), '');
});

test('a program that fails, or cannot run, harms nobody', async () => {
  for (const script of ['exit 1', 'kill -9 $$']) {
    const release = inhibitSleep('why', { runtimeFolder: scratch, searchPath: fake(script).folder });
    await sleep(100);
    release();
  }
  const { folder } = fake();
  writeFileSync(join(folder, 'systemd-inhibit'), 'neither script nor program\0');
  inhibitSleep('why', { runtimeFolder: scratch, searchPath: folder })();
  await sleep(100);
});

for (const [how, ending] of [
  ['in order', ''],
  ['by a signal', "process.kill(process.pid, 'SIGKILL');"],
] as const) {
  test(`it ends with a process that ends ${how} without a release, and keeps no process alive`, async () => {
    const { folder, log } = fake();
    const options = JSON.stringify({ runtimeFolder: scratch, searchPath: folder });
    const code = `import { inhibitSleep } from ${JSON.stringify(MODULE)};
      import { existsSync } from 'node:fs';
      inhibitSleep('why', ${options});
      while (!existsSync(${JSON.stringify(join(folder, 'log'))})) await new Promise((done) => setTimeout(done, 10));
      ${ending}`;
    const started = performance.now();
    spawnSync(process.execPath, ['--input-type=module', '-e', code], { timeout: 20_000 });
    assert.ok(performance.now() - started < 15_000);
    await until(() => log().endsWith('end\n'));
  });
}

test.run();
