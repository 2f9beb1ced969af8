// What a parent learns from its watchdog, and what the watchdog takes for a sign of life; with a real disk and, at the end,
// the program as it is installed.

import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ToolError } from '../../src/base/tool-error.js';
import { freezer } from '../../src/device/freeze.js';
import { type MountedFilesystem, mountsOf } from '../../src/device/mounts.js';
import { startWatchdog, type Watchdog } from '../../src/device/watchdog.js';
import { type LiveDisk, lineOf, thawAnyway, waitingIn, withLiveDisk } from '../support/live-disk.js';
import { HAS_LOOP } from '../support/loop.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const rooted = HAS_LOOP ? test : test.skip;
const BUNDLED = fileURLToPath(new URL('../../bundle/cli/watchdog-process.js', import.meta.url));
const pointsOf = ({ parts }: LiveDisk): string[] => parts.map(({ point }) => point);

/** A watchdog of this process, closed whatever happens. */
async function withWatchdog(
  disk: LiveDisk,
  body: (dog: Watchdog, found: readonly MountedFilesystem[], trouble: ToolError[]) => Promise<void>,
): Promise<void> {
  const found = mountsOf(disk.image);
  const dog = await startWatchdog(found);
  const trouble: ToolError[] = [];
  dog.onTrouble((each) => trouble.push(each));
  try {
    await body(dog, found, trouble);
  } finally {
    await dog.close();
  }
}

function watchdogPid(): number {
  const pids = run('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)])
    .split('\n')
    .filter((line) => line.includes('watchdog-process'))
    .map((line) => Number.parseInt(line, 10));
  assert.is(pids.length, 1);
  return pids[0] ?? 0;
}

rooted('signs of life keep it quiet, silence does not, and a total counts in any case', () =>
  withLiveDisk(scratch, (disk) =>
    withWatchdog(disk, async (dog, found, trouble) => {
      const ice = freezer(found);
      try {
        await dog.arm(500);
        ice.freeze();
        for (let beat = 0; beat < 12; beat += 1) {
          await sleep(100);
          dog.beat();
        }
        assert.is(ice.thaw().length, 3);
        await dog.disarm();
        await sleep(700);
        assert.is(dog.fired, false);

        await dog.arm(300);
        ice.freeze();
        await sleep(600);
        assert.is(dog.fired, true);
        assert.throws(() => ice.thaw(), /somebody else thawed/);
        assert.match(trouble[0]?.message ?? '', /no sign of life for 300 ms/);
        await dog.disarm();

        await dog.arm(500, { totalMs: 800 });
        assert.is(dog.fired, false);
        ice.freeze();
        for (let beat = 0; beat < 12; beat += 1) {
          await sleep(100);
          dog.beat();
        }
        assert.is(dog.fired, true);
        assert.throws(() => ice.thaw(), /somebody else thawed/);
        assert.match(trouble[1]?.message ?? '', /not done after 800 ms/);
        assert.is(trouble.length, 2);
        await dog.disarm();
      } finally {
        ice.close();
      }
    }),
  ),
);

rooted('what is frozen after it fired is thawed again, until it is disarmed', () =>
  withLiveDisk(scratch, (disk) =>
    withWatchdog(disk, async (dog, found) => {
      const ice = freezer(found);
      try {
        await dog.arm(100);
        await sleep(300);
        ice.freeze();
        await sleep(400);
        assert.throws(() => ice.thaw(), /somebody else thawed/);
        await dog.disarm();
        ice.freeze();
        await sleep(400);
        assert.is(ice.thaw().length, 3);
      } finally {
        ice.close();
      }
    }),
  ),
);

rooted('closed while it is armed, it thaws; closed or left behind while it is not, it thaws nothing of others', () =>
  withLiveDisk(scratch, async (disk) => {
    const points = pointsOf(disk);
    const ice = freezer(mountsOf(disk.image));
    try {
      await withWatchdog(disk, async (dog) => {
        await dog.arm(20_000);
        ice.freeze();
      });
      assert.equal(await waitingIn(points), [false, false, false]);
      assert.throws(() => ice.thaw(), /somebody else thawed/);
      await withWatchdog(disk, async (dog) => {
        await dog.arm(20_000);
        await dog.disarm();
        for (const point of points) run('fsfreeze', ['-f', point]);
      });
      await withWatchdog(disk, async () => undefined);
      assert.equal(await waitingIn(points), [true, true, true]);
    } finally {
      ice.close();
      thawAnyway(points);
    }
  }),
);

rooted('a watchdog that died is known of: before the freeze, and while frozen', () =>
  withLiveDisk(scratch, async (disk) => {
    const isLost = (error: unknown): boolean => (error as ToolError).code === 'filesystem.watchdog-lost';
    await withWatchdog(disk, async (dog, _, trouble) => {
      process.kill(watchdogPid(), 'SIGKILL');
      await dog.arm(1000).then(
        () => assert.unreachable(),
        (error) => assert.ok(isLost(error)),
      );
      await dog.arm(1000).then(
        () => assert.unreachable(),
        (error) => assert.ok(isLost(error)),
      );
      assert.is(dog.alive, false);
      assert.equal(trouble.map(isLost), [true]);
      dog.beat();
    });
    const ice = freezer(mountsOf(disk.image));
    try {
      await withWatchdog(disk, async (dog, _, trouble) => {
        await dog.arm(20_000);
        ice.freeze();
        process.kill(watchdogPid(), 'SIGKILL');
        for (let wait = 0; wait < 100 && trouble.length === 0; wait += 1) await sleep(10);
        assert.equal(trouble.map(isLost), [true]);
        assert.is(ice.thaw().length, 3);
      });
    } finally {
      ice.close();
    }
  }),
);

rooted('a watchdog that is stopped does not answer, so nothing is frozen', () =>
  withLiveDisk(scratch, (disk) =>
    withWatchdog(disk, async (dog) => {
      const pid = watchdogPid();
      process.kill(pid, 'SIGSTOP');
      try {
        await dog.arm(1000).then(
          () => assert.unreachable(),
          (error) => assert.match(error.message, /does not answer/),
        );
      } finally {
        process.kill(pid, 'SIGCONT');
      }
    }),
  ),
);

test('it runs from the bundle, too, and ends with its stdin', async () => {
  const child = spawn(process.execPath, [BUNDLED], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
  child.stdin.write('begin 0\n');
  await lineOf(child, /^ready$/);
  child.stdin.write('arm 1 100 0\n');
  await lineOf(child, /^done 1$/);
  await lineOf(child, /^fired 0 no sign of life for 100 ms$/);
  child.stdin.write('disarm 2\n');
  await lineOf(child, /^done 2$/);
  child.stdin.write('arm 3 5000 0\nno order at all\n');
  await lineOf(child, /^fired 0 an order that is none$/);
  child.stdin.end();
  assert.is(await ended, 0);
});

test.run();
