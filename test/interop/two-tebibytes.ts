// File systems of 2 TiB on sparse files, and the largest F2FS: the command line plans a clone of each, which walks its
// whole allocation map, in seconds and in little memory. Measured on the whole process, by time(1).

import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Bytes, KiB, MiB, TiB } from '../../src/base/units.js';
import type { Extent } from '../../src/map/extent.js';
import { makeBtrfs, mounted as mountedBtrfs } from '../support/btrfs-image.js';
import { MAIN } from '../support/cli.js';
import { readAt, writeAt } from '../support/disk-builder.js';
import { exfatLayout, makeExfat } from '../support/exfat-volume.js';
import { makeImage, mounted } from '../support/ext4-image.js';
import { makeF2fs } from '../support/f2fs-volume.js';
import { makeFat } from '../support/fat-volume.js';
import { makeNtfs } from '../support/ntfs-volume.js';
import { run, tryRun } from '../support/run.js';
import { LONG } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { makeXfs, mountedXfs } from '../support/xfs-image.js';

const MOST_SECONDS = 20;
const MOST_MEMORY: Bytes = 300 * MiB;
const SIZE: Bytes = 2 * TiB;
const scratch = scratchFolder();

interface Large {
  readonly name: string;
  readonly make: (path: string) => void;
  /** Bytes that must be used, at least: the map says something. */
  readonly least: Bytes;
  readonly always?: boolean;
}

/** Files without content: their space is taken, and costs the sparse image nothing. */
function preallocate(folder: string): void {
  for (let index = 0; index < 10; index += 1) run('fallocate', ['-l', '100G', join(folder, `${index}`)]);
}

const EXT4 = ['-t', 'ext4', '-E', 'lazy_itable_init=1,lazy_journal_init=1,nodiscard'];
const LARGE: readonly Large[] = [
  { name: 'ext4', make: (path) => makeImage(path, SIZE, EXT4), least: 20 * MiB, always: true },
  {
    name: 'ext4 without checksums, every bitmap written',
    make: (path) =>
      makeImage(path, SIZE, [...EXT4, '-T', 'largefile4', '-N', '262144', '-O', '^metadata_csum,^uninit_bg']),
    least: 20 * MiB,
  },
  {
    name: 'ext4 that is half full',
    make: (path) => {
      makeImage(path, SIZE, [...EXT4, '-T', 'largefile4', '-N', '262144']);
      mounted(path, preallocate);
    },
    least: 1000 * 1024 * MiB,
  },
  { name: 'NTFS', make: (path) => makeNtfs(path, { size: SIZE, clusterSize: 4 * KiB }), least: 64 * MiB, always: true },
  {
    // The last whole track: 2^32 sectors are one too many.
    name: 'FAT32 with clusters of 32 KiB',
    make: (path) => makeFat(path, { bits: 32, size: SIZE - MiB, sectorsPerCluster: 64 }),
    least: 500 * MiB,
  },
  {
    name: 'FAT32 with clusters of 64 KiB',
    make: (path) => makeFat(path, { bits: 32, size: SIZE - MiB, sectorsPerCluster: 128 }),
    least: 250 * MiB,
  },
  {
    name: 'FAT32 in a million extents of 1 MiB',
    make: (path) => {
      makeFat(path, { bits: 32, size: SIZE - MiB, sectorsPerCluster: 128, tables: 1 });
      const boot = readAt(path, 0, 512);
      const table = { offset: boot.readUInt16LE(14) * 512, length: boot.readUInt32LE(36) * 512 };
      fillPlace(path, table, Buffer.concat([Buffer.alloc(64, 'ffffff0f', 'hex'), Buffer.alloc(64)]));
    },
    least: 1000 * 1024 * MiB,
  },
  { name: 'exFAT', make: (path) => newExfat(path, 128 * KiB), least: 2 * MiB },
  { name: 'exFAT with clusters of 8 KiB', make: (path) => newExfat(path, 8 * KiB), least: 32 * MiB },
  {
    name: 'exFAT in a million extents of 1 MiB',
    make: (path) => {
      newExfat(path, 128 * KiB);
      const { heap, clusterCount } = exfatLayout(readAt(path, 0, 512));
      fillPlace(path, { offset: heap, length: Math.floor(clusterCount / 8) }, Buffer.from([0xff, 0x00]));
    },
    least: 1000 * 1024 * MiB,
  },
  { name: 'XFS', make: (path) => makeXfs(path, SIZE, ['-K', '-l', 'size=128m']), least: 128 * MiB },
  {
    name: 'XFS that is half full',
    make: (path) => {
      makeXfs(path, SIZE, ['-K', '-l', 'size=128m', '-d', 'agsize=4g']);
      mountedXfs(path, preallocate);
    },
    least: 1000 * 1024 * MiB,
  },
  { name: 'btrfs', make: (path) => makeBtrfs([path], SIZE, ['-K']), least: MiB },
  {
    name: 'btrfs that is half full',
    make: (path) => {
      makeBtrfs([path], SIZE, ['-K']);
      mountedBtrfs([path], preallocate);
    },
    least: 1000 * 1024 * MiB,
  },
  { name: 'F2FS', make: (path) => makeF2fs(path, { size: SIZE }), least: MiB },
  { name: 'F2FS of 16 TiB, its largest', make: (path) => makeF2fs(path, { size: 8 * SIZE }), least: MiB },
  {
    name: 'a swap area',
    make: (path) => {
      empty(path, SIZE);
      run('mkswap', ['-q', path]);
    },
    least: 4 * KiB,
  },
];

function empty(path: string, size: Bytes): void {
  writeFileSync(path, '');
  truncateSync(path, size);
}

/** Repeats `pattern`, but for the first bytes, which belong to the file system itself. */
function fillPlace(path: string, { offset, length }: Extent, pattern: Buffer): void {
  const piece = Buffer.alloc(MiB, pattern);
  for (let at = 64; at < length; at += piece.length) {
    writeAt(path, offset + at, piece.subarray(0, Math.min(piece.length, length - at)));
  }
}

function newExfat(path: string, clusterSize: Bytes): void {
  makeExfat(path, { size: SIZE, clusterSize });
}

interface Measured {
  readonly seconds: number;
  readonly memory: Bytes;
  readonly stdout: string;
}

/** The real command line in a process of its own. */
function measured(...words: string[]): Measured {
  const figures = join(scratch, 'time');
  const timed = ['-f', '%e %M', '-o', figures, process.execPath, MAIN, ...words];
  const { status, stdout, stderr } = tryRun('time', timed, { env: { ECTYPE_STATE: join(scratch, 'state') } });
  assert.is(status, 0, stdout + stderr);
  const [seconds = Number.NaN, kibibytes = Number.NaN] = readFileSync(figures, 'utf8').trim().split(' ').map(Number);
  return { seconds, memory: kibibytes * KiB, stdout };
}

interface Planned {
  readonly volumes: readonly [{ readonly method: string; readonly used: Bytes; readonly source: { length: Bytes } }];
}

for (const { name, make, least, always } of LARGE) {
  if (!always && !LONG) continue;
  test(name, () => {
    const image = join(scratch, 'large.img');
    make(image);
    const plan = measured('clone', '--dry-run', '--json', image, join(scratch, 'target.img'));
    const inspect = measured('inspect', image);
    const [{ method, used, source }] = (JSON.parse(plan.stdout) as Planned).volumes;
    for (const [what, { seconds, memory }] of Object.entries({ plan, inspect })) {
      console.log(
        `${name}, ${what}: ${seconds} s, ${Math.round(memory / MiB)} MiB; ${Math.round(used / MiB)} MiB used`,
      );
      assert.ok(seconds < MOST_SECONDS, `${what} took ${seconds} s`);
      assert.ok(memory > 0 && memory < MOST_MEMORY, `${what} took ${memory} bytes of memory`);
    }
    assert.is(method, 'allocated');
    assert.ok(used >= least && used < 0.6 * source.length, `${used} bytes used`);
    rmSync(image);
  });
}

test.run();
