// A block device with bad sectors: nbdkit refuses what a ddrescue mapfile does not call finished, FUSE makes a file of
// that, and a loop device with direct I/O makes a disk. Reads of bad sectors end with EIO, each by itself.
// Needs root, nbdkit, nbdfuse and FUSE. Everything that was attached is detached when the work is done.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Extent, gaps, normalise } from '../../src/map/extent.js';
import { run, tryRun } from './run.js';

const DEADLINE_MS = 20_000;

export interface BadOptions {
  readonly sectorSize?: number;
}

function has(program: string): boolean {
  return tryRun('sh', ['-c', `command -v ${program}`]).status === 0;
}

/** Whether such a device can be made here at all. */
export const HAS_BAD_SECTORS: boolean =
  process.getuid?.() === 0 && existsSync('/dev/fuse') && ['nbdkit', 'nbdfuse', 'ddrescuelog', 'losetup'].every(has);

/** Runs `body` with a read-only device over `image` on which the `bad` bytes (whole sectors) cannot be read. */
export async function withBadSectors<T>(
  image: string,
  bad: readonly Extent[],
  body: (device: string) => T | Promise<T>,
  { sectorSize = 512 }: BadOptions = {},
): Promise<T> {
  const folder = `${image}.failing`;
  const file = join(folder, 'disk');
  mkdirSync(folder, { recursive: true });
  const mapfile = `${image}.bad`;
  writeFileSync(mapfile, mapfileOf(bad, statSync(image).size));
  const log = openSync(`${image}.log`, 'w');
  const server = ['[', 'nbdkit', '--filter=ddrescue', 'file', image, `ddrescue-mapfile=${mapfile}`, ']'];
  const child = spawn('nbdfuse', ['-r', file, ...server], { stdio: ['ignore', log, log] });
  try {
    await waitFor(child, () => existsSync(file) && statSync(file).size === statSync(image).size, `${image}.log`);
    const device = run('losetup', ['-f', '--show', '-r', '-b', `${sectorSize}`, '--direct-io=on', file]).trim();
    try {
      return await body(device);
    } finally {
      run('losetup', ['-d', device]);
    }
  } finally {
    await unmounted(child, folder);
    closeSync(log);
    rmSync(mapfile, { force: true });
  }
}

async function unmounted(child: ChildProcess, folder: string): Promise<void> {
  const gone = new Promise<void>((resolve) => (child.exitCode === null ? child.on('close', resolve) : resolve()));
  // A loop device lets go of its file a moment after it was detached.
  for (let tries = 0; tries < 200 && tryRun('umount', [folder]).status !== 0; tries += 1) await pause(20);
  await gone;
}

async function waitFor(child: ChildProcess, isThere: () => boolean, log: string): Promise<void> {
  const end = Date.now() + DEADLINE_MS;
  while (!isThere()) {
    if (child.exitCode !== null || Date.now() > end) throw new Error(`nbdfuse: ${readFileSync(log, 'utf8')}`);
    await pause(10);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function mapfileOf(bad: readonly Extent[], size: number): string {
  const sorted = normalise(bad);
  const lines = [
    ...sorted.map(({ offset, length }) => ({ offset, length, status: '-' })),
    ...[...gaps(sorted, { offset: 0, length: size })].map((extent) => ({ ...extent, status: '+' })),
  ].sort((a, b) => a.offset - b.offset);
  const hex = (value: number): string => `0x${value.toString(16)}`;
  return [
    '# Mapfile of bad sectors',
    '0x0 + 1',
    ...lines.map(({ offset, length, status }) => `${hex(offset)} ${hex(length)} ${status}`),
    '',
  ].join('\n');
}

/** Sectors of 512 bytes that ddrescuelog finds in a status, as extents. Throws if it cannot load the file. */
export function sectorsOf(mapfile: string, status: '-' | '?' | '*' | '+'): Extent[] {
  run('ddrescuelog', ['-t', mapfile]);
  const numbers = run('ddrescuelog', ['-b', '512', `-l${status}`, mapfile])
    .split('\n')
    .filter(Boolean)
    .map(Number);
  return normalise(numbers.map((sector) => ({ offset: sector * 512, length: 512 })));
}
