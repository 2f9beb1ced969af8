// Ctrl-C, and two that want the same target: status 130 and 3, nothing half-done that does not say so.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JsonEvent } from '../support/cli.js';
import { type Ended, ectypeUntil } from '../support/ending.js';
import { randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { blankFile, demandMarked, trouble } from '../support/trouble.js';

const folder = scratchFolder();
const { source, content, size, clone, failed, recovers } = trouble(folder);
let count = 0;

function scene(): { target: string; state: string } {
  count += 1;
  return { target: blankFile(join(folder, 'target.img'), size), state: join(folder, `state-${count}`) };
}

/** Stopped: status 130, and the target is either marked or as it was. True if it was marked. */
function demandStopped(ended: Ended, target: string, before: Buffer): boolean {
  const error = ended.events.findLast(({ event }) => event === 'error');
  const marked = error?.['code'] === 'interrupted.stopped';
  const message = marked ? /marked as unfinished/ : /before anything was written/;
  failed(ended, { status: 130, code: marked ? 'interrupted.stopped' : 'interrupted.untouched', message });
  if (marked) demandMarked(target);
  else assert.ok(readFileSync(target).equals(before), 'stopped before anything was written, but something was');
  return marked;
}

test('Ctrl-C at any moment leaves a target that says what it is, and the next run goes on', async () => {
  const random = randomFrom(SEED);
  let stopped = 0;
  for (let round = 0; round < rounds({ short: 4, long: 100 }); round += 1) {
    const { target, state } = scene();
    for (let again = 0; again < 2; again += 1) {
      const before = readFileSync(target);
      const signal = random.pick(['SIGINT', 'SIGTERM'] as const);
      const end = random.chance(0.5)
        ? { signal, when: () => random.chance(0.2) }
        : { signal, afterMs: random.between(50, 1500) };
      const ended = await clone(target, { state, end });
      if (ended.status === 0) continue;
      // Before Node runs our code, and after it has told the result, a signal ends the process by itself.
      if (ended.events.some(({ event }) => event === 'result')) continue;
      if (ended.signal === signal) assert.ok(readFileSync(target).equals(before));
      else if (demandStopped(ended, target, before)) stopped += 1;
    }
    await recovers(target, { state });
  }
  console.log(`${stopped} runs stopped after they had begun to write`);
});

test('Ctrl-C while the copy is under way', async () => {
  const { target, state } = scene();
  const before = readFileSync(target);
  const when = ({ event, all }: JsonEvent): boolean => event === 'progress' && (all as { done: number }).done > 0;
  const ended = await clone(target, { state, end: { signal: 'SIGINT', when } });
  if (ended.status !== 0) demandStopped(ended, target, before);
  await recovers(target, { state });
});

test('Ctrl-C before the first write writes nothing', async () => {
  const { target, state } = scene();
  const before = readFileSync(target);
  const ended = await clone(target, { state, end: { signal: 'SIGINT', when: ({ event }) => event === 'plan' } });
  if (ended.status !== 0) demandStopped(ended, target, before);
  await recovers(target, { state });
  // A second run that finds nothing to do: stopped or not, nothing is written.
  const finished = readFileSync(target);
  await clone(target, { state, end: { signal: 'SIGINT', when: ({ event }) => event === 'plan' } });
  assert.ok(readFileSync(target).equals(finished));
});

/** Starts a run, stops its process in the middle of the copy, lets `meanwhile` happen, and lets it go on. */
async function duringRun(target: string, state: string, meanwhile: () => Promise<void>): Promise<Ended> {
  let process_: { resume: () => void } | undefined;
  const paused = new Promise<void>((resolve) => {
    process_ = { resume: resolve };
  });
  const run = clone(target, {
    state,
    onEvent(event, child) {
      if (event.event !== 'phase' || event['phase'] !== 'copy') return;
      child.kill('SIGSTOP');
      void paused.then(() => child.kill('SIGCONT'));
      void meanwhile().finally(() => process_?.resume());
    },
  });
  return run;
}

test('a second run on the same target is refused, the first goes on', async () => {
  const { target, state } = scene();
  let second: Ended | undefined;
  let elsewhere: Ended | undefined;
  const first = await duringRun(target, state, async () => {
    second = await clone(target, { state });
    elsewhere = await clone(target, { state: join(folder, 'another-state') });
  });
  assert.is(first.status, 0, first.stdout.slice(-300));
  assert.ok(second && elsewhere);
  const code = 'safety.in-use-by-another';
  failed(second, { status: 3, code, message: /target\.img is being used by another program/ });
  failed(elsewhere, { status: 3, code, message: /target\.img is being used by another program/ });
  await recovers(target, { state });
});

test('the source of one run is no target of another', async () => {
  const { target, state } = scene();
  let second: Ended | undefined;
  await duringRun(target, state, async () => {
    second = await ectypeUntil(['clone', '--yes', '--json', target, source], { state });
  });
  assert.ok(second);
  assert.is(second.status, 3, second.stdout);
});

test('a source file that is written while it is copied makes no finished clone', async () => {
  const { target, state } = scene();
  const fd = openSync(source, 'r+');
  try {
    const ended = await duringRun(target, state, async () => void writeSync(fd, content.subarray(-1), 0, 1, size - 1));
    failed(ended, {
      status: 5,
      code: 'filesystem.source-changed',
      message: /source\.img\); the target is left marked/,
    });
    demandMarked(target);
  } finally {
    closeSync(fd);
  }
  await recovers(target, { state });
});

test('a target file that another program has locked is refused', async () => {
  const { target, state } = scene();
  const before = readFileSync(target);
  const holder = spawn('flock', ['-x', target, '-c', 'echo locked; read line'], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    await once(holder.stdout, 'data');
    const ended = await clone(target, { state });
    failed(ended, {
      status: 3,
      code: 'safety.in-use-by-another',
      message: /target\.img is being used by another program/,
    });
    assert.ok(readFileSync(target).equals(before));
  } finally {
    holder.stdin.end('\n');
    await once(holder, 'close');
  }
  await recovers(target, { state });
});

test.run();
