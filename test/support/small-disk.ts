// A small GPT disk with an ext4 file system and an unrecognised partition, in versions that differ a little: what a
// source looks like from one run to the next.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeImage } from './ext4-image.js';
import { buildGpt } from './partition-disk.js';
import type { Random } from './random.js';

const MiB = 1 << 20;
const SECTOR = 512;
const UUID = '6b1f6d1c-7c9e-4b5e-9f3a-0d6a5e5f1c11';

export interface DiskShape {
  /** Sizes in MiB. */
  readonly unrecognised: number;
  readonly ext4: number;
  readonly sectorSize?: number;
}

export interface SmallDisk {
  readonly size: number;
  /** Byte offset and length of the partition that no file system owns. */
  readonly raw: { readonly offset: number; readonly length: number };
  readonly ext4: { readonly offset: number; readonly length: number };
  /** The disk's bytes; a new version keeps most of the one before. */
  version(random: Random): Buffer;
}

/** Partition 1: unrecognised, data and zeros. Partition 2: ext4. Free space before, between and behind. */
export function smallDisk(folder: string, shape: DiskShape): SmallDisk {
  const sectorSize = shape.sectorSize ?? SECTOR;
  const raw = { offset: MiB, length: shape.unrecognised * MiB + 3 * 4096 };
  const ext4 = { offset: (shape.unrecognised + 3) * MiB, length: shape.ext4 * MiB };
  const size = ext4.offset + ext4.length + 2 * MiB;
  const content = Buffer.alloc(raw.length);
  const files = new Map<string, Buffer>();
  return {
    size,
    raw,
    ext4,
    version(random) {
      changeRaw(content, random);
      changeFiles(files, shape.ext4 * MiB, random);
      const lba = (offset: number): number => offset / sectorSize;
      const disk = buildGpt({
        sectorSize,
        sectorCount: size / sectorSize,
        partitions: [
          { index: 0, first: lba(raw.offset), last: lba(raw.offset + raw.length) - 1, name: 'unrecognised' },
          { index: 1, first: lba(ext4.offset), last: lba(ext4.offset + ext4.length) - 1, name: 'root' },
        ],
      });
      content.copy(disk, raw.offset);
      fileSystem(folder, files, ext4.length).copy(disk, ext4.offset);
      return disk;
    },
  };
}

/** Changes a few stretches, some to zeros and some from zeros. */
function changeRaw(content: Buffer, random: Random): void {
  const first = content.every((byte) => byte === 0);
  const changes = first ? 40 : 12;
  for (let change = 0; change < changes; change += 1) {
    const length = random.between(1, first ? content.length / 20 : content.length / 60);
    const offset = random.below(content.length - length);
    if (random.chance(0.2)) content.fill(0, offset, offset + length);
    else random.bytes(length).copy(content, offset);
  }
}

function changeFiles(files: Map<string, Buffer>, size: number, random: Random): void {
  for (let change = files.size === 0 ? 12 : 3; change > 0; change -= 1) {
    const name = `file-${random.below(16)}`;
    if (files.has(name) && random.chance(0.3)) files.delete(name);
    else files.set(name, random.bytes(random.between(1, size / 40)));
  }
}

/** The same file system with other files: same UUID, new times. */
function fileSystem(folder: string, files: ReadonlyMap<string, Buffer>, size: number): Buffer {
  const tree = join(folder, 'tree');
  const image = join(folder, 'ext4-image');
  mkdirSync(tree);
  for (const [name, bytes] of files) writeFileSync(join(tree, name), bytes);
  makeImage(image, size, ['-t', 'ext4', '-b', '1024', '-U', UUID, '-L', 'root', '-J', 'size=1', '-d', tree]);
  const bytes = readFileSync(image);
  rmSync(tree, { recursive: true });
  rmSync(image);
  return bytes;
}
