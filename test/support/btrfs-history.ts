// What happens to a mounted btrfs beside ordinary work on files: snapshots, relocation, writes in place, other sizes.
// Invariant: the same seed does the same; nothing here touches the folder of files that stay as they are.

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { KiB, MiB } from '../../src/base/units.js';
import type { Random } from './random.js';
import { run, tryRun } from './run.js';

/** Where ordinary work is done: a subvolume. */
export const VOLUME = 'volume';
/** Files that are written once, when the file system is made. */
export const STILL = 'still';
export const STILL_BYTES = 6 * MiB;
const PLACES = 8;

/** Makes what the events below work on. */
export function beginHistory(folder: string, random: Random): void {
  run('btrfs', ['subvolume', 'create', join(folder, VOLUME)]);
  mkdirSync(join(folder, STILL));
  for (let index = 0; index < STILL_BYTES / (96 * KiB); index += 1) {
    writeNew(join(folder, STILL, `${index}`), random.bytes(96 * KiB));
  }
  mkdirSync(join(folder, 'in place'));
  run('chattr', ['+C', join(folder, 'in place')]);
  writeNew(join(folder, 'in place', 'file'), random.bytes(512 * KiB));
  for (const name of ['in place/reserved', 'reserved']) run('fallocate', ['-l', '512K', join(folder, name)]);
  run('sync', ['-f', folder]);
}

/** Writes where data has no checksums, or not all of them. */
export function writeInPlace(folder: string, random: Random): void {
  for (const name of ['in place/file', 'in place/reserved', 'reserved']) {
    const path = join(folder, name);
    if (existsSync(path)) scribble(path, random, random.between(1, PLACES));
  }
}

interface Event {
  readonly name: string;
  /** Data may lie elsewhere afterwards, though nobody wrote to it. */
  readonly moves?: boolean;
  readonly act: (folder: string, random: Random) => void;
}

/** Does one thing; its name is returned, and whether it moved data. */
export function someEvent(folder: string, random: Random): Event {
  const event = random.pick(EVENTS);
  event.act(folder, random);
  return event;
}

const EVENTS: readonly Event[] = [
  { name: 'snapshot', act: snapshot },
  { name: 'snapshot', act: snapshot },
  { name: 'write to a snapshot', act: (folder, random) => writeBelow(folder, random, snapshotsIn(folder)) },
  { name: 'write to a snapshot', act: (folder, random) => writeBelow(folder, random, snapshotsIn(folder)) },
  { name: 'write to old files', act: (folder, random) => writeBelow(folder, random, [VOLUME]) },
  { name: 'write to old files', act: (folder, random) => writeBelow(folder, random, [VOLUME]) },
  {
    name: 'delete a snapshot',
    act: (folder, random) => {
      const names = snapshotsIn(folder);
      if (names.length > 0) run('btrfs', ['subvolume', 'delete', '-C', join(folder, random.pick(names))]);
    },
  },
  {
    name: 'defragment',
    act: (folder, random) => {
      run('btrfs', ['filesystem', 'defragment', '-r', '-f', ...random.pick([[], ['-czstd']]), join(folder, VOLUME)]);
    },
  },
  { name: 'balance', moves: true, act: (folder) => balance(folder, ['--full-balance']) },
  { name: 'balance of what is nearly empty', moves: true, act: (folder) => balance(folder, ['-dusage=50']) },
  {
    name: 'shrink',
    moves: true,
    act: (folder, random) => void tryRun('btrfs', ['filesystem', 'resize', `-${random.pick([16, 48, 96])}M`, folder]),
  },
  { name: 'grow', act: (folder) => void run('btrfs', ['filesystem', 'resize', 'max', folder]) },
  { name: 'trim', act: (folder) => void tryRun('fstrim', [folder]) },
  {
    name: 'new files in place',
    act: (folder, random) => {
      const path = join(folder, 'in place', `new ${readdirSync(join(folder, 'in place')).length}`);
      if (!existsSync(path)) writeNew(path, random.bytes(random.between(1, 100_000)));
    },
  },
  {
    name: 'swap file',
    act: (folder) => {
      const path = join(folder, 'in place', 'swap');
      if (!existsSync(path)) run('fallocate', ['-l', '256K', path]);
      run('mkswap', ['-q', path]);
    },
  },
];

function snapshotsIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith('snapshot'));
}

function snapshot(folder: string): void {
  const names = snapshotsIn(folder);
  if (names.length < 5) {
    const name = ['0', '1', '2', '3', '4'].find((each) => !names.includes(`snapshot ${each}`));
    run('btrfs', ['subvolume', 'snapshot', join(folder, VOLUME), join(folder, `snapshot ${name}`)]);
  }
}

function writeBelow(folder: string, random: Random, names: readonly string[]): void {
  if (names.length === 0) return;
  const top = join(folder, random.pick(names));
  const files = readdirSync(top, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  for (const entry of files) {
    const path = join(entry.parentPath, entry.name);
    if (random.chance(0.2) && statSync(path).size > 0) scribble(path, random, 2);
  }
}

/** A full file system cannot be balanced: not what is tested. */
function balance(folder: string, options: readonly string[]): void {
  tryRun('btrfs', ['balance', 'start', ...options, folder]);
}

function scribble(path: string, random: Random, places: number): void {
  const { size } = statSync(path);
  const fd = openSync(path, 'r+');
  try {
    for (let place = 0; place < places; place += 1) {
      const bytes = random.bytes(random.pick([1, 7, 4096, 9000]));
      writeSync(fd, bytes, 0, bytes.length, random.below(Math.max(1, size - bytes.length)));
      if (random.chance(0.3)) fsyncSync(fd);
    }
  } finally {
    closeSync(fd);
  }
}

function writeNew(path: string, bytes: Buffer): void {
  const fd = openSync(path, 'w');
  try {
    writeSync(fd, bytes, 0, bytes.length, 0);
  } finally {
    closeSync(fd);
  }
}
