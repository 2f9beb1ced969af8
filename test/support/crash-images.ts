// File systems as crashes, hibernation and unplugging leave them: what must never be cloned as if it were whole.

import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MiB } from '../../src/base/units.js';
import { makeBtrfs, mounted as mountedBtrfs } from './btrfs-image.js';
import { fillExfat, makeExfat, withExfatMounted } from './exfat-volume.js';
import { makeImage, mounted, patch } from './ext4-image.js';
import { f2fsLayout, fillF2fs, makeF2fs, sealF2fs } from './f2fs-volume.js';
import { type FatGeometry, fillFat, makeFat } from './fat-volume.js';
import { withNtfsMounted } from './ntfs-mount.js';
import { attributeOffset, restartPage } from './ntfs-structures.js';
import { makeNtfs } from './ntfs-volume.js';
import type { Random } from './random.js';
import { run } from './run.js';
import { makeXfs, mountedXfs, writeSynced } from './xfs-image.js';

/** Writes files whose data and metadata a program was promised to be durable. */
function synced(folder: string, random: Random): void {
  for (let index = 0; index < 40; index += 1) {
    writeSynced(join(folder, `synced ${index}`), random.bytes(1000 + random.below(60_000)));
  }
}

/** `mount` runs its action on the mounted `image`; what `image` becomes is a copy taken before it was unmounted. */
function crashed(image: string, mount: (action: (folder: string) => void) => void, random: Random): void {
  mount((folder) => {
    synced(folder, random);
    copyFileSync(image, `${image}.crashed`);
  });
  copyFileSync(`${image}.crashed`, image);
  rmSync(`${image}.crashed`);
}

export function crashedExt(image: string, random: Random, options: readonly string[]): void {
  makeImage(image, 40 * MiB, ['-t', 'ext4', '-b', '4096', ...options]);
  crashed(image, (action) => mounted(image, action), random);
}

export function crashedXfs(image: string, random: Random): void {
  makeXfs(image, 48 * MiB);
  crashed(image, (action) => mountedXfs(image, action), random);
}

export function crashedBtrfs(image: string, random: Random): void {
  makeBtrfs([image], 128 * MiB, []);
  crashed(image, (action) => mountedBtrfs([image], action), random);
}

export function crashedExfat(image: string, random: Random): void {
  makeExfat(image, { size: 12 * MiB, clusterSize: 4096 });
  withExfatMounted(image, (folder) => fillExfat(folder, random, { budget: MiB }));
  crashed(image, (action) => withExfatMounted(image, action), random);
}

/** Windows and Linux set a bit while a FAT is mounted: `at` names its byte, in the boot sector or in the table. */
export function dirtyFat(
  image: string,
  random: Random,
  geometry: FatGeometry & { readonly mark: 'boot' | 'table' },
): void {
  makeFat(image, geometry);
  const work = mkdtempSync(`${image}-`);
  fillFat(image, work, random, { budget: MiB / 2 });
  rmSync(work, { recursive: true });
  const { bits, mark } = geometry;
  if (mark === 'boot') patch(image, bits === 32 ? 0x41 : 0x25, 1, (state) => state.writeUInt8(1, 0));
  else {
    const table = readFileSync(image).readUInt16LE(14) * (geometry.sectorSize ?? 512);
    patch(image, table + (bits === 16 ? 3 : 7), 1, (entry) => entry.writeUInt8(bits === 16 ? 0x7f : 0x07, 0));
  }
}

async function filledNtfs(image: string, random: Random, more: (folder: string) => void = () => {}): Promise<void> {
  makeNtfs(image, { size: 16 * MiB, clusterSize: 4096 });
  await withNtfsMounted(image, (folder) => {
    for (let index = 0; index < 20; index += 1) writeFileSync(join(folder, `file ${index}`), random.bytes(9000));
    more(folder);
  });
}

/** Marked by ntfsfix, as chkdsk wants it. */
export async function dirtyNtfs(image: string, random: Random): Promise<void> {
  await filledNtfs(image, random);
  run('ntfsfix', [image]);
}

/** `header` begins hiberfil.sys; `length` below 4096 is what Windows leaves on volumes it does not start from. */
export function hibernatedNtfs(image: string, random: Random, header: string, length = 64 * 1024): Promise<void> {
  const session = Buffer.alloc(length);
  session.write(header, 'latin1');
  return filledNtfs(image, random, (folder) => writeFileSync(join(folder, 'hiberfil.sys'), session));
}

/** $LogFile as a Windows leaves it that has the volume mounted (`open`), or went away with Fast Startup (`cached`). */
export async function loggedNtfs(image: string, random: Random, log: 'open' | 'cached'): Promise<void> {
  await filledNtfs(image, random);
  const page = log === 'open' ? { client: 0 } : { major: 2, minor: 0 };
  patch(image, attributeOffset(image, 2, 0x80), 8192, (bytes) => {
    restartPage(page).copy(bytes, 0);
    restartPage({ ...page, lsn: 99 }).copy(bytes, 4096);
  });
}

/** Its newest checkpoint was not written by an unmount: files synced after it are in no table. */
export function crashedF2fs(image: string, random: Random): void {
  makeF2fs(image, { size: 112 * MiB });
  const tree = `${image}.d`;
  mkdirSync(tree);
  fillF2fs(image, tree, random, { budget: 2 * MiB });
  rmSync(tree, { recursive: true });
  const bytes = readFileSync(image);
  const { head, flags } = f2fsLayout(bytes);
  bytes.writeUInt32LE((flags & ~1) >>> 0, head + 132);
  sealF2fs(bytes);
  writeFileSync(image, bytes);
}

/** A swap area with a sleeping computer in it. */
export function sleepingSwap(image: string, random: Random, signature: string): void {
  writeFileSync(image, random.bytes(4 * MiB));
  run('mkswap', ['-q', image]);
  patch(image, 4086, 10, (bytes) => bytes.fill(0).write(signature, 'latin1'));
}
