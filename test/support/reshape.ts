// Shows volumes at other sizes and lets the file system's own tools judge: a disk file with one volume at an odd place.

import { createHash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../src/base/units.js';
import { makeView, type View, type ViewOptions } from '../../src/reshape/view.js';
import { loopsOver, mountPoints, programsOf } from '../../src/reshape/view-folder.js';
import type { Source } from '../../src/source/types.js';
import { putBack } from './disk-builder.js';
import {
  type Content,
  checkContent,
  type Listing,
  listFiles,
  makeContent,
  removeFiles,
  withFolder,
} from './partition-content.js';
import type { Random } from './random.js';
import { run } from './run.js';
import { emptyFile } from './sample-disk.js';

/** Where the volume lies; behind it there is more of the disk. */
export const OFFSET = 7 * MiB;
const BEHIND = 5 * MiB;
/** Reads of this length begin anywhere but at sectors, blocks and clusters. */
const ODD_PIECE = 3 * MiB + 333;

export interface Scene {
  readonly disk: string;
  readonly content: Content;
  readonly filesystem: string;
  readonly size: number;
  readonly scratch: string;
  readonly files: Listing;
  /** UUID and label as blkid prints them. */
  readonly name: string;
  /** Type and label as blkid reads them. */
  readonly label: string;
  readonly digest: string;
}

export interface SceneWish {
  readonly content: Content;
  readonly filesystem: string;
  readonly size: number;
  readonly random: Random;
  /** This part of the volume is filled with more files, and of those the first half is deleted again. */
  readonly fullness?: number;
  /** Last changes of the volume, as a file of its own. */
  readonly change?: (path: string) => void;
}

/** A disk file with one volume full of files, deleted files and noise. `folder`: a folder of its own. */
export async function makeScene(
  folder: string,
  { content, filesystem, size, random, fullness, change }: SceneWish,
): Promise<Scene> {
  const disk = join(folder, `disk, of ${filesystem}.img`);
  emptyFile(disk, OFFSET + size + BEHIND);
  const cut = join(folder, 'volume');
  await makeContent(cut, content, { size, sectorSize: 512, random });
  if (fullness !== undefined) await fillUp(cut, content, { total: size * fullness, random });
  change?.(cut);
  const files = await listFiles(cut, content);
  const name = nameOf(cut);
  const label = labelOf(cut);
  putBack(disk, { offset: OFFSET, length: size }, cut);
  rmSync(cut);
  return { disk, content, filesystem, size, scratch: folder, files, name, label, digest: digestOf(disk) };
}

/** So that what stays lies far behind, and in pieces. */
async function fillUp(
  path: string,
  content: Content,
  { total, random }: { total: number; random: Random },
): Promise<void> {
  const sizes: number[] = [];
  for (let left = total; left > 0; left -= sizes.at(-1) ?? left) sizes.push(random.between(1, 700 * KiB));
  const names = sizes.map((_, index) => `more-${index}`);
  await withFolder(path, content, (folder) => {
    for (const [index, size] of sizes.entries()) writeFileSync(join(folder, names[index] ?? ''), random.bytes(size));
  });
  if (content.kind === 'f2fs') return; // nothing here deletes files of F2FS
  await removeFiles(path, content, names.slice(0, names.length / 2));
  // Its empty chunks at the front would stay a while.
  const drop = (folder: string): unknown => run('btrfs', ['balance', 'start', '-dusage=0', folder]);
  if (content.kind === 'btrfs') await withFolder(path, content, drop);
}

export function viewOptions(
  { disk, filesystem, size, scratch }: Scene,
  wanted: number,
): ViewOptions & { readonly sectorSize: number } {
  const source = { path: disk, kind: 'file', offset: OFFSET, length: size } as const;
  return { source, filesystem, size: wanted, sectorSize: 512, scratch };
}

function nameOf(volume: string): string {
  return run('blkid', ['-p', '-o', 'value', '-s', 'UUID', '-s', 'LABEL', volume]);
}

function labelOf(volume: string): string {
  return run('blkid', ['-p', '-o', 'value', '-s', 'TYPE', '-s', 'LABEL', volume]);
}

export interface Judged {
  readonly digest: string;
  readonly notes: readonly string[];
  readonly overlayBytes: number;
}

/**
 * Makes the view, reads it into a plain file, and judges that: sound, all files there. The source is as it was.
 * `look` sees the file, too.
 */
export async function judgeView(
  scene: Scene,
  wanted: number,
  options: Partial<ViewOptions> = {},
  look: (dump: string) => void = () => {},
): Promise<Judged> {
  const view = await makeView({ ...viewOptions(scene, wanted), ...options });
  const dump = join(scene.scratch, 'dump');
  try {
    assert.is(view.size, wanted);
    await dumpView(view, dump);
  } finally {
    await view.close();
  }
  const digest = digestOf(dump);
  look(dump);
  checkContent(dump, scene.content);
  // Steps are there to change the UUID; the label stays in any case.
  if (options.after) assert.is(labelOf(dump), scene.label);
  else assert.is(nameOf(dump), scene.name);
  if (scene.content.kind !== 'swap') assert.equal(await listFiles(dump, scene.content), scene.files);
  rmSync(dump);
  assert.is(digestOf(scene.disk), scene.digest, 'the source has changed');
  assertNothingLeft(scene.scratch);
  return { digest, notes: view.notes, overlayBytes: view.overlayBytes };
}

/** Of another view of the same. */
export async function digestOfView(scene: Scene, wanted: number): Promise<string> {
  const view = await makeView(viewOptions(scene, wanted));
  const source = view.source();
  try {
    const hash = createHash('sha256');
    for (let offset = 0; offset < source.size; offset += ODD_PIECE) {
      const piece = Buffer.alloc(Math.min(ODD_PIECE, source.size - offset));
      await source.read(piece, offset);
      hash.update(piece);
    }
    return hash.digest('hex');
  } finally {
    await source.close();
    await view.close();
  }
}

/** Through `read` in odd pieces; what the extents call zero must be. */
export async function dumpView(view: View, path: string): Promise<void> {
  const source = view.source();
  emptyFile(path, source.size);
  const fd = openSync(path, 'r+');
  try {
    const piece = Buffer.alloc(ODD_PIECE);
    for (let offset = 0; offset < source.size; offset += piece.length) {
      const part = piece.subarray(0, Math.min(piece.length, source.size - offset));
      await source.read(part, offset);
      await assertZeros(source, part, offset);
      if (!isZero(part)) writeSync(fd, part, 0, part.length, offset);
    }
  } finally {
    closeSync(fd);
    await source.close();
  }
}

async function assertZeros(source: Source, bytes: Buffer, offset: number): Promise<void> {
  let position = offset;
  for await (const extent of source.extents?.({ offset, length: bytes.length }) ?? []) {
    assert.is(extent.offset, position);
    position += extent.length;
    const part = bytes.subarray(extent.offset - offset, position - offset);
    if (extent.kind === 'zero') assert.ok(isZero(part), `no zeros at ${extent.offset}`);
  }
  assert.is(position, offset + bytes.length);
}

const ZEROS = Buffer.alloc(ODD_PIECE);

function isZero(bytes: Buffer): boolean {
  return bytes.equals(ZEROS.subarray(0, bytes.length));
}

/** No folder of a view, nothing mounted there, no loop device over it and no program that works on it. */
export function assertNothingLeft(scratch: string): void {
  assert.equal(foldersOf(scratch), []);
  assert.equal(
    mountPoints().filter(({ path }) => path.startsWith(`${scratch}/`)),
    [],
  );
  assert.equal(loopsOver(scratch), []);
  assert.equal(programsOf(`${scratch}/ectype-view-`), []);
}

export function foldersOf(scratch: string): string[] {
  return readdirSync(scratch).filter((name) => name.startsWith('ectype-view-'));
}

export function digestOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** `size` bytes of whole sectors that are no whole number of anything larger. */
export function oddSize(size: number): number {
  return Math.floor(size / (4 * KiB)) * 4 * KiB + 1536;
}
