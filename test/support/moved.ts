// Shows a volume as it would lie at another place, as a file of its own for outside programs to judge.
// Invariant: the volume itself is only read, and the file differs from it in the patches alone.

import { readFileSync, writeFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { recognise } from '../../src/filesystem/registry.js';
import { afterMove } from '../../src/reshape/after-move/after-move.js';
import type { Adaptation, Move, Site } from '../../src/reshape/after-move/move.js';
import { patchedSource } from '../../src/source/patched.js';
import type { Source } from '../../src/source/types.js';
import { fileSource } from './file-source.js';
import { run } from './run.js';

export interface Journey {
  readonly source: Site;
  readonly target: Site;
  /** Of the new place; default: the old one's. */
  readonly size?: number;
}

export interface Moved extends Adaptation {
  /** The volume at its new place. */
  readonly path: string;
}

async function withMove<T>(
  image: string,
  { source, target, size }: Journey,
  body: (move: Move) => Promise<T>,
): Promise<T> {
  const base = fileSource(image);
  try {
    const [recognised] = await recognise(base);
    const volume = patchedSource(base, [], { size });
    return await body({ volume, filesystem: recognised?.info, source, target });
  } finally {
    await base.close();
  }
}

/** What has to change; throws what `afterMove` throws. */
export function adaptationOf(image: string, journey: Journey): Promise<Adaptation> {
  return withMove(image, journey, afterMove);
}

/** Writes the volume as it has to be at its new place into `<image>.moved`. */
export async function moveVolume(image: string, journey: Journey): Promise<Moved> {
  const before = readFileSync(image);
  const path = `${image}.moved`;
  const adaptation = await withMove(image, journey, async (move) => {
    const found = await afterMove(move);
    writeFileSync(path, await wholeOf(patchedSource(move.volume, found.patches)));
    return found;
  });
  assert.ok(readFileSync(image).equals(before), 'the volume was changed');
  const after = readFileSync(path);
  const total = adaptation.patches.reduce((sum, { bytes }) => sum + bytes.length, 0);
  assert.ok(total <= 16_384, `patches of ${total} bytes`);
  for (const { offset, bytes } of adaptation.patches) after.fill(0, offset, offset + bytes.length);
  const expected = Buffer.alloc(after.length);
  before.copy(expected);
  for (const { offset, bytes } of adaptation.patches) expected.fill(0, offset, offset + bytes.length);
  assert.ok(after.equals(expected), 'bytes outside the patches differ');
  return { ...adaptation, path };
}

async function wholeOf(source: Source): Promise<Buffer> {
  const bytes = Buffer.alloc(source.size);
  await source.read(bytes, 0);
  return bytes;
}

/** A loop device for the time of an asynchronous action. */
export async function withSectors<T>(
  path: string,
  sectorSize: number,
  body: (device: string) => Promise<T>,
): Promise<T> {
  const device = run('losetup', ['-f', '--show', '-b', `${sectorSize}`, path]).trim();
  try {
    return await body(device);
  } finally {
    run('losetup', ['-d', device]);
  }
}
