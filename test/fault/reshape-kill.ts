// kill -9 while a view is made: the daemon dies with its owner, and the next start removes what is left. Stopping and
// failing leave nothing at all.

import { spawn } from 'node:child_process';
import { chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { cleanLeftovers } from '../../src/reshape/leftovers.js';
import { makeView, type Step } from '../../src/reshape/view.js';
import { programsOf } from '../../src/reshape/view-folder.js';
import { HAS_LOOP } from '../support/loop.js';
import { thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { assertNothingLeft, digestOf, foldersOf, judgeView, makeScene, viewOptions } from '../support/reshape.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const VICTIM = fileURLToPath(new URL('../support/reshape-victim.js', import.meta.url));
const folder = scratchFolder();
const random = randomFrom(SEED);
const content = { kind: 'ext', options: ['-t', 'ext4'] } as const;
const scene = HAS_LOOP ? await makeScene(folder, { content, filesystem: 'ext4', size: 64 * MiB, random }) : undefined;

/** Kills it when it has come to the moment, or after so many milliseconds. */
async function killAt(moment: string, options: unknown, afterMs?: number): Promise<void> {
  const child = spawn(process.execPath, [VICTIM, moment, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = new Promise<void>((resolve) => child.on('close', () => resolve()));
  if (afterMs === undefined) await new Promise((resolve) => child.stdout.once('data', resolve));
  else await sleep(afterMs);
  child.kill('SIGKILL');
  await closed;
}

async function programsGone(): Promise<boolean> {
  for (let wait = 0; wait < 200; wait += 1) {
    if (programsOf(join(folder, 'ectype-view-')).length === 0) return true;
    await sleep(10);
  }
  return false;
}

if (scene) {
  for (const moment of ['before', 'mounted', 'after']) {
    test(`killed: ${moment}`, async () => {
      await killAt(moment, viewOptions(scene, 100 * MiB));
      assert.is(foldersOf(folder).length, 1, 'there was nothing to clean');
      assert.ok(await programsGone(), 'programs outlived their owner');
      const removed = cleanLeftovers(folder);
      assert.is(removed.length, 1);
      assertNothingLeft(folder);
      assert.is(digestOf(scene.disk), scene.digest);
    });
  }

  test('killed at any moment', async () => {
    for (let round = 0; round < rounds({ short: 6, long: 60 }); round += 1) {
      await killAt('mounted', viewOptions(scene, 100 * MiB), random.between(60, 500));
      assert.ok(await programsGone(), 'programs outlived their owner');
      cleanLeftovers(folder);
      assertNothingLeft(folder);
    }
    assert.is(digestOf(scene.disk), scene.digest);
    await judgeView(scene, 100 * MiB);
  });

  test('the views of living processes stay, and what is no view', async () => {
    const view = await makeView(viewOptions(scene, 100 * MiB));
    mkdirSync(join(folder, 'ectype-view-mine'));
    writeFileSync(join(folder, 'ectype-view-1-2'), '');
    writeFileSync(join(folder, 'ectype-view-1-2-file'), '');
    mkdirSync(join(folder, 'ectype-view-1-2-other'));
    chownSync(join(folder, 'ectype-view-1-2-other'), 1000, 1000);
    assert.equal(cleanLeftovers(folder), []);
    assert.is(foldersOf(folder).length, 5);
    const source = view.source();
    await source.read(Buffer.alloc(4096), 0);
    await source.close();
    await view.close();
    await view.close();
    assert.is(foldersOf(folder).length, 4);
    for (const name of foldersOf(folder)) rmSync(join(folder, name), { recursive: true });
  });

  test('stopped at any moment', async () => {
    for (let round = 0; round < rounds({ short: 8, long: 80 }); round += 1) {
      const stopper = new AbortController();
      const timer = setTimeout(() => stopper.abort(), random.below(120));
      const slow: Step = (bench) =>
        bench.mounted('ext4', 'rw', async () => {
          await sleep(200);
        });
      const options = { ...viewOptions(scene, 100 * MiB), signal: stopper.signal, after: [slow] };
      const error = await thrownBy(() => makeView(options));
      clearTimeout(timer);
      assert.is((error as { code?: string }).code, 'interrupted.reshape', String(error));
      assertNothingLeft(folder);
    }
  });

  test('a step that fails, mounted or not', async () => {
    const fail = async (): Promise<never> => {
      throw new Error('as wanted');
    };
    for (const step of [fail, ((bench) => bench.mounted('ext4', 'rw', fail)) as Step]) {
      const error = await thrownBy(() => makeView({ ...viewOptions(scene, 100 * MiB), before: [step] }));
      assert.match(String(error), /as wanted/);
      assertNothingLeft(folder);
    }
  });
}

test.run();
