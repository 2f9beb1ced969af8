// Random histories of XFS file systems: what records show as unchanged between two moments has the same bytes at both, and
// what nobody touched stays unread.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { xfs } from '../../src/filesystem/xfs/plugin.js';
import { fileSource } from '../support/file-source.js';
import { type Random, randomFrom, SEED, sampleOf } from '../support/random.js';
import { assertUnchanged, type Scan, scanRecords, unreadExtents } from '../support/record-scan.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { ALL, Workload } from '../support/workload.js';
import { demandPerfectXfs, growByTurns, makeXfs, mountedXfs } from '../support/xfs-image.js';

const scratch = scratchFolder();
const SIZE = 96 * MiB;
const OPERATIONS = 50;
const STILL_FILES = 300;
const STILL_BYTES = 20 * KiB;
const TREE_BLOCKS = 900;
/** Moments that a new one is compared with. */
const REMEMBERED = 3;
const MOUNTS = ['rw', 'noatime', 'strictatime', 'relatime', 'strictatime,lazytime', 'wsync'];
/** As long as stamps prove nothing. */
const RACY_SECONDS = '2.2';

interface Recipe {
  readonly name: string;
  readonly options: readonly string[];
  readonly blockSize?: number;
  readonly reflink?: false;
}

const RECIPES: readonly Recipe[] = [
  { name: 'as mkfs makes it', options: [] },
  { name: 'small blocks', options: ['-b', 'size=1024', '-m', 'rmapbt=1,reflink=1'], blockSize: KiB },
  { name: 'large inodes', options: ['-i', 'size=1024', '-d', 'agcount=6'] },
  { name: 'old stamps', options: ['-m', 'bigtime=0,rmapbt=1', '-i', 'nrext64=0', '-n', 'ftype=1'] },
  { name: 'new stamps, wide counts', options: ['-m', 'bigtime=1', '-i', 'nrext64=1,sparse=1,size=2048'] },
  { name: 'without reflinks', options: ['-m', 'reflink=0,finobt=0', '-i', 'sparse=0'], reflink: false },
];
const CHOSEN = sampleOf(RECIPES, 4);
const ROUNDS = Math.ceil(
  Number(process.env['ECTYPE_RAPID_ROUNDS'] ?? rounds({ short: 25, long: 200 })) / CHOSEN.length,
);

interface Moment {
  readonly image: string;
  readonly scan: Scan;
}

async function momentOf(image: string): Promise<Moment> {
  const volume = fileSource(image);
  try {
    return { image, scan: await scanRecords(xfs, volume) };
  } finally {
    await volume.close();
  }
}

function copyImage(from: string, to: string): void {
  run('cp', ['--sparse=always', '--reflink=never', from, to]);
}

/** Frozen: as a run finds a mounted file system. */
function copyFrozen(folder: string, image: string, to: string): void {
  run('fsfreeze', ['--freeze', folder]);
  try {
    copyImage(image, to);
  } finally {
    run('fsfreeze', ['--unfreeze', folder]);
  }
}

/** Tells how many bytes would not be read. */
async function compared(then: Moment, now: Moment): Promise<number> {
  const [before, after] = [fileSource(then.image), fileSource(now.image)];
  try {
    return await assertUnchanged(unreadExtents(then.scan, now.scan), before, after);
  } finally {
    await before.close();
    await after.close();
  }
}

class History {
  readonly image: string;
  readonly #random: Random;
  readonly #work: Workload;
  readonly #moments: Moment[] = [];
  #unread = 0;

  constructor(recipe: Recipe, random: Random) {
    const { name, options, blockSize = 4 * KiB, reflink = true } = recipe;
    this.#random = random;
    this.#work = new Workload(random, { can: { ...ALL, reflink }, largest: 256 * KiB, room: 16 * MiB, blockSize });
    this.image = join(scratch, name.replaceAll(' ', '-'));
    makeXfs(this.image, SIZE, options);
    mountedXfs(this.image, (folder) => {
      mkdirSync(join(folder, 'still'));
      for (let index = 0; index < STILL_FILES; index += 1) {
        writeFileSync(join(folder, 'still', `${index}`), random.bytes(STILL_BYTES));
      }
      growByTurns(join(folder, 'tree'), { count: TREE_BLOCKS, blockSize });
      mkdirSync(join(folder, 'work'));
      this.#work.work(join(folder, 'work'), 3 * OPERATIONS);
    });
  }

  async round(number: number): Promise<void> {
    const random = this.#random;
    const copy = `${this.image}.${number}`;
    const frozen = random.chance(0.3);
    mountedXfs(
      this.image,
      (folder) => {
        this.#work.work(join(folder, 'work'), random.pick([0, 5, OPERATIONS, OPERATIONS]));
        if (random.chance(0.5)) writeInTree(folder, random);
        // Reads change access times, and must not change digests.
        if (random.chance(0.5)) run('sh', ['-c', 'cat "$1"/still/* > /dev/null', 'sh', folder]);
        if (frozen) copyFrozen(folder, this.image, copy);
      },
      random.pick(MOUNTS),
    );
    if (!frozen) copyImage(this.image, copy);
    const now = await momentOf(copy);
    for (const then of this.#moments) {
      const unread = await compared(then, now);
      this.#unread += unread;
      assert.ok(unread >= 0.8 * STILL_FILES * STILL_BYTES, `only ${unread} bytes would stay unread`);
    }
    this.#moments.push(now);
    const oldest = this.#moments[random.below(this.#moments.length)];
    if (this.#moments.length <= REMEMBERED || !oldest) return;
    this.#moments.splice(this.#moments.indexOf(oldest), 1);
    rmSync(oldest.image);
  }

  finish(): number {
    demandPerfectXfs(this.image);
    for (const { image } of this.#moments) rmSync(image);
    rmSync(this.image);
    return this.#unread;
  }
}

/** In a file whose extents fill a btree: in place, or where there were holes or unwritten blocks. */
function writeInTree(folder: string, random: Random): void {
  const at = random.below(TREE_BLOCKS * KiB);
  const command = random.pick([`pwrite -q -S 0x${random.between(16, 99)} ${at} 100`, `fpunch ${at} 4096`, `fsync`]);
  run('xfs_io', ['-c', command, join(folder, 'tree')]);
}

const histories = CHOSEN.map((recipe, index) => ({ recipe, history: new History(recipe, randomFrom(SEED + index)) }));
run('sleep', [RACY_SECONDS]);

for (const { recipe, history } of histories) {
  test(`${recipe.name}: ${ROUNDS} rounds`, async () => {
    for (let number = 0; number < ROUNDS; number += 1) {
      try {
        await history.round(number);
      } catch (error) {
        throw new Error(`${recipe.name}, round ${number} of seed ${SEED}`, { cause: error });
      }
    }
    console.log(`${recipe.name}: ${(history.finish() / MiB).toFixed(0)} MiB stayed unread`);
  });
}

test.run();
