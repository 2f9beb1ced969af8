// The files of a volume that can be read and changed where they lie, and those of them that a pattern means.
// Invariant: reads only; links are not followed. A name that is there but no readable file is reported, not passed over.

import { FormatError } from '../../base/u64.js';
import { BOOT_SECTOR_LENGTH, parseBootSector } from '../../filesystem/fat/boot-sector.js';
import { openFatFiles } from '../../filesystem/fat/files.js';
import type { FoundFile } from '../../filesystem/plugin.js';
import type { Recognised } from '../../filesystem/registry.js';
import type { Source } from '../../source/types.js';

export interface Files {
  /** Names in a folder; undefined: there is no such folder. */
  list(folder: string): Promise<readonly string[] | undefined>;
  /** Undefined: no regular file, or not in a form that is understood. */
  find(path: string): Promise<FoundFile | undefined>;
  readonly ignoresCase: boolean;
}

/** Undefined: files of this file system cannot be changed in place. Throws FormatError. */
export async function openFiles(volume: Source, { plugin, info }: Recognised): Promise<Files | undefined> {
  if (/^fat(12|16|32)$/.test(info.kind)) return fatFiles(volume);
  const { findFile, listFolder } = plugin;
  if (!findFile || !listFolder) return undefined;
  const lists = new Map<string, Promise<readonly string[] | undefined>>();
  return {
    ignoresCase: false,
    list(folder) {
      const names = lists.get(folder) ?? listFolder(volume, info, folder);
      lists.set(folder, names);
      return names;
    },
    find: (path) => findFile(volume, info, path),
  };
}

async function fatFiles(volume: Source): Promise<Files> {
  const head = Buffer.alloc(BOOT_SECTOR_LENGTH);
  await volume.read(head, 0);
  const boot = parseBootSector(head);
  if (!boot) throw new FormatError('no FAT boot sector');
  return { ...openFatFiles(volume, boot), ignoresCase: true };
}

/** More than any system has in a folder of boot files; what is hostile ends here. */
const MOST_PATHS = 4096;

/** Paths that a pattern means, as they are spelt there; the last part may also be a folder or a link. Throws FormatError. */
export async function pathsOf(
  { list, ignoresCase }: Pick<Files, 'list' | 'ignoresCase'>,
  pattern: string,
): Promise<string[]> {
  let folders = [''];
  for (const part of pattern.split('/').slice(1)) {
    const matches = matcherOf(part, ignoresCase);
    const found: string[] = [];
    for (const folder of folders) {
      const names = (await list(folder === '' ? '/' : folder)) ?? [];
      found.push(
        ...names.filter((name) => name !== '.' && name !== '..' && matches(name)).map((name) => `${folder}/${name}`),
      );
    }
    folders = found.slice(0, MOST_PATHS);
  }
  return folders;
}

function matcherOf(part: string, ignoresCase: boolean): (name: string) => boolean {
  const words = part.split('*').map((word) => word.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  const pattern = new RegExp(`^${words.join('.*')}$`, ignoresCase ? 'is' : 's');
  return (name) => pattern.test(name);
}
