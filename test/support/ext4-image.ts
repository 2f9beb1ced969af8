// ext2/3/4 in image files: made by mke2fs, mounted by the kernel, judged by e2fsck and dumpe2fs.

import { closeSync, ftruncateSync, mkdirSync, openSync, readSync, rmdirSync, writeSync } from 'node:fs';
import { rawCrc32c } from '../../src/base/checksum.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import type { FilesystemInfo } from '../../src/filesystem/plugin.js';
import type { Source } from '../../src/source/types.js';
import { fileSource } from './file-source.js';
import { run, tryRun } from './run.js';

/** A new image of `size` bytes (sparse) with a file system in it. */
export function makeImage(path: string, size: number, options: readonly string[]): void {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, size);
  closeSync(fd);
  run('mke2fs', ['-q', '-F', ...options, path]);
}

/** Mounts the image through a loop device, runs `work` with the folder, unmounts. */
export function mounted<T>(image: string, work: (folder: string) => T, options = 'rw'): T {
  const folder = `${image}.mounted`;
  mkdirSync(folder);
  try {
    run('mount', ['-t', 'ext4', '-o', `loop,${options}`, image, folder]);
    try {
      return work(folder);
    } finally {
      run('umount', [folder]);
    }
  } finally {
    rmdirSync(folder);
  }
}

/** Used bytes as dumpe2fs counts them: blocks − free, times the block size. */
export function usedByDumpe2fs(image: string): number {
  const text = run('dumpe2fs', ['-h', image]);
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1]);
  return (field('Block count') - field('Free blocks')) * field('Block size');
}

/** Throws with what e2fsck found unless the file system is perfect. */
export function demandPerfect(image: string): void {
  const { status, stdout, stderr } = tryRun('e2fsck', ['-fn', image]);
  if (status !== 0) throw new Error(`e2fsck -fn ${image} ended with ${status}\n${stdout}${stderr}`);
}

/** Opens, probes, runs `work`, closes. Throws if the plugin does not know the image. */
export async function withVolume<T>(
  image: string,
  work: (volume: Source, info: FilesystemInfo) => Promise<T>,
): Promise<T> {
  const volume = fileSource(image);
  try {
    const info = await ext4.probe(volume);
    if (!info) throw new Error(`${image} is not recognised`);
    return await work(volume, info);
  } finally {
    await volume.close();
  }
}

/** Changes bytes of the image; `change` gets them and edits them in place. */
export function patch(image: string, offset: number, length: number, change: (bytes: Buffer) => void): void {
  const fd = openSync(image, 'r+');
  try {
    const bytes = Buffer.alloc(length);
    readSync(fd, bytes, 0, length, offset);
    change(bytes);
    writeSync(fd, bytes, 0, length, offset);
  } finally {
    closeSync(fd);
  }
}

/** Changes the superblock and makes its checksum right again if it has one. */
export function patchSuperblock(image: string, change: (superblock: Buffer) => void): void {
  patch(image, 1024, 1024, (superblock) => {
    change(superblock);
    sealSuperblock(superblock);
  });
}

/** Makes the superblock's checksum right if metadata_csum is set. */
export function sealSuperblock(superblock: Buffer): void {
  if ((superblock.readUInt32LE(0x64) & 0x400) === 0) return;
  superblock.writeUInt32LE(rawCrc32c(0xffffffff, superblock.subarray(0, 0x3fc)), 0x3fc);
}
