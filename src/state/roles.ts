// Which disks were the original of a clone: those are not overwritten without being named.
// Invariant: one file a disk, never rewritten by a run with another source: runs at the same time lose nothing.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder, saveJson, stateFolder } from './folder.js';

function roleFile(key: string): string {
  return join(stateFolder(), 'sources', `${key}.json`);
}

/** Remembers, durably, that the disk with this key is an original. */
export function rememberSource(key: string, { id, path }: { id: string; path: string }): void {
  if (isKnownSource(key)) return;
  makeFolder(join(stateFolder(), 'sources'));
  saveJson(roleFile(key), { id, path, at: new Date().toISOString() });
}

/** That the file is there says it, whatever became of its content. */
export function isKnownSource(key: string): boolean {
  return key !== '' && existsSync(roleFile(key));
}
