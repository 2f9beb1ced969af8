// Random histories of btrfs file systems: what records show as unchanged between two moments has the same bytes at both,
// also across snapshots, balance, other sizes, writes in place, and an older copy of the image that went another way.

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { btrfs } from '../../src/filesystem/btrfs/plugin.js';
import { beginHistory, STILL_BYTES, someEvent, VOLUME, writeInPlace } from '../support/btrfs-history.js';
import { demandPerfect, makeBtrfs, mounted } from '../support/btrfs-image.js';
import { fileSource } from '../support/file-source.js';
import { type Random, randomFrom, SEED, sampleOf } from '../support/random.js';
import { assertUnchanged, type Scan, scanRecords, unreadExtents } from '../support/record-scan.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { ALL, Workload } from '../support/workload.js';

const scratch = scratchFolder();
const SIZE = 640 * MiB;
const OPERATIONS = 60;
/** Moments that a new one is compared with. */
const REMEMBERED = 3;

interface Recipe {
  readonly name: string;
  readonly options: readonly string[];
  /** One of them each time it is mounted. */
  readonly mounts?: readonly string[];
  readonly reflink?: false;
}

const RECIPES: readonly Recipe[] = [
  { name: 'as mkfs makes it', options: [] },
  { name: 'DUP', options: ['-d', 'dup'] },
  { name: 'compressed', options: [], mounts: ['compress=zstd', 'compress-force=lzo', 'rw', 'compress-force=zstd'] },
  { name: 'mixed', options: ['--mixed', '-m', 'single', '-d', 'single'] },
  {
    name: 'space cache v1',
    options: ['-R', '^free-space-tree'],
    mounts: ['space_cache=v1', 'space_cache=v1,autodefrag'],
  },
  {
    name: 'other options each time',
    options: ['-m', 'single', '-n', '4096'],
    mounts: ['rw', 'nodatasum', 'nodatacow', 'autodefrag', 'max_inline=0', 'flushoncommit', 'discard=async'],
    reflink: false, // files with and without checksums cannot share
  },
  { name: 'xxhash', options: ['--csum', 'xxhash', '-n', '65536'] },
  { name: 'sha256', options: ['--csum', 'sha256'] },
  { name: 'blake2', options: ['--csum', 'blake2', '-m', 'single', '-n', '4096'] },
  { name: 'older format', options: ['-O', '^no-holes,^skinny-metadata', '-R', '^free-space-tree'] },
];
const CHOSEN = sampleOf(RECIPES, 5);
const ROUNDS = Math.ceil(
  Number(process.env['ECTYPE_RAPID_ROUNDS'] ?? rounds({ short: 25, long: 200 })) / CHOSEN.length,
);

/** A copy of the image, and its records. */
interface Moment {
  readonly round: number;
  readonly image: string;
  readonly scan: Scan;
}

async function momentOf(image: string, round: number): Promise<Moment> {
  const volume = fileSource(image);
  try {
    return { round, image, scan: await scanRecords(btrfs, volume) };
  } finally {
    await volume.close();
  }
}

/** How many bytes would not be read. */
async function compared(then: Moment, now: Moment): Promise<number> {
  const unread = unreadExtents(then.scan, now.scan);
  const [before, after] = [fileSource(then.image), fileSource(now.image)];
  try {
    return await assertUnchanged(unread, before, after);
  } finally {
    await before.close();
    await after.close();
  }
}

function copyImage(from: string, to: string): string {
  run('cp', ['--sparse=always', '--reflink=never', from, to]);
  return to;
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

class History {
  readonly image: string;
  readonly #recipe: Recipe;
  readonly #random: Random;
  readonly #moments: Moment[] = [];
  #work: Workload;
  /** Where it works: a folder of its own, because it does not know what others left. */
  #place = 'line-0';
  /** The last round in which data came to lie elsewhere by itself. */
  #moved = 0;
  readonly told: string[] = [];

  constructor(recipe: Recipe, random: Random) {
    this.#recipe = recipe;
    this.#random = random;
    this.#work = this.#newWork();
    this.image = join(scratch, recipe.name.replaceAll(' ', '-'));
    makeBtrfs([this.image], SIZE, recipe.options);
    mounted([this.image], (folder) => beginHistory(folder, random));
  }

  /** Returns how many bytes would not be read, of all comparisons together. */
  async round(number: number): Promise<number> {
    const random = this.#random;
    if (number > 2 && random.chance(0.15)) this.#rollBack(number);
    const copy = `${this.image}.${number}`;
    const frozen = random.chance(0.3);
    mounted(
      [this.image],
      (folder) => {
        const place = join(folder, VOLUME, this.#place);
        mkdirSync(place, { recursive: true });
        this.#work.work(place, random.pick([0, 5, OPERATIONS, OPERATIONS]));
        for (let event = random.below(3); event > 0; event -= 1) {
          const { name, moves } = someEvent(folder, random);
          this.told.push(name);
          if (moves) this.#moved = number;
        }
        writeInPlace(folder, random);
        if (frozen) copyFrozen(folder, this.image, copy);
      },
      random.pick(this.#recipe.mounts ?? ['rw']),
    );
    if (!frozen) copyImage(this.image, copy);
    const now = await momentOf(copy, number);
    let unread = 0;
    for (const then of this.#moments) {
      const bytes = await compared(then, now);
      unread += bytes;
      // In place, or with several copies, there may be more of them; never less.
      if (then.round >= this.#moved) assert.ok(bytes >= 0.8 * STILL_BYTES, `only ${bytes} bytes would stay unread`);
    }
    this.#moments.push(now);
    if (this.#moments.length > REMEMBERED) rmSync(this.#moments.shift()?.image ?? '');
    return unread;
  }

  /** The image becomes what it was some rounds ago; what it was later is compared with what it becomes now. */
  #rollBack(number: number): void {
    const [oldest] = this.#moments;
    if (!oldest) return;
    copyImage(oldest.image, this.image);
    this.#work = this.#newWork();
    this.#place = `line-${number}`;
    this.#moved = number;
    this.told.push('roll back');
  }

  #newWork(): Workload {
    const can = { ...ALL, shift: false, reflink: this.#recipe.reflink ?? true };
    return new Workload(this.#random, { can, largest: 256 * KiB, room: 24 * MiB });
  }

  finish(): void {
    demandPerfect([this.image]);
    for (const { image } of this.#moments) rmSync(image);
    rmSync(this.image);
  }
}

for (const [index, recipe] of CHOSEN.entries()) {
  test(`${recipe.name}: ${ROUNDS} rounds`, async () => {
    const history = new History(recipe, randomFrom(SEED + index));
    let unread = 0;
    for (let number = 0; number < ROUNDS; number += 1) {
      try {
        unread += await history.round(number);
      } catch (error) {
        throw new Error(`round ${number} of seed ${SEED} (${history.told.join(', ')}): ${error}`, { cause: error });
      }
    }
    history.finish();
    console.log(`${recipe.name}: ${(unread / MiB).toFixed(0)} MiB unread; ${history.told.join(', ')}`);
  });
}

test.run();
