// The only file that names all file systems.

import type { Source } from '../source/types.js';
import { btrfs } from './btrfs/plugin.js';
import { exfat } from './exfat/plugin.js';
import { ext4 } from './ext4/plugin.js';
import { f2fs } from './f2fs/plugin.js';
import { fat } from './fat/plugin.js';
import { ntfs } from './ntfs/plugin.js';
import type { FilesystemInfo, FilesystemPlugin } from './plugin.js';
import { type ForeignContent, readForeignContent } from './signatures.js';
import { swap } from './swap/plugin.js';
import { xfs } from './xfs/plugin.js';

const PLUGINS: readonly FilesystemPlugin[] = [btrfs, exfat, ext4, f2fs, fat, ntfs, swap, xfs];

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

/** What a volume is: at most one of `recognised` and `foreign`. */
export interface Identified {
  /** The one file system whose map and token may be trusted. */
  readonly recognised: Recognised | undefined;
  readonly foreign: ForeignContent | undefined;
  /** Why nothing is known of its content; empty if `recognised`. */
  readonly unrecognised: string;
}

/** Decides between everything that claims the volume. A container counts before all, a foreign file system last. */
export async function identify(volume: Source): Promise<Identified> {
  const foreign = await readForeignContent(volume);
  if (foreign?.isContainer) return { recognised: undefined, foreign, unrecognised: foreign.description };
  const found = await recognise(volume);
  const [only, other] = found;
  if (only && !other) return { recognised: only, foreign: undefined, unrecognised: '' };
  if (other) {
    const kinds = found.map(({ info }) => info.kind).join(', ');
    return { recognised: undefined, foreign: undefined, unrecognised: `signatures of several file systems (${kinds})` };
  }
  return { recognised: undefined, foreign, unrecognised: foreign?.description ?? 'no known file system' };
}
