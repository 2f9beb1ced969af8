// kill -9 of the real command line at any moment of first and second runs, onto files and loop devices. Then: the target
// shows no table unless it is complete, the same command ends well and equal, and what was there is not written again.

import { closeSync, ftruncateSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { amount, type Ended, type EndingOptions, ectypeUntil } from '../support/ending.js';
import { replaceContent } from '../support/power-cut.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { run, tryRun } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { type SmallDisk, smallDisk } from '../support/small-disk.js';

const MiB = 1 << 20;
const BLOCK = 65536;
const folder = scratchFolder();
const disk: SmallDisk = smallDisk(folder, { unrecognised: 90, ext4: 20 });

/** The source as a file, and its versions; a version replaces the content and keeps the file. */
const source = join(folder, 'source.img');
const versions = [1, 2, 3].map((n) => disk.version(randomFrom(SEED + n)));

interface Scene {
  /** The target as the command line gets it. */
  readonly target: string;
  /** The file that holds its bytes. */
  readonly file: string;
  readonly state: string;
}

let scenes = 0;

/** A blank target, as a file or a loop device, with an empty state. Gone when `body` has ended. */
async function withScene(kind: 'file' | 'loop', body: (scene: Scene) => Promise<void>): Promise<void> {
  scenes += 1;
  const file = join(folder, 'target.img');
  const fd = openSync(file, 'w');
  ftruncateSync(fd, disk.size + (kind === 'file' ? 0 : 2 * MiB));
  closeSync(fd);
  const state = join(folder, `state-${scenes}`);
  if (kind === 'file') return body({ target: file, file, state });
  const device = run('losetup', ['-f', '--show', '--direct-io=off', file]).trim();
  try {
    await body({ target: device, file, state });
  } finally {
    run('losetup', ['-d', device]);
  }
}

const clone = (scene: Scene, end?: EndingOptions['end']): Promise<Ended> =>
  ectypeUntil(['clone', '--yes', '--json', source, scene.target], { state: scene.state, ...(end ? { end } : {}) });

/** A moment to die: after some time, or when the copy has come some way, or when it begins to commit. */
function someMoment(random: Random, longestMs: number): NonNullable<EndingOptions['end']> {
  const kind = random.below(4);
  if (kind < 2) return { signal: 'SIGKILL', afterMs: random.below(longestMs) };
  if (kind === 2) return { signal: 'SIGKILL', when: ({ event, phase }) => event === 'phase' && phase === 'commit' };
  const part = random.below(100) / 100;
  return {
    signal: 'SIGKILL',
    when: ({ event, all }) => event === 'progress' && (all as { done: number }).done >= part * disk.raw.length,
  };
}

function contentOf(path: string): Buffer {
  const bytes = Buffer.alloc(disk.size);
  const fd = openSync(path, 'r');
  readSync(fd, bytes, 0, bytes.length, 0);
  closeSync(fd);
  return bytes;
}

const hasTable = ({ target }: Scene): boolean => tryRun('sfdisk', ['--json', target]).status === 0;

/** A target with a table must be complete: a clone of one of the versions it may hold. */
function demandHonest(scene: Scene, complete: readonly Buffer[], label: string): void {
  if (!hasTable(scene)) return;
  const held = contentOf(scene.file);
  const { offset, length } = disk.raw;
  const partition = (bytes: Buffer): Buffer => bytes.subarray(offset, offset + length);
  const whole = complete.filter((content) => partition(held).equals(partition(content)));
  assert.ok(whole.length > 0, `${label}: a table, but the unrecognised partition is not complete`);
  const image = join(folder, 'ext4-check');
  replaceContent(image, held.subarray(disk.ext4.offset, disk.ext4.offset + disk.ext4.length));
  const { status, stdout } = tryRun('e2fsck', ['-fn', image]);
  assert.is(status, 0, `${label}: a table, but e2fsck says ${stdout}`);
}

/** The same command again, to its end: equal, and without writing what was there. */
async function finish(scene: Scene, content: Buffer, label: string): Promise<void> {
  const before = contentOf(scene.file);
  const ended = await clone(scene);
  assert.is(
    ended.status,
    0,
    `${label}: the next run ended with ${ended.status}: ${ended.stdout.slice(-400)}${ended.stderr}`,
  );
  const after = contentOf(scene.file);
  let needed = 0;
  for (let at = 0; at < after.length; at += BLOCK) {
    if (!before.subarray(at, at + BLOCK).equals(after.subarray(at, at + BLOCK))) needed += BLOCK;
  }
  const written = amount(ended, 'written');
  assert.ok(written <= needed + 3 * MiB, `${label}: wrote ${written} bytes where ${needed} differed`);
  const { offset, length } = disk.raw;
  assert.ok(after.subarray(offset, offset + length).equals(content.subarray(offset, offset + length)), label);
  const verified = await ectypeUntil(['verify', '--json', source, scene.target], { state: scene.state });
  assert.is(verified.status, 0, `${label}: ${verified.stdout.slice(-400)}`);
  assert.ok(hasTable(scene), label);
}

/** How long a whole run takes here now: what the moments to die are drawn from. */
async function timed(scene: Scene): Promise<number> {
  const start = Date.now();
  const ended = await clone(scene);
  assert.is(ended.status, 0, ended.stdout + ended.stderr);
  return Date.now() - start;
}

async function killedRuns(kind: 'file' | 'loop', count: number): Promise<void> {
  const random = randomFrom(SEED + count + kind.length);
  let killed = 0;
  for (let round = 0; round < count; round += 1) {
    await withScene(kind, async (scene) => {
      const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = [random.pick(versions), random.pick(versions)];
      const complete: Buffer[] = [first];
      replaceContent(source, first);
      let longestMs = 1500;
      const firstRun = random.chance(0.5);
      if (!firstRun) {
        longestMs = await timed(scene);
        replaceContent(source, second);
        complete.push(second);
      }
      let content = firstRun ? first : second;
      for (let deaths = random.between(1, 3); deaths > 0; deaths -= 1) {
        const moment = someMoment(random, longestMs);
        const label = `${kind}, round ${round} (seed ${SEED}), ${firstRun ? 'first' : 'second'} run, ${JSON.stringify(moment)}`;
        const ended = await clone(scene, moment);
        if (ended.signal === 'SIGKILL') killed += 1;
        else assert.is(ended.status, 0, `${label}: ${ended.stdout.slice(-400)}${ended.stderr}`);
        demandHonest(scene, complete, label);
        if (random.chance(0.4)) {
          content = random.pick(versions); // changed, or rolled back, while nobody looked
          replaceContent(source, content);
          complete.push(content);
        }
      }
      await finish(scene, content, `${kind}, round ${round} (seed ${SEED})`);
      assert.ok(readFileSync(source).equals(content), 'the source changed');
    });
  }
  console.log(`${kind}: ${killed} runs killed`);
  assert.ok(killed >= count / 2, `only ${killed} of ${count} rounds were killed`);
}

test('killed runs onto a file', () => killedRuns('file', rounds({ short: 3, long: 100 })));
if (process.getuid?.() === 0) {
  test('killed runs onto a loop device', () => killedRuns('loop', rounds({ short: 3, long: 100 })));
}

/** Overwrites some bytes: somebody else was at the target. */
function scribble(path: string, offset: number, random: Random): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, random.bytes(5000), 0, 5000, offset);
  closeSync(fd);
}

test('a target without its marker is compared, whatever its maps say', () =>
  withScene('file', async (scene) => {
    const random = randomFrom(SEED);
    const [content = Buffer.alloc(0)] = versions;
    replaceContent(source, content);
    const ended = await clone(scene, { signal: 'SIGKILL', when: ({ event }) => event === 'phase' });
    assert.is(ended.signal, 'SIGKILL');
    await clone(scene);
    scribble(scene.file, disk.raw.offset + 70_000, random);
    // Nothing shows that the unrecognised partition was touched: it has no token, so it is compared every time.
    await finish(scene, content, 'touched');
  }));

test.run();
