// What a run leaves unread on ext2, ext3 and ext4 by the files' inodes is what it was, whatever programs did between.
// Mounted by the kernel, unmounted or frozen for each look; see src/filesystem/ext4/records.ts.

import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import { clip, normalise, totalLength } from '../../src/map/extent.js';
import { demandPerfect, makeImage, mounted } from '../support/ext4-image.js';
import { fileSource } from '../support/file-source.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { assertUnchanged, type Scan, scanRecords, unreadExtents } from '../support/record-scan.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { ALL, Workload } from '../support/workload.js';

const ROUNDS = Number(process.env['ECTYPE_RAPID_ROUNDS'] ?? rounds({ short: 25, long: 200 }));
const SIZE = 40 * MiB;
const ROOM = 12 * MiB;
const OLD_MS = 2200;
/** Older scans that one is compared with. */
const KEPT = 3;

const EXTENTS = { ...ALL, reflink: false };
/** Files that are mapped by block numbers can have holes made into them, and no more. */
const POINTERS = { ...EXTENTS, fallocate: false, shift: false, punch: false };

interface Kind {
  readonly name: string;
  readonly options: readonly string[];
  readonly can?: typeof ALL;
  readonly mount?: string;
  readonly clusterSize?: number;
  /** How coarse its stamps are, if that is worth mentioning. */
  readonly stampMs?: number;
}

const BIG = ['-t', 'ext4', '-b', '4096'];
const KINDS: readonly Kind[] = [
  { name: 'ext4', options: BIG },
  { name: 'blocks of 1 KiB', options: ['-t', 'ext4', '-b', '1024', '-g', '2048'] },
  { name: 'ext2', options: ['-t', 'ext2', '-b', '1024'], can: POINTERS },
  { name: 'ext3', options: ['-t', 'ext3', '-b', '2048'], can: POINTERS },
  { name: 'inodes of 128 bytes', options: [...BIG, '-I', '128'], stampMs: 1000 },
  { name: 'inodes of 1024 bytes', options: [...BIG, '-I', '1024'] },
  { name: 'bigalloc', options: [...BIG, '-O', 'bigalloc', '-C', '16384'], clusterSize: 16 * KiB },
  { name: 'inline data', options: [...BIG, '-O', 'inline_data'] },
  { name: 'no checksums', options: [...BIG, '-O', '^metadata_csum,uninit_bg'] },
  { name: 'meta_bg', options: ['-t', 'ext4', '-b', '1024', '-O', 'meta_bg,^resize_inode'] },
  { name: 'no journal', options: [...BIG, '-O', '^has_journal'] },
  { name: 'data in the journal', options: ['-t', 'ext4', '-b', '1024'], mount: 'data=journal' },
  { name: 'lazy times', options: BIG, mount: 'lazytime' },
];

interface Moment {
  readonly path: string;
  readonly scan: Scan;
}

/** A volume, and what it was. */
interface Life {
  readonly kind: Kind;
  readonly image: string;
  readonly workload: Workload;
  readonly moments: Moment[];
  copies: number;
}

const scratch = scratchFolder();
const done = { unread: 0, recorded: 0, solid: 0, frozen: 0 };

function begin(kind: Kind, index: number): Life {
  const image = join(scratch, `volume-${index}`);
  makeImage(image, SIZE, kind.options);
  const { can = EXTENTS, clusterSize = 4 * KiB } = kind;
  const random = randomFrom(SEED + index);
  const workload = new Workload(random, { can, room: ROOM, blockSize: clusterSize });
  mounted(image, (folder) => workload.work(folder, 120), mountOptions(kind, random));
  return { kind, image, workload, moments: [], copies: 0 };
}

function mountOptions({ mount }: Kind, random: Random): string {
  return ['rw', random.pick(['strictatime', 'relatime', 'noatime']), ...(mount ? [mount] : [])].join(',');
}

function copyOf(life: Life): string {
  life.copies += 1;
  const path = `${life.image}-${life.copies}`;
  run('cp', ['--sparse=always', '--reflink=never', life.image, path]);
  return path;
}

async function momentOf(path: string): Promise<Moment> {
  const source = fileSource(path);
  try {
    return { path, scan: await scanRecords(ext4, source) };
  } finally {
    await source.close();
  }
}

interface Stat {
  readonly inode: number;
  readonly bytes: number;
  readonly touchedAt: number;
}

function statsOf({ files }: Workload, folder: string): Stat[] {
  return files.map(({ paths, touchedAt }) => {
    const { ino, blocks } = statSync(join(folder, paths[0] ?? ''));
    return { inode: ino, bytes: blocks * 512, touchedAt };
  });
}

async function round(life: Life): Promise<void> {
  const { kind, image, workload, moments } = life;
  const { random } = workload;
  let path: string | undefined;
  let stats: Stat[] = [];
  const work = (folder: string): void => {
    workload.work(folder, random.between(1, 40));
    stats = statsOf(workload, folder);
    if (!random.chance(0.3)) return;
    run('fsfreeze', ['-f', folder]);
    try {
      path = copyOf(life);
    } finally {
      run('fsfreeze', ['-u', folder]);
    }
    done.frozen += 1;
    workload.work(folder, random.below(5));
  };
  mounted(image, work, mountOptions(kind, random));
  const now = await momentOf(path ?? copyOf(life));
  const then = random.pick(moments);
  const unread = unreadExtents(then.scan, now.scan);
  const [before, after] = [fileSource(then.path), fileSource(now.path)];
  try {
    await assertUnchanged(unread, before, after);
  } finally {
    await Promise.all([before.close(), after.close()]);
  }
  const sorted = normalise(unread);
  for (const { inode, bytes, touchedAt } of stats) {
    if (touchedAt > then.scan.at - OLD_MS - (kind.stampMs ?? 0)) continue;
    const extents = now.scan.records.get(inode)?.extents ?? [];
    done.solid += bytes;
    done.recorded += totalLength(extents);
    done.unread += totalLength(extents.flatMap((extent) => [...clip(sorted, extent)]));
  }
  moments.push(now);
  for (const old of moments.splice(0, moments.length - KEPT)) rmSync(old.path);
}

test(`${ROUNDS} rounds of work: what is left unread is what it was`, async () => {
  const lives = KINDS.map(begin);
  await sleep(OLD_MS);
  for (const life of lives) life.moments.push(await momentOf(copyOf(life)));
  for (let index = 0; index < ROUNDS; index += 1) {
    const life = lives[index % lives.length];
    assert.ok(life);
    try {
      await round(life);
    } catch (error) {
      throw new Error(`round ${index} of seed ${SEED} (${life.kind.name}): ${String(error)}`, { cause: error });
    }
  }
  for (const { image } of lives) demandPerfect(image);
  const share = (100 * done.unread) / done.solid;
  console.log(`${share.toFixed(1)} % of ${done.solid} untouched bytes unread; frozen ${done.frozen} times`);
  // Blocks that were allocated and never written, of the files' trees and attributes, and small files by their inodes.
  assert.ok(done.recorded > done.solid * 0.5, 'most data is in records');
  assert.ok(done.unread > done.recorded * 0.99, 'what nobody touched is unread');
});

test.run();
