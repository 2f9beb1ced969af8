// What a boot folder looks like to whoever has to find the files that boot loaders write to.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KiB, MiB } from '../../src/base/units.js';

export interface BootPaths {
  readonly small: readonly string[];
  readonly kernel: string;
}

/** Makes /boot with a kernel, links and many modules; paths are from the root. */
export function bootFolder(root: string): BootPaths {
  const modules = join('boot', 'grub', 'i386-pc');
  mkdirSync(join(root, modules), { recursive: true });
  const small = Array.from({ length: 40 }, (_, index) => join(modules, `module-with-a-name-${index}.mod`));
  small.push(join('boot', 'grub', 'grubenv'), join('boot', 'ldlinux.sys'), 'uboot.env');
  for (const path of small) writeFileSync(join(root, path), Buffer.alloc(8 * KiB, '#'));
  const kernel = join('boot', 'vmlinuz-1');
  writeFileSync(join(root, kernel), Buffer.alloc(MiB + 1, 'k'));
  symlinkSync('vmlinuz-1', join(root, 'boot', 'vmlinuz'));
  symlinkSync('.', join(root, 'boot', 'boot'));
  return { small, kernel };
}
