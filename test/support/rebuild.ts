// Makes an EFI partition of every kind of file there is, and rebuilds it for other sectors.

import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { recognise } from '../../src/filesystem/registry.js';
import {
  type RebuildOptions,
  type Rebuilt,
  type RunProgram,
  rebuildFat,
} from '../../src/reshape/after-move/rebuild-fat.js';
import { type FatGeometry, makeFat } from './fat-volume.js';
import { fileSource } from './file-source.js';
import type { Random } from './random.js';
import { run } from './run.js';

/** What an installed Debian has, but for the fall-back loader; a hidden and a system file; long, empty and odd names. */
export const ESP_FILES: readonly { readonly path: string; readonly size: number; readonly attributes?: string }[] = [
  { path: 'EFI/debian/shimx64.efi', size: 950_000 },
  { path: 'EFI/debian/grubx64.efi', size: 2_600_001, attributes: '+r' },
  { path: 'EFI/debian/grub.cfg', size: 126 },
  { path: 'EFI/Microsoft/Boot/BCD', size: 32_768, attributes: '+h' },
  { path: 'EFI/Microsoft/Boot/a file with a long name, übung.dat', size: 4097 },
  { path: 'System Volume Information/WPSettings.dat', size: 12, attributes: '+s' },
  { path: 'mixedCase.Txt', size: 513 },
  { path: 'empty', size: 0 },
  { path: 'hidden.sys', size: 4096, attributes: '+h' },
];

/** `extra`: more files, as paths. Files and folders were made in 2003. */
export function makeEsp(
  path: string,
  geometry: FatGeometry,
  { random, extra = [] }: { random: Random; extra?: readonly string[] },
): void {
  makeFat(path, geometry);
  const env = { SOURCE_DATE_EPOCH: '1050000000', LC_ALL: 'C.UTF-8', TZ: 'UTC' };
  const work = `${path}-files`;
  mkdirSync(work);
  const made = new Set<string>();
  const folder = (name: string): void => {
    if (name === '.' || made.has(name)) return;
    folder(dirname(name));
    made.add(name);
    run('mmd', ['-i', path, `::/${name}`], { env });
  };
  for (const { path: name, size, attributes } of [
    ...ESP_FILES,
    ...extra.map((each) => ({ path: each, size: 70_000, attributes: undefined })),
  ]) {
    folder(dirname(name));
    const file = join(work, basename(name));
    writeFileSync(file, random.bytes(size));
    run('mcopy', ['-i', path, file, `::/${name}`], { env });
    if (attributes !== undefined) run('mattrib', ['-i', path, attributes, `::/${name}`], { env });
  }
  run('mattrib', ['-i', path, '+h', '+s', '::/System Volume Information'], { env });
  rmSync(work, { recursive: true });
}

export const runProgram: RunProgram = async (program, args, variables) => run(program, args, { env: { ...variables } });

/** Rebuilds `image` into `file` with the name, serial number and kind it has. */
export async function rebuild(
  image: string,
  file: string,
  wanted: Pick<RebuildOptions, 'size' | 'sectorSize' | 'startLba'>,
): Promise<Rebuilt> {
  const volume = fileSource(image);
  try {
    const [recognised] = await recognise(volume);
    if (!recognised) throw new Error('not recognised');
    const { kind, label, uuid: serial } = recognised.info;
    return await rebuildFat({ volume, kind, label, serial, file, ...wanted }, runProgram);
  } finally {
    await volume.close();
  }
}

/** What a rebuild into `file` needs meanwhile, and must not leave. */
export function leftovers(file: string): string[] {
  return [`${file}.old`, `${file}.mtools`].filter((path) => existsSync(path));
}
