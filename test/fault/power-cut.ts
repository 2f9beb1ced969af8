// A power cut after every single operation of a clone: of the target, the block maps, the record and their names.
// What was not synced survives in part, sector by sector. Then: no map claims what the target does not hold, no target
// looks finished that is not, and the next run ends equal without writing again what was there.

import '../support/write-log.js';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  afterCut,
  replaceContent,
  restoreSnapshot,
  type Snapshot,
  type Survival,
  takeSnapshot,
} from '../support/power-cut.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { smallDisk } from '../support/small-disk.js';
import { type Operation, recorded } from '../support/write-log.js';

const { clone } = await import('../../src/operation/clone.js');
const { verify } = await import('../../src/operation/verify.js');
const { silent } = await import('../../src/base/report.js');
const { brokenClaims, looksFinished } = await import('../support/clone-evidence.js');

const folder = scratchFolder();
const source = join(folder, 'source.img');
const targetFolder = join(folder, 'target');
const target = join(targetFolder, 'disk.img');
const state = join(folder, 'state');
process.env['ECTYPE_STATE'] = state;
const FOLDERS = [targetFolder, state];
const BLOCK = 65536;

// Epochs end whenever they may: this clock leaps.
let now = Date.now();
Date.now = () => (now += 2000);

const disk = smallDisk(folder, { unrecognised: 18, ext4: 4 });
const versions = [1, 2, 3].map((n) => disk.version(randomFrom(SEED + n)));
const [oldest = Buffer.alloc(0), older = Buffer.alloc(0), newest = Buffer.alloc(0)] = versions;

const SURVIVALS: readonly Survival[] = [
  { operations: 1, sectors: 1 },
  { operations: 0, sectors: 0 },
  { operations: 0.5, sectors: 1 },
  { operations: 0.9, sectors: 0.5 },
];

async function cloneOnce() {
  const { signal } = new AbortController();
  const options = { source, target, assumeYes: true, confirm: async () => true, report: silent, signal };
  const { run } = await clone(options);
  assert.ok(run);
  return run;
}

async function mustBeEqual(content: Buffer, label: string): Promise<void> {
  const { signal } = new AbortController();
  const { equal, differences } = await verify({ source, target, report: silent, signal });
  assert.ok(equal, `${label}: ${JSON.stringify(differences.slice(0, 3))}`);
  const held = readFileSync(target).subarray(disk.raw.offset, disk.raw.offset + disk.raw.length);
  assert.ok(held.equals(content.subarray(disk.raw.offset, disk.raw.offset + disk.raw.length)), label);
}

/** Bytes of blocks in which two contents of the target differ. */
function changedBytes(before: Buffer, after: Buffer): number {
  let bytes = 0;
  for (let at = 0; at < after.length; at += BLOCK) {
    if (!before.subarray(at, at + BLOCK).equals(after.subarray(at, at + BLOCK))) bytes += BLOCK;
  }
  return bytes;
}

/** What may be written although it was there: the armed ends, and blocks at the ends of volumes, which the grid cuts. */
const ALLOWED = 2 * 128 * 1024 + 8 * BLOCK;

interface Cut {
  readonly before: Snapshot;
  readonly log: readonly Operation[];
  /** What the target may look like, complete: the source's versions before and of this run. */
  readonly complete: readonly Buffer[];
}

/** Puts the medium back to what the cut left, and checks it as it is. Returns the target's bytes. */
async function cutAt(
  { before, log, complete }: Cut,
  count: number,
  { survival, random, label }: { survival: Survival; random: Random; label: string },
): Promise<Buffer> {
  restoreSnapshot(afterCut(before, { log, count, survival, random }), FOLDERS);
  assert.equal(await brokenClaims(target), [], label);
  const bytes = readFileSync(target);
  if (await looksFinished(target)) {
    const whole = complete.some((content) => contains(bytes, content));
    assert.ok(whole, `${label}: the target shows a table but is not complete`);
  }
  return bytes;
}

/** True if both partitions of the target hold what the clone of `content` would. */
function contains(bytes: Buffer, content: Buffer): boolean {
  const { offset, length } = disk.raw;
  if (!bytes.subarray(offset, offset + length).equals(content.subarray(offset, offset + length))) return false;
  return sameFiles(bytes, content);
}

function sameFiles(bytes: Buffer, content: Buffer): boolean {
  const { offset, length } = disk.ext4;
  // What ext4 leaves free is not copied: blocks that are zeros on the source say nothing.
  for (let at = offset; at < offset + length; at += 1024) {
    const wanted = content.subarray(at, at + 1024);
    if (!wanted.equals(bytes.subarray(at, at + 1024)) && wanted.some((byte) => byte !== 0)) return false;
  }
  return true;
}

/** After a cut: the next run with `content` as the source must end equal, and write only what was not there. */
async function resume(content: Buffer, before: Buffer, label: string): Promise<void> {
  replaceContent(source, content);
  const { amounts } = await cloneOnce();
  await mustBeEqual(content, label);
  const needed = changedBytes(before, readFileSync(target));
  assert.ok(amounts.written <= needed + ALLOWED, `${label}: wrote ${amounts.written} where ${needed} bytes differed`);
  assert.equal(await brokenClaims(target), [], label);
}

/** Every operation in long runs, a seeded sample of them in short ones; always the first and the last. */
function cutsOf(log: readonly Operation[], random: Random): number[] {
  const all = Array.from({ length: log.length + 1 }, (_, count) => count);
  const chance = rounds({ short: Math.min(1, 45 / all.length), long: 1 });
  return all.filter((count) => count === 0 || count === log.length || random.chance(chance));
}

async function cutEverywhere(cut: Cut, next: readonly Buffer[], name: string): Promise<void> {
  const random = randomFrom(SEED);
  for (const count of cutsOf(cut.log, random)) {
    for (const survival of rounds({ short: 1, long: 0 }) ? [random.pick(SURVIVALS)] : SURVIVALS) {
      const label = `${name}, cut after ${count} of ${cut.log.length}, ${JSON.stringify(survival)}`;
      const content = random.pick(next);
      const bytes = await cutAt(cut, count, { survival, random, label });
      if (random.chance(0.3)) await cutAgain(content, cut.complete, { random, label });
      else await resume(content, bytes, label);
    }
  }
}

/** The resumed run is cut as well, then resumed with whatever the source is by then. */
async function cutAgain(
  content: Buffer,
  complete: readonly Buffer[],
  { random, label }: { random: Random; label: string },
): Promise<void> {
  replaceContent(source, content);
  const before = takeSnapshot(FOLDERS);
  const log = await recorded(FOLDERS, async () => void (await cloneOnce()));
  const count = random.below(log.length + 1);
  const again = `${label}, again after ${count} of ${log.length}`;
  const cut = { before, log, complete: [...complete, content] };
  const bytes = await cutAt(cut, count, { survival: random.pick(SURVIVALS), random, label: again });
  await resume(random.pick(versions), bytes, again);
}

/** Runs a clone and cuts the power when the target is complete and the record does not say so yet. */
async function cutBeforeCommit(content: Buffer): Promise<void> {
  replaceContent(source, content);
  const before = takeSnapshot(FOLDERS);
  const log = await recorded(FOLDERS, async () => void (await cloneOnce()));
  const inode = statSync(target).ino;
  const count = 1 + log.findLastIndex((operation) => operation.kind === 'sync' && operation.inode === inode);
  const survival = { operations: 1, sectors: 1 };
  restoreSnapshot(afterCut(before, { log, count, survival, random: randomFrom(SEED) }), FOLDERS);
}

function startAnew(): void {
  restoreSnapshot({ names: new Map(), contents: new Map() }, FOLDERS);
  mkdirSync(targetFolder, { recursive: true });
  mkdirSync(state, { recursive: true });
  replaceContent(target, Buffer.alloc(disk.size));
}

test('first run', async () => {
  startAnew();
  replaceContent(source, older);
  const before = takeSnapshot(FOLDERS);
  const log = await recorded(FOLDERS, async () => void (await cloneOnce()));
  console.log(`first run: ${log.length} operations`);
  await cutEverywhere({ before, log, complete: [older] }, [older, older, newest, oldest], 'first run');
});

test('second run', async () => {
  startAnew();
  replaceContent(source, older);
  await cloneOnce();
  replaceContent(source, newest);
  const before = takeSnapshot(FOLDERS);
  const log = await recorded(FOLDERS, async () => void (await cloneOnce()));
  console.log(`second run: ${log.length} operations`);
  await cutEverywhere({ before, log, complete: [older, newest] }, [newest, newest, older, oldest], 'second run');
});

test('a map that an interrupted run left behind is not believed because an older token fits again', async () => {
  startAnew();
  replaceContent(source, older);
  await cloneOnce();
  await cutBeforeCommit(newest); // its map describes the newest version, its record the older one's token
  await cutBeforeCommit(older); // another history brings the older version back, token and all
  assert.equal(await brokenClaims(target), []);
  await resume(newest, readFileSync(target), 'third run');
});

test.run();
