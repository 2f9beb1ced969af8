// The process that thaws whatever happens to its parent: killed, stopped, stuck in a write to what it froze, crashed, or
// just ended. Each parent is a process of its own that froze a disk.

import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type LiveDisk, lineOf, thawAnyway, waitingIn, withLiveDisk, writeIn } from '../support/live-disk.js';
import { HAS_LOOP } from '../support/loop.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const rooted = HAS_LOOP ? test : test.skip;
const DIST = fileURLToPath(new URL('../../', import.meta.url));
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const pointsOf = ({ parts }: LiveDisk): string[] => parts.map(({ point }) => point);

/** A process that froze the disk, said so, and then does what `ending` says. `program`: another copy of everything. */
async function frozenBy(
  { image }: LiveDisk,
  { ending, limitMs = 20_000, home = ROOT, node = process.execPath }: ParentOptions,
): Promise<{ child: ChildProcess; watchdog: number; ended: Promise<void> }> {
  const device = join(home, 'dist/src/device');
  const code = `
    import { writeFileSync, readFileSync } from 'node:fs';
    import { spawn } from 'node:child_process';
    import { mountsOf } from '${device}/mounts.js';
    import { freezer } from '${device}/freeze.js';
    import { startWatchdog } from '${device}/watchdog.js';
    const found = mountsOf('${image}');
    const dog = await startWatchdog(found);
    const children = readFileSync('/proc/self/task/' + process.pid + '/children', 'utf8').trim();
    const ice = freezer(found);
    await dog.arm(${limitMs});
    ice.freeze();
    console.log('frozen ' + children);
    ${ending}`;
  const child = spawn(node, ['--input-type=module', '-e', code], { stdio: ['pipe', 'pipe', 'pipe'], cwd: home });
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()));
  const line = await lineOf(child, /^frozen \d+$/);
  return { child, watchdog: Number(line.split(' ')[1]), ended };
}

interface ParentOptions {
  readonly ending: string;
  readonly limitMs?: number;
  readonly home?: string;
  readonly node?: string;
}

const WAIT = 'setInterval(() => dog.beat(), 100);';

/** How long after `begin` a write to each of the folders came through; fails if one takes longer than `limitMs`. */
async function thawedWithin(points: readonly string[], limitMs: number, begin: () => void): Promise<number> {
  assert.equal(await waitingIn(points), [true, true, true], 'frozen before');
  const writers = points.map(writeIn);
  await sleep(50);
  const start = performance.now();
  begin();
  const late = sleep(limitMs + 3000).then(() => Number.POSITIVE_INFINITY);
  const times = await Promise.all(writers.map(({ ended }) => Promise.race([ended, late])));
  const ms = Math.max(...times) - start;
  assert.ok(ms <= limitMs, `thawed after ${ms} ms`);
  return ms;
}

async function gone(pid: number, limitMs = 2000): Promise<void> {
  for (const start = performance.now(); ; await sleep(20)) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    if (performance.now() - start > limitMs) throw new Error(`process ${pid} lives on`);
  }
}

function endNow(child: ChildProcess, watchdog: number): void {
  child.kill('SIGCONT');
  child.kill('SIGKILL');
  try {
    process.kill(watchdog, 'SIGKILL');
  } catch {
    // it has ended, as it should
  }
}

interface EndCase {
  readonly name: string;
  readonly ending: string;
  readonly limitMs?: number;
  readonly within: number;
  readonly begin: (child: ChildProcess) => void;
}

const WRITE_TO_ICE = (part: number): string =>
  `const point = found[${part}].points[0]; setTimeout(() => { writeFileSync(point + '/own', 'x'); }, 100); ${WAIT}`;

const ENDS: readonly EndCase[] = [
  { name: 'killed', ending: WAIT, within: 2000, begin: (child) => child.kill('SIGKILL') },
  {
    name: 'killed while it waits for what it froze itself',
    ending: WRITE_TO_ICE(1),
    within: 2000,
    begin: (child) => child.kill('SIGKILL'),
  },
  {
    name: 'stuck in a write to what it froze',
    ending: WRITE_TO_ICE(2),
    limitMs: 1000,
    within: 2000,
    begin: () => undefined,
  },
  { name: 'stopped', ending: WAIT, limitMs: 1000, within: 1500, begin: (child) => child.kill('SIGSTOP') },
  {
    name: 'busy without an end',
    ending: `process.stdin.once('data', () => { for (;;); }); ${WAIT}`,
    limitMs: 1000,
    within: 1500,
    begin: (child) => child.stdin?.write('go\n'),
  },
  {
    name: 'ended in order without a thaw',
    ending: `process.stdin.once('data', () => process.exit(0)); ${WAIT}`,
    within: 2000,
    begin: (child) => child.stdin?.write('go\n'),
  },
  {
    name: 'crashed',
    ending: `process.stdin.once('data', () => process.abort()); ${WAIT}`,
    within: 2000,
    begin: (child) => child.stdin?.write('go\n'),
  },
];

for (const { name, ending, limitMs, within, begin } of ENDS) {
  rooted(`a parent that is ${name}: all is thawed`, () =>
    withLiveDisk(scratch, async (disk) => {
      for (let round = 0; round < rounds({ short: 1, long: 20 }); round += 1) {
        const parent = await frozenBy(disk, { ending, ...(limitMs === undefined ? {} : { limitMs }) });
        try {
          // Those with a limit are counting already: they must be frozen still when we look.
          const ms = await thawedWithin(pointsOf(disk), within, () => begin(parent.child));
          console.log(`${name}: thawed after ${ms.toFixed(0)} ms`);
          parent.child.kill('SIGCONT');
          parent.child.kill('SIGKILL');
          await parent.ended;
          await gone(parent.watchdog);
        } finally {
          endNow(parent.child, parent.watchdog);
          thawAnyway(pointsOf(disk));
        }
      }
    }),
  );
}

rooted('signals to the watchdog and to all processes of the terminal do not keep it from its task', () =>
  withLiveDisk(scratch, async (disk) => {
    const { child, watchdog, ended } = await frozenBy(disk, { ending: WAIT });
    try {
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGTSTP'] as const) {
        process.kill(watchdog, signal);
      }
      const session = run('ps', ['-o', 'sid=', '-p', String(watchdog)]).trim();
      assert.is(session, String(watchdog), 'a session of its own');
      await thawedWithin(pointsOf(disk), 2000, () => child.kill('SIGKILL'));
      await ended;
      await gone(watchdog);
    } finally {
      endNow(child, watchdog);
    }
  }),
);

rooted('program, addon and folder lie on what is frozen', () =>
  withLiveDisk(scratch, async (disk) => {
    const home = join(disk.parts[1]?.point ?? '', 'program');
    cpSync(join(DIST, 'src'), join(home, 'dist/src'), { recursive: true });
    for (const path of ['package.json', 'native/build/Release/ectype_native.node']) {
      mkdirSync(join(home, path, '..'), { recursive: true });
      copyFileSync(join(ROOT, path), join(home, path));
    }
    symlinkSync(join(ROOT, 'node_modules'), join(home, 'node_modules')); // for the parent; the watchdog needs none
    const node = join(home, 'node');
    copyFileSync(process.execPath, node);
    const { child, watchdog, ended } = await frozenBy(disk, { ending: WAIT, home, node });
    try {
      const ms = await thawedWithin(pointsOf(disk), 2000, () => child.kill('SIGKILL'));
      console.log(`everything on the frozen file systems: thawed after ${ms.toFixed(0)} ms`);
      await ended;
      await gone(watchdog);
    } finally {
      endNow(child, watchdog);
    }
  }),
);

test.run();
