// The only file that names all file systems.

import { isUnreadable } from '../source/around.js';
import type { Source } from '../source/types.js';
import { btrfs } from './btrfs/plugin.js';
import { exfat } from './exfat/plugin.js';
import { ext4 } from './ext4/plugin.js';
import { f2fs } from './f2fs/plugin.js';
import { fat } from './fat/plugin.js';
import { ntfs } from './ntfs/plugin.js';
import type { FilesystemInfo, FilesystemPlugin } from './plugin.js';
import { CONTAINER_HEADS, type ForeignContent, readForeignContent } from './signatures.js';
import { swap } from './swap/plugin.js';
import { xfs } from './xfs/plugin.js';

const PLUGINS: readonly FilesystemPlugin[] = [btrfs, exfat, ext4, f2fs, fat, ntfs, swap, xfs];

export interface Recognised {
  readonly plugin: FilesystemPlugin;
  readonly info: FilesystemInfo;
}

/** All file systems that claim the volume: none, one, or (leftovers of an older one) several. */
export async function recognise(volume: Source): Promise<Recognised[]> {
  return (await probeAll(volume)).found;
}

/** `isBlind`: a superblock may be there for all that can be read. */
async function probeAll(volume: Source): Promise<{ found: Recognised[]; isBlind: boolean }> {
  const found: Recognised[] = [];
  let isBlind = false;
  for (const plugin of PLUGINS) {
    try {
      const info = await plugin.probe(volume);
      if (info) found.push({ plugin, info });
    } catch (error) {
      if (!volume.readAround || !isUnreadable(error)) throw error;
      isBlind = true;
    }
  }
  return { found, isBlind };
}

/** What a volume is: at most one of `recognised` and `foreign`. */
export interface Identified {
  /** The one file system whose map and token may be trusted. */
  readonly recognised: Recognised | undefined;
  readonly foreign: ForeignContent | undefined;
  /** Why nothing is known of its content; empty if `recognised`. */
  readonly unrecognised: string;
  /** True: it is unrecognised because of unreadable sectors. */
  readonly isUnreadable: boolean;
}

/** Decides between everything that claims the volume. A container counts before all, a foreign file system last. */
export async function identify(volume: Source): Promise<Identified> {
  const { foreign, hidden } = await readForeignContent(volume);
  const nothing = { recognised: undefined, foreign: undefined, isUnreadable: false };
  if (foreign?.isContainer) return { ...nothing, foreign, unrecognised: foreign.description };
  const { found, isBlind } = await probeAll(volume);
  const [only, other] = found;
  // A container's header behind a file system's end is none of that file system's: a hole there may hide one.
  const mayHide = hidden.some(({ offset }) => offset < CONTAINER_HEADS || offset >= (only?.info.size ?? 0));
  if (isBlind || (only && mayHide)) {
    return { ...nothing, isUnreadable: true, unrecognised: 'sectors that would say what it is cannot be read' };
  }
  if (only && !other) return { ...nothing, recognised: only, unrecognised: '' };
  if (other) {
    const kinds = found.map(({ info }) => info.kind).join(', ');
    return { ...nothing, unrecognised: `signatures of several file systems (${kinds})` };
  }
  return { ...nothing, foreign, unrecognised: foreign?.description ?? 'no known file system' };
}
