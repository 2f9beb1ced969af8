// A live clone that dies while the source is frozen: everybody goes on writing at once, the target looks unfinished, and
// the next run makes it right. The target is slow, so that the frozen pass takes long enough to be hit.

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { ectypeUntil } from '../support/ending.js';
import { demandHealed, demandWritable, type LiveVolume, safely, withLiveVolume } from '../support/live-volume.js';
import { HAS_LOOP } from '../support/loop.js';
import { randomFrom, SEED } from '../support/random.js';
import { RAPID_KINDS } from '../support/rapid-kinds.js';
import { tryRun } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { withSlowDevice } from '../support/slow-device.js';

const scratch = scratchFolder();
const rooted = HAS_LOOP ? test : test.skip;
const KINDS = RAPID_KINDS.filter(({ name }) => name !== 'NTFS');
const BYTES_PER_SECOND = 12 * MiB;
/** Without a beat for so long it may be frozen. */
const SILENCE_MS = 250;

/** Writes over the same MiBs again and again, so that no pass gets short. */
function busyWriter(point: string): ChildProcess {
  const script = 'while :; do dd if=/dev/urandom of="$1" bs=1M count=8 conv=notrunc,fsync status=none; done';
  return spawn('sh', ['-c', script, 'sh', join(point, 'busy')], { stdio: 'ignore', detached: true });
}

/** Told of each write to the file system that came through. */
function heart(point: string): { last: () => number; stop: () => void } {
  const script = 'while :; do echo . > "$1" && echo .; sleep 0.02; done';
  const child = spawn('sh', ['-c', script, 'sh', join(point, 'beat')], {
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  });
  let last = performance.now();
  child.stdout.on('data', () => {
    last = performance.now();
  });
  return { last: () => last, stop: () => endGroup(child) };
}

function endGroup({ pid }: ChildProcess): void {
  if (pid !== undefined) process.kill(-pid, 'SIGKILL');
}

/** The kernel refuses to freeze what is frozen. */
function isFrozen(point: string): boolean {
  if (tryRun('fsfreeze', ['-f', point]).status !== 0) return true;
  tryRun('fsfreeze', ['-u', point]);
  return false;
}

/** Kills the run as soon as the file system is seen frozen. False if it ended before. */
async function killFrozen({ device, point, state }: LiveVolume, target: string): Promise<boolean> {
  const { last, stop } = heart(point);
  let isOver = false;
  let victim: ChildProcess | undefined;
  const onEvent = (_: unknown, child: ChildProcess): void => {
    victim = child;
  };
  const run = ectypeUntil(['clone', '--live', '--yes', '--json', device, target], { state, onEvent });
  const ended = run.finally(() => {
    isOver = true;
  });
  try {
    while (!isOver) {
      await sleep(10);
      if (performance.now() - last() < SILENCE_MS || !isFrozen(point)) continue;
      victim?.kill('SIGKILL');
      await demandWritable(point);
      assert.is((await ended).signal, 'SIGKILL');
      return true;
    }
    const { status, stdout } = await ended;
    assert.is(status, 0, stdout.slice(-1500));
    return false;
  } finally {
    stop();
  }
}

/** Kills it some time after one of the freezes began, wherever that is. */
async function killSomewhere({ device, point, state }: LiveVolume, target: string, seed: number): Promise<void> {
  const random = randomFrom(seed);
  const [freeze, afterMs] = [random.between(1, 4), random.below(150)];
  let freezes = 0;
  const onEvent = ({ phase }: { readonly [field: string]: unknown }, child: ChildProcess): void => {
    if (phase !== 'freeze') return;
    freezes += 1;
    if (freezes === freeze) setTimeout(() => child.kill('SIGKILL'), afterMs);
  };
  await ectypeUntil(['clone', '--live', '--yes', '--json', device, target], { state, onEvent });
  await demandWritable(point);
}

/** No tool finds a file system on it. */
function demandUnfinished(target: string): void {
  const { status, stdout } = tryRun('blkid', ['-p', target]);
  assert.is(status, 2, `looks finished: ${stdout}`);
}

for (const [index, kind] of KINDS.entries()) {
  rooted(`${kind.name}: killed while it is frozen`, () =>
    withLiveVolume(kind, join(scratch, kind.name), (volume) =>
      withSlowDevice(
        join(volume.folder, 'slow.img'),
        { size: kind.size, bytesPerSecond: BYTES_PER_SECOND },
        async (target) => {
          const busy = busyWriter(volume.point);
          try {
            assert.ok(await safely(volume.point, () => killFrozen(volume, target)), 'it was never seen frozen');
            demandUnfinished(target);
          } finally {
            endGroup(busy);
          }
          volume.unmount();
          await demandHealed(volume, target, ['compare']);
        },
      ),
    ),
  );

  rooted(`${kind.name}: killed anywhere around a freeze`, () =>
    withLiveVolume(kind, join(scratch, `${kind.name}-anywhere`), async (volume) => {
      const target = join(volume.folder, 'target.img');
      const busy = busyWriter(volume.point);
      try {
        for (let round = 0; round < rounds({ short: 1, long: 40 }); round += 1) {
          await safely(volume.point, () => killSomewhere(volume, target, SEED + 100 * index + round));
        }
      } finally {
        endGroup(busy);
      }
      volume.unmount();
      await demandHealed(volume, target, ['first', 'rapid', 'hash', 'compare']);
    }),
  );
}

test.run();
