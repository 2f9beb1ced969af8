// Standby clones: what a second run costs beside one thread that only reads everything allocated, by file system and by
// size of the disk.

import { closeSync, mkdirSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatBytes, GiB, KiB, MiB } from '../../src/base/units.js';
import { type Contestant, contest, run } from './contestant.js';
import { type BenchDisk, mounted, noise } from './disks.js';
import { deltaCopies, ectypeAfter, noteUsed, oneThreadRead, type Pair } from './programs.js';
import { summarise } from './report.js';
import { type Scenario, withPair } from './scenario.js';

type Kind = 'ext4' | 'xfs' | 'btrfs' | 'ntfs';

const MAKE: Readonly<Record<Kind, readonly string[]>> = {
  ext4: ['mkfs.ext4', '-q', '-F'],
  xfs: ['mkfs.xfs', '-q', '-f'],
  btrfs: ['mkfs.btrfs', '-q', '-f'],
  ntfs: ['mkntfs', '-Q', '-q', '-F'],
};

/** Of which 130,000 fill 5 GiB: most are small, a few are large. */
const LENGTHS = [1, 3, 5, 9, 17, 30, 60, 170].map((kibibytes) => kibibytes * KiB + 700);
const AVERAGE = LENGTHS.reduce((sum, length) => sum + length, 0) / LENGTHS.length;
const PER_FOLDER = 100;
/** Of the disk; the rest is for the file system's own structures, and for what a change needs besides. */
const FILLED = 0.85;
/** A journal is as long on a small disk as on a large one. */
const OVERHEAD = 96 * MiB;

function fileCount(size: number): number {
  return Math.floor(((size - OVERHEAD) * FILLED) / (AVERAGE + 2 * KiB));
}

/** All content comes from one piece of noise, at another place for each file: quick, and no two are alike. */
const NOISE = noise('standby', 8 * MiB);

function writeSome(folder: string, indexes: Iterable<number>, round: number): void {
  for (const index of indexes) {
    const length = LENGTHS[index % LENGTHS.length] ?? KiB;
    const place = (index * 4099 + round * 65_537) % (NOISE.length - length);
    const bytes = Buffer.from(NOISE.subarray(place, place + length));
    bytes.writeUInt32LE(index, 0);
    bytes.writeUInt32LE(round, 4);
    writeFileSync(join(folder, `d${Math.floor(index / PER_FOLDER)}`, `f${index}`), bytes);
  }
}

function* everyNth(count: number, step: number, first = 0): Generator<number> {
  for (let index = first; index < count; index += step) yield index;
}

/** Mounted through ntfs-3g or the kernel. */
function mountedAs<T>(kind: Kind, disk: BenchDisk, work: (folder: string) => T): T {
  if (kind !== 'ntfs') return mounted(disk, 'rw', work);
  const folder = `${disk.file}.mounted`;
  mkdirSync(folder, { recursive: true });
  run(['ntfs-3g', '-o', 'big_writes', disk.path, folder]);
  try {
    return work(folder);
  } finally {
    run(['umount', folder]);
    rmSync(folder, { recursive: true });
  }
}

function fill(kind: Kind, disk: BenchDisk): void {
  run([...MAKE[kind], disk.path]);
  const count = fileCount(disk.size);
  mountedAs(kind, disk, (folder) => {
    for (let index = 0; index < count; index += PER_FOLDER) mkdirSync(join(folder, `d${index / PER_FOLDER}`));
    writeSome(folder, everyNth(count, 1), 0);
  });
}

/** Some file systems are not made smaller. */
const SMALLEST = 320 * MiB;

function standby(kind: Kind): Scenario {
  return (options) =>
    withPair({ ...options, size: Math.max(options.size, SMALLEST) }, (pair) => {
      fill(kind, pair.source);
      noteUsed(pair);
      let round = 0;
      const change = (): void => {
        round += 1;
        const count = fileCount(pair.source.size);
        mountedAs(kind, pair.source, (folder) => writeSome(folder, everyNth(count, 100, round % 100), round));
      };
      const contestants = [
        oneThreadRead(pair),
        ...deltaCopies(pair, () => {}),
        ectypeAfter(pair, 'ectype, nothing changed', () => {}),
        ectypeAfter(pair, 'ectype, 1 % of the files changed', change),
      ];
      const title = `standby clone, ${kind} of ${formatBytes(pair.source.size)} with ${fileCount(pair.source.size)} files`;
      return summarise({ name: `standby-${kind}`, title }, contest(contestants, options.rounds));
    });
}

const SMALL_FILES = 2000;
const CHANGED_FILES = 500;
const LARGE_FILE = 64 * MiB;
const YARDSTICK_UP_TO = 64 * GiB;

/** Full of files that were allocated and never written: the disks need no memory, and nothing else about them is smaller. */
function fillSparsely(disk: BenchDisk): void {
  run(['mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'nodiscard', disk.path]);
  mounted(disk, 'rw', (folder) => {
    for (let index = 0; index < SMALL_FILES; index += PER_FOLDER) mkdirSync(join(folder, `d${index / PER_FOLDER}`));
    writeSome(folder, everyNth(SMALL_FILES, 1), 0);
    mkdirSync(join(folder, 'large'));
    const count = Math.floor((disk.size * FILLED) / LARGE_FILE);
    for (let index = 0; index < count; index += 1) {
      run(['fallocate', '--length', String(LARGE_FILE), join(folder, 'large', `f${index}`)]);
    }
  });
}

/** The same change on disks of other sizes: what a run costs follows the change. */
export const scale: Scenario = (options) => {
  const sizes = options.rounds === 1 && options.size < GiB ? [GiB, 4 * GiB] : [8 * GiB, 64 * GiB, 512 * GiB];
  const pairs: Pair[] = [];
  try {
    const contestants = sizes.flatMap((size): Contestant[] => {
      const pair = sparsePair(options.folder, size);
      pairs.push(pair);
      fillSparsely(pair.source);
      let round = 0;
      const change = (): void => {
        round += 1;
        mounted(pair.source, 'rw', (folder) => writeSome(folder, everyNth(CHANGED_FILES, 1), round));
      };
      const name = formatBytes(size);
      if (size <= YARDSTICK_UP_TO) noteUsed(pair);
      return [
        ...(size <= YARDSTICK_UP_TO ? [{ ...oneThreadRead(pair), name: `one thread reads ${name}` }] : []),
        ectypeAfter(pair, `ectype, ${name}, nothing changed`, () => {}),
        ectypeAfter(pair, `ectype, ${name}, ${CHANGED_FILES} files changed`, change),
      ];
    });
    return summarise(
      { name: 'scale', title: 'standby clones by size of the disk, ext4' },
      contest(contestants, options.rounds),
    );
  } finally {
    for (const { source, target, stateFolder, usedFile } of pairs) {
      source.remove();
      target.remove();
      rmSync(stateFolder, { recursive: true, force: true });
      rmSync(usedFile, { force: true });
    }
  }
};

/** Raw files: no loop device is as long as the longest. */
function sparsePair(folder: string, size: number): Pair {
  const own = join(folder, `scale-${size}`);
  mkdirSync(own);
  const sparse = (name: string): BenchDisk => {
    const file = join(own, name);
    closeSync(openSync(file, 'wx'));
    truncateSync(file, size);
    return { path: file, file, size, remove: () => rmSync(file, { force: true }) };
  };
  const stateFolder = join(own, 'state');
  return { source: sparse('source'), target: sparse('target'), stateFolder, usedFile: join(own, 'used.json') };
}

export const standbyExt4 = standby('ext4');
export const standbyXfs = standby('xfs');
export const standbyBtrfs = standby('btrfs');
export const standbyNtfs = standby('ntfs');
