// A small whole disk as people have it: GPT with an EFI partition (FAT), Linux (ext4) and Windows (NTFS).

import { closeSync, copyFileSync, ftruncateSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.js';

const MiB = 1 << 20;
export const SAMPLE_SIZE = 16 * MiB;
/** Where its partitions lie. */
export const SAMPLE = {
  fat: { number: 1, offset: MiB, length: 2 * MiB },
  ext4: { number: 2, offset: 3 * MiB, length: 6 * MiB },
  ntfs: { number: 3, offset: 9 * MiB, length: 5 * MiB },
} as const;

const made = new Map<string, string>();

/** A disk of `size` bytes at `folder/name`. */
export function sampleDisk(folder: string, name: string, size = SAMPLE_SIZE): string {
  const path = join(folder, name);
  const template = made.get(`${folder} ${size}`);
  if (template === undefined) {
    const kept = join(folder, `template-${size}`);
    makeDisk(kept, size);
    made.set(`${folder} ${size}`, kept);
    copyFileSync(kept, path);
  } else {
    copyFileSync(template, path);
  }
  return path;
}

/** The same with a disk GUID and file systems of its own. */
export function otherDisk(folder: string, name: string, size = SAMPLE_SIZE): string {
  const path = join(folder, name);
  makeDisk(path, size);
  return path;
}

function makeDisk(path: string, size: number): void {
  emptyFile(path, size);
  const sector = (offset: number): number => offset / 512;
  const range = ({ offset, length }: { offset: number; length: number }): string =>
    `${sector(offset)}:${sector(offset + length) - 1}`;
  run('sgdisk', [
    '-o',
    ...['-n', `1:${range(SAMPLE.fat)}`, '-t', '1:ef00', '-c', '1:ESP'],
    ...['-n', `2:${range(SAMPLE.ext4)}`, '-c', '2:root'],
    ...['-n', `3:${range(SAMPLE.ntfs)}`, '-t', '3:0700', '-c', '3:Basic data'],
    path,
  ]);
  const volume = `${path}-volume`;
  place(path, volume, SAMPLE.fat, () => run('mkfs.vfat', ['-n', 'EFI', volume]));
  place(path, volume, SAMPLE.ext4, () =>
    run('mke2fs', ['-q', '-F', '-t', 'ext4', '-L', 'root', '-E', 'lazy_itable_init=0,lazy_journal_init=0', volume]),
  );
  place(path, volume, SAMPLE.ntfs, () =>
    run('mkntfs', ['-F', '-Q', '-q', '-L', 'Windows', '-s', '512', '-p', '0', '-H', '0', '-S', '0', volume]),
  );
}

function place(
  disk: string,
  volume: string,
  { offset, length }: { offset: number; length: number },
  make: () => void,
): void {
  emptyFile(volume, length);
  make();
  putBytes(disk, readFileSync(volume), offset);
  rmSync(volume);
}

/** A new sparse file of `size` bytes. */
export function emptyFile(path: string, size: number): string {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, size);
  closeSync(fd);
  return path;
}

/** Overwrites the file from `offset` on. */
export function putBytes(path: string, bytes: Buffer, offset: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}
