// The media of a comparison: loop devices with direct I/O over files in memory, or raw files in a folder of a disk.
// Invariant: only what was made here is ever detached or deleted.

import { createCipheriv, createHash } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { MiB } from '../../src/base/units.js';
import { run } from './contestant.js';

export interface BenchDisk {
  /** What the programs are given: a device node or a file. */
  readonly path: string;
  readonly size: number;
  /** The file behind it. */
  readonly file: string;
  remove(): void;
}

export interface Place {
  readonly folder: string;
  readonly medium: 'loop' | 'file';
}

/** A disk of `size` bytes whose space is allocated, so that no run pays for finding room. */
export function makeDisk({ folder, medium }: Place, name: string, size: number): BenchDisk {
  const file = join(folder, name);
  closeSync(openSync(file, 'wx'));
  truncateSync(file, size);
  run(['fallocate', '--length', String(size), file]);
  const device = medium === 'loop' ? run(['losetup', '--direct-io=on', '--find', '--show', file]).trim() : undefined;
  let removed = false;
  const remove = (): void => {
    if (removed) return;
    removed = true;
    if (device !== undefined) run(['losetup', '--detach', device]);
    rmSync(file, { force: true });
  };
  process.on('exit', remove);
  return { path: device ?? file, size, file, remove };
}

/** Bytes that no one can compress, the same for the same seed. */
export function noise(seed: string, length: number): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, key.subarray(0, 16)).update(Buffer.alloc(length));
}

/** Fills a disk with noise. */
export function fillWithNoise({ path, size }: BenchDisk, seed: string): void {
  const fd = openSync(path, 'r+');
  for (let offset = 0; offset < size; offset += 4 * MiB) {
    const piece = noise(`${seed} ${offset}`, Math.min(4 * MiB, size - offset));
    for (let done = 0; done < piece.length; ) done += writeSync(fd, piece, done, piece.length - done, offset + done);
  }
  fsyncSync(fd);
  closeSync(fd);
}

/** Does something with the file system of a disk while it is mounted. */
export function mounted<T>(disk: BenchDisk, options: string, work: (folder: string) => T): T {
  const folder = `${disk.file}.mounted`;
  mkdirSync(folder, { recursive: true });
  run(['mount', '-o', disk.path === disk.file ? `loop,${options}` : options, disk.path, folder]);
  try {
    return work(folder);
  } finally {
    run(['umount', folder]);
    rmSync(folder, { recursive: true });
  }
}

const FILES = 500;

/** ext4 over noise, filled up to `share` of its size with `FILES` files of noise. */
export function makeFilesystem(disk: BenchDisk, share: number): void {
  fillWithNoise(disk, disk.file);
  const small = ['-m', '0', '-N', '2048', '-J', 'size=4'];
  const written = 'nodiscard,lazy_itable_init=0,lazy_journal_init=0';
  run(['mkfs.ext4', '-q', '-F', '-b', '4096', ...small, '-E', written, disk.path]);
  const length = Math.floor((disk.size * share) / FILES / 4096) * 4096;
  mounted(disk, 'rw', (folder) => {
    for (let index = 0; index < FILES; index += 1) {
      writeFileSync(join(folder, `file-${index}`), noise(`file ${index}`, length));
    }
  });
}

/** Gives one file of a hundred other content of the same length. */
export function changeFiles(disk: BenchDisk, share: number, round: string): void {
  const length = Math.floor((disk.size * share) / FILES / 4096) * 4096;
  mounted(disk, 'rw', (folder) => {
    for (let index = 0; index < FILES; index += 100) {
      writeFileSync(join(folder, `file-${index}`), noise(`${round} ${index}`, length));
    }
  });
}

/** A target as before its first clone: no signature, no history, all of its space still allocated. */
export function resetTarget({ path, file, size }: BenchDisk): void {
  run(['fallocate', '--length', String(size), file]);
  const zeros = Buffer.alloc(MiB);
  const fd = openSync(path, 'r+');
  writeSync(fd, zeros, 0, zeros.length, 0);
  writeSync(fd, zeros, 0, zeros.length, size - zeros.length);
  fsyncSync(fd);
  closeSync(fd);
}

/** Throws unless both hold the same bytes. */
export function checkEqual(source: BenchDisk, target: BenchDisk): void {
  run(['cmp', source.path, target.path]);
}

/** Throws unless the target's file system is sound and holds the same files. */
export function checkFiles(source: BenchDisk, target: BenchDisk): void {
  run(['e2fsck', '-fn', target.path]);
  mounted(source, 'ro,noload', (a) =>
    mounted(target, 'ro,noload', (b) => run(['diff', '--recursive', '--brief', a, b])),
  );
}
