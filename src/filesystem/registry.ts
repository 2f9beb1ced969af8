// The only file that names all file systems.

import type { Source } from '../source/types.js';
import { exfat } from './exfat/plugin.js';
import { ext4 } from './ext4/plugin.js';
import { f2fs } from './f2fs/plugin.js';
import { fat } from './fat/plugin.js';
import { ntfs } from './ntfs/plugin.js';
import type { FilesystemInfo, FilesystemPlugin } from './plugin.js';
import { swap } from './swap/plugin.js';

const PLUGINS: readonly FilesystemPlugin[] = [ext4, ntfs, fat, exfat, f2fs, swap];

export interface Recognised {
  readonly plugin: FilesystemPlugin;
  readonly info: FilesystemInfo;
}

/** All file systems that claim the volume: none, one, or (leftovers of an older one) several. */
export async function recognise(volume: Source): Promise<Recognised[]> {
  const found: Recognised[] = [];
  for (const plugin of PLUGINS) {
    const info = await plugin.probe(volume);
    if (info) found.push({ plugin, info });
  }
  return found;
}
