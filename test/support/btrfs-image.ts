// btrfs in image files: made by mkfs.btrfs, mounted by the kernel, judged by btrfs check, scrub and dump-tree.
// Invariant: two images of one file system are never attached at the same time: the kernel would confuse them.

import { closeSync, ftruncateSync, mkdirSync, openSync, readSync, rmdirSync, rmSync, writeSync } from 'node:fs';
import { btrfs } from '../../src/filesystem/btrfs/plugin.js';
import type { FilesystemInfo } from '../../src/filesystem/plugin.js';
import type { Source } from '../../src/source/types.js';
import { fileSource } from './file-source.js';
import { run, tryRun } from './run.js';

/** A new file system over new sparse images of `size` bytes each. */
export function makeBtrfs(images: readonly string[], size: number, options: readonly string[]): void {
  for (const image of images) {
    const fd = openSync(image, 'w');
    ftruncateSync(fd, size);
    closeSync(fd);
  }
  run('mkfs.btrfs', ['-q', '-f', ...options, ...images]);
}

/** Runs `work` with loop devices over the images; the kernel has forgotten them when it returns. */
export function attached<T>(images: readonly string[], work: (devices: readonly string[]) => T): T {
  const devices: string[] = [];
  try {
    for (const image of images) devices.push(run('losetup', ['-f', '--show', image]).trim());
    return work(devices);
  } finally {
    for (const device of devices) {
      tryRun('btrfs', ['device', 'scan', '--forget', device]);
      run('losetup', ['-d', device]);
    }
  }
}

/** Mounts the file system on the images (all of its devices), runs `work`, unmounts. */
export function mounted<T>(images: readonly string[], work: (folder: string) => T, options = 'rw'): T {
  return attached(images, (devices) => {
    const folder = `${images[0]}.mounted`;
    mkdirSync(folder);
    try {
      const others = devices.map((device) => `device=${device}`);
      run('mount', ['-t', 'btrfs', '-o', [options, ...others].join(','), devices[0] ?? '', folder]);
      try {
        return work(folder);
      } finally {
        run('umount', [folder]);
      }
    } finally {
      rmdirSync(folder);
    }
  });
}

/** Throws with what was found unless every tree, block group, checksum and mirror is in order. */
export function demandPerfect(images: readonly string[]): void {
  const check = (devices: readonly string[]): void => {
    const { status, stdout, stderr } = tryRun('btrfs', ['check', '--readonly', devices[0] ?? '']);
    if (status !== 0) throw new Error(`btrfs check ${images[0]} ended with ${status}\n${stdout}${stderr}`);
  };
  if (images.length === 1) check(images);
  else {
    attached(images, (devices) => {
      run('btrfs', ['device', 'scan', ...devices]);
      check(devices);
    });
  }
}

/** Reads all data and all metadata of all copies. Throws unless all checksums are right. */
export function demandScrubbed(folder: string): void {
  const { stdout } = tryRun('btrfs', ['scrub', 'start', '-B', '-r', folder]);
  const uuid = /scrub done for (\S+)/.exec(stdout)?.[1];
  if (uuid !== undefined) rmSync(`/var/lib/btrfs/scrub.status.${uuid}`, { force: true });
  if (!/no errors found/.test(stdout)) throw new Error(`scrub of ${folder}: ${stdout}`);
}

/** Opens, probes, runs `work`, closes. Throws if the plugin does not know the image. */
export async function withVolume<T>(
  image: string,
  work: (volume: Source, info: FilesystemInfo) => Promise<T>,
): Promise<T> {
  const volume = fileSource(image);
  try {
    const info = await btrfs.probe(volume);
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
