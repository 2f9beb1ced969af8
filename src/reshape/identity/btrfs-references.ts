// Replaces old IDs in the files of a btrfs, through a mount: its data has checksums, and small files lie in its metadata.
// Invariant: mounted for writing only if there is something to write; owners, modes and times of the files stay, no link is
// followed out of the mount. The kernel writes times of its own: two views of the same source differ in a few blocks.

import { closeSync, constants, futimesSync, lstatSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../../base/tool-error.js';
import { disguised } from '../btrfs.js';
import type { Workbench } from '../overlay.js';
import { pathsOf } from './files.js';
import { LISTED, TEXTS } from './places.js';
import { LONGEST_TEXT, NOT_PLAIN, type References, type Rewritten } from './references.js';
import { type Finder, finderOf, type Rename, type Replacement } from './renames.js';
import type { Leftover } from './twin-identity.js';

/** The top level, which holds all subvolumes; no work of the kernel's own. */
const MOUNT_OPTIONS = 'subvolid=5,skip_balance,nodiscard';
/** Snapshots of years; what is hostile ends here. */
const MOST_SUBVOLUMES = 4096;

interface Edit {
  readonly path: string;
  readonly replacements: readonly Replacement[];
}

interface Seen {
  readonly edits: Edit[];
  readonly unresolved: Leftover[];
  readonly listed: Leftover[];
}

/** Throws ToolError: cannot be mounted, interrupted. */
export async function rewriteBtrfs(bench: Workbench, renames: readonly Rename[]): Promise<References> {
  const find = finderOf(renames);
  const { edits, unresolved, listed } = await mounted(bench, 'ro', (folder) => look(bench, { folder, find }));
  const rewritten: Rewritten[] = [];
  if (edits.length > 0) {
    await mounted(bench, 'rw', async (folder) => {
      for (const { path, replacements } of edits) {
        const errno = write(join(folder, path), replacements);
        if (errno === undefined) rewritten.push({ volume: bench.volume, path, count: replacements.length });
        else
          unresolved.push({
            volume: bench.volume,
            place: path,
            why: `it names an old ID, and cannot be written (${errno})`,
          });
      }
    });
  }
  return { rewritten, unresolved, listed };
}

function mounted<T>(bench: Workbench, way: 'ro' | 'rw', work: (folder: string) => Promise<T>): Promise<T> {
  return disguised(bench, () => bench.mounted('btrfs', `${way},${MOUNT_OPTIONS}`, work));
}

async function look(bench: Workbench, { folder, find }: { folder: string; find: Finder }): Promise<Seen> {
  const seen: Seen = { edits: [], unresolved: [], listed: [] };
  const readOnly = new Set(await subvolumes(bench, folder, ['-r']));
  for (const root of ['', ...(await subvolumes(bench, folder, []))]) {
    const found = await lookInside(bench, { folder, root, find });
    if (!readOnly.has(root)) {
      seen.edits.push(...found.edits);
      seen.unresolved.push(...found.unresolved);
      seen.listed.push(...found.listed);
    } else if (found.edits.length > 0) {
      const why = `a read-only snapshot; ${found.edits.length} files in it go on naming old IDs`;
      seen.unresolved.push({ volume: bench.volume, place: root, why });
    }
  }
  return seen;
}

/** Their paths from the top level, each with a slash in front. */
async function subvolumes(bench: Workbench, folder: string, options: readonly string[]): Promise<string[]> {
  const { stdout } = await bench.run('btrfs', ['subvolume', 'list', ...options, folder], {
    purpose: `list the subvolumes of ${bench.volume}`,
  });
  const paths = [...stdout.matchAll(/^ID \d+ .*? path (.+)$/gm)].map(([, path = '']) => `/${path}`);
  return paths.slice(0, MOST_SUBVOLUMES);
}

async function lookInside(
  bench: Workbench,
  { folder, root, find }: { folder: string; root: string; find: Finder },
): Promise<Seen> {
  const seen: Seen = { edits: [], unresolved: [], listed: [] };
  const files = { ignoresCase: false, list: async (path: string) => namesIn(folder, `${root}${path}`) };
  const paths = new Set<string>();
  for (const pattern of TEXTS) for (const path of await pathsOf(files, pattern)) paths.add(`${root}${path}`);
  for (const path of paths) {
    const kind = kindOf(folder, path);
    if (kind === 'other') seen.unresolved.push({ volume: bench.volume, place: path, why: NOT_PLAIN });
    if (kind !== 'file') continue;
    const replacements = find(readFileSync(join(folder, path)));
    if (replacements.length > 0) seen.edits.push({ path, replacements });
  }
  for (const { pattern, why } of LISTED) {
    for (const path of await pathsOf(files, pattern)) {
      seen.listed.push({ volume: bench.volume, place: `${root}${path}`, why });
    }
  }
  return seen;
}

/** Of a folder that is reached through no link. */
function namesIn(folder: string, path: string): readonly string[] | undefined {
  return kindOf(folder, path) === 'folder' ? readdirSync(join(folder, path)) : undefined;
}

/** Undefined: it is not there, or behind a link. */
function kindOf(folder: string, path: string): 'folder' | 'file' | 'other' | undefined {
  let place = folder;
  let kind: 'folder' | 'file' | 'other' = 'folder';
  for (const part of path.split('/').filter((each) => each !== '')) {
    if (kind !== 'folder' || part === '..') return undefined;
    place = join(place, part);
    const found = lstatSync(place, { throwIfNoEntry: false });
    if (!found) return undefined;
    if (found.isDirectory()) kind = 'folder';
    else kind = found.isFile() && found.size <= LONGEST_TEXT ? 'file' : 'other';
  }
  return kind;
}

/** Returns the errno of what could not be written. */
function write(path: string, replacements: readonly Replacement[]): string | undefined {
  try {
    const { atimeMs, mtimeMs } = lstatSync(path);
    const file = openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW);
    try {
      for (const { at, bytes } of replacements) writeSync(file, bytes, 0, bytes.length, at);
      futimesSync(file, atimeMs / 1000, mtimeMs / 1000);
    } finally {
      closeSync(file);
    }
    return undefined;
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === undefined) throw cause;
    return errno;
  }
}
