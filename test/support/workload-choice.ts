// Which file, and which part of it, random work turns to.

import { statSync } from 'node:fs';
import { KiB } from '../../src/base/units.js';
import type { Abilities, WorkFile, Workload } from './workload.js';

export interface Operation {
  readonly name: string;
  readonly act: (work: Workload) => boolean;
}

/** What it is called, how often it comes, and what the file system must be able to do. */
export type Row = readonly [name: string, weight: number, act: Operation['act'], needs?: readonly (keyof Abilities)[]];

export function anyFile({ files, random }: Workload, smallest = 0): WorkFile | undefined {
  if (files.length === 0) return undefined;
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const file = random.pick(files);
    if (file.size >= smallest) return file;
  }
  return undefined;
}

/** `act` on a random file that has at least `smallest` bytes. */
export function toFile(act: (work: Workload, file: WorkFile) => void, smallest = 0): Operation['act'] {
  return (work) => {
    const file = anyFile(work, smallest);
    if (!file) return false;
    act(work, file);
    work.touch(file);
    return true;
  };
}

export function sizeFor({ random, largest }: Workload): number {
  return random.below(Math.min(largest, random.pick([1, 60, 200, 4 * KiB, 4 * KiB, 20 * KiB, 64 * KiB, largest])) + 1);
}

/** A place in a file, and how much of it to work on. */
export function rangeIn({ random }: Workload, size: number, most = 64 * KiB): { at: number; length: number } {
  const at = random.below(size);
  return { at, length: random.between(1, Math.max(1, Math.min(size - at, random.pick([1, 16, 5000, most])))) };
}

/** The same in whole blocks; `size` has at least one. */
export function blocksIn({ random, blockSize }: Workload, size: number, most = 16): { at: number; length: number } {
  const blocks = Math.floor(size / blockSize);
  const at = random.below(blocks);
  return { at: at * blockSize, length: random.between(1, Math.min(most, blocks - at)) * blockSize };
}

/** The file's size as it is now: a full file system may have kept a tool from its work. */
export function measure(work: Workload, file: WorkFile): number {
  work.io.flush();
  file.size = statSync(work.open(file)).size;
  return file.size;
}
