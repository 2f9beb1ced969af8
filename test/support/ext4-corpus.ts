// A folder of files of many sizes and shapes, and what it takes to see that every byte of them came through.

import { createHash } from 'node:crypto';
import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { KiB, MiB } from '../../src/base/units.js';
import type { Random } from './random.js';

export interface CorpusOptions {
  readonly files: number;
  readonly largest: number;
  /** The file system's own limit on file names and links is never met, its space might be: no more than this. */
  readonly total: number;
}

/** Fills `folder`: empty, tiny, medium, large and sparse files, long names, links, nested folders. */
export function fillFolder(folder: string, random: Random, { files, largest, total }: CorpusOptions): void {
  let written = 0;
  for (let index = 0; index < files; index += 1) {
    const into = join(folder, `d${random.below(7)}`, `e${random.below(5)}`);
    mkdirSync(into, { recursive: true });
    const path = join(into, `${index}-${'n'.repeat(random.pick([1, 5, 40, 120]))}`);
    if (random.chance(0.05)) {
      rmSync(path, { force: true }); // of a folder that is filled a second time
      symlinkSync('x'.repeat(random.pick([10, 59, 61, 300])), path);
    } else if (random.chance(0.04)) {
      writeSparse(path, random, largest);
      written += 3 * 4 * KiB;
    } else {
      const size = Math.min(sizeOf(random, largest), Math.max(0, total - written));
      writeFileSync(path, random.bytes(size));
      written += size;
    }
  }
}

/** Deletes about half of the files, so that free space holds noise among what is used. */
export function thinFolder(folder: string, random: Random): void {
  for (const path of filesUnder(folder)) if (random.chance(0.5)) rmSync(path);
}

/** Path → sha256 of content, target of a link, or "folder". */
export function digestFolder(folder: string): Map<string, string> {
  const digests = new Map<string, string>();
  for (const path of entriesUnder(folder)) {
    const name = relative(folder, path);
    const stat = lstatSync(path);
    if (stat.isDirectory()) digests.set(name, 'folder');
    else if (stat.isSymbolicLink()) digests.set(name, `-> ${readlinkSync(path)}`);
    else digests.set(name, createHash('sha256').update(readFileSync(path)).digest('hex'));
  }
  return digests;
}

function sizeOf(random: Random, largest: number): number {
  const below = random.pick([1, 60, 200, 4 * KiB, 4 * KiB, 20 * KiB, 64 * KiB, 256 * KiB, largest]);
  return random.below(Math.min(below, largest));
}

function writeSparse(path: string, random: Random, largest: number): void {
  const fd = openSync(path, 'w');
  for (let piece = 0; piece < 3; piece += 1) {
    writeSync(fd, random.bytes(4 * KiB), 0, 4 * KiB, random.below(Math.min(2 * largest, 4 * MiB)));
  }
  closeSync(fd);
}

function filesUnder(folder: string): string[] {
  return entriesUnder(folder).filter((path) => !lstatSync(path).isDirectory());
}

function entriesUnder(folder: string): string[] {
  const found: string[] = [];
  for (const name of readdirSync(folder).sort()) {
    if (name === 'lost+found') continue;
    const path = join(folder, name);
    found.push(path);
    if (lstatSync(path).isDirectory()) found.push(...entriesUnder(path));
  }
  return found;
}
