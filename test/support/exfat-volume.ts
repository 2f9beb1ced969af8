// Makes exFAT images through exfatprogs and fills them through the FUSE driver, which is a writer of its own.
// Invariant: when withExfatMounted returns, the volume is unmounted and its loop device gone.

import { closeSync, mkdirSync, mkdtempSync, openSync, rmdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withLoop } from './partition-disk.js';
import type { Random } from './random.js';
import { run } from './run.js';

export interface ExfatGeometry {
  readonly size: number;
  readonly clusterSize: number;
  readonly sectorSize?: number;
  readonly label?: string;
}

/** mkfs.exfat takes the sector size from the device. */
export function makeExfat(
  path: string,
  { size, clusterSize, sectorSize = 512, label = 'Prüfstück' }: ExfatGeometry,
): void {
  closeSync(openSync(path, 'w'));
  truncateSync(path, size);
  const options = ['-c', `${clusterSize}`, '-L', label];
  if (sectorSize === 512) runExfat('mkfs.exfat', [...options, path]);
  else withLoop(path, sectorSize, (device) => runExfat('mkfs.exfat', [...options, device]));
}

/** A program of exfatprogs: they take labels in the locale's characters. */
export function runExfat(command: string, args: readonly string[]): string {
  return run(command, args, { env: { LC_ALL: 'C.UTF-8' } });
}

/** Runs `action` on the mounted volume; it must not wait for anything. */
export function withExfatMounted<T>(
  image: string,
  action: (folder: string) => T,
  { readOnly = false, sectorSize = 512 }: { readOnly?: boolean; sectorSize?: number } = {},
): T {
  const folder = mkdtempSync(`${image}-mount-`);
  try {
    return withLoop(image, sectorSize, (device) => {
      run('mount.exfat-fuse', ['-o', readOnly ? 'ro' : 'rw', device, folder]);
      try {
        return action(folder);
      } finally {
        run('umount', [folder]);
      }
    });
  } finally {
    rmdirSync(folder);
  }
}

/** Folders and files of many sizes, a third of them deleted again, and files in the holes: fragmented ones. */
export function fillExfat(folder: string, random: Random, { budget }: { budget: number }): void {
  const written: string[] = [];
  for (let index = 0, left = budget; left > 0 && index < 200; index += 1) {
    const parent = join(folder, `folder ${index % 5}`, `ü${index % 3}`);
    mkdirSync(parent, { recursive: true });
    const length = Math.min(left, random.pick([0, 10, 3000, 40_000, 300_000]) + random.below(700));
    const path = join(parent, `a file with a name that takes several entries ${index}`);
    writeFileSync(path, random.bytes(length));
    written.push(path);
    left -= length;
  }
  for (const [index, path] of written.entries()) if (index % 3 === 0) rmSync(path);
  for (let index = 0; index < 3; index += 1) {
    writeFileSync(join(folder, `late ${index}`), random.bytes(Math.floor(budget / 8)));
  }
}

/** Makes the checksum of the main boot region right again. Written without the code under test. */
export function sealExfat(bytes: Buffer): void {
  const sectorSize = 1 << bytes.readUInt8(108);
  let sum = 0;
  for (let at = 0; at < 11 * sectorSize; at += 1) {
    if (at === 106 || at === 107 || at === 112) continue;
    sum = ((sum >>> 1) + ((sum & 1) << 31) + bytes.readUInt8(at)) >>> 0;
  }
  for (let at = 11 * sectorSize; at < 12 * sectorSize; at += 4) bytes.writeUInt32LE(sum, at);
}

export interface ExfatLayout {
  readonly table: number;
  readonly tableSize: number;
  readonly heap: number;
  readonly clusterSize: number;
  readonly clusterCount: number;
  readonly root: number;
}

/** Byte offsets, straight from the boot sector. */
export function exfatLayout(boot: Buffer): ExfatLayout {
  const sector = 1 << boot.readUInt8(108);
  const heap = boot.readUInt32LE(88) * sector;
  const clusterSize = sector << boot.readUInt8(109);
  return {
    table: boot.readUInt32LE(80) * sector,
    tableSize: boot.readUInt32LE(84) * sector,
    heap,
    clusterSize,
    clusterCount: boot.readUInt32LE(92),
    root: heap + (boot.readUInt32LE(96) - 2) * clusterSize,
  };
}
