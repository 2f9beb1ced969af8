// Replaces old IDs in the files of a volume, where the files lie: no file grows, moves or gets another time.
// Invariant: reads the volume, returns patches; outside the old IDs no byte changes. Data of ext, XFS and FAT has no
// checksums, so nothing else has to change with it.

import { FormatError } from '../../base/u64.js';
import { type Bytes, MiB } from '../../base/units.js';
import { readFromFile } from '../../filesystem/file.js';
import type { FoundFile } from '../../filesystem/plugin.js';
import type { Recognised } from '../../filesystem/registry.js';
import type { Patch } from '../../source/patched.js';
import type { Source } from '../../source/types.js';
import { type Files, openFiles, pathsOf } from './files.js';
import { LISTED, PROGRAMS, TEXTS } from './places.js';
import { isSigned } from './programs.js';
import { type Finder, finderOf, LONGEST_WORD, type Rename, type Replacement } from './renames.js';
import type { Leftover } from './twin-identity.js';

export interface Rewritten {
  /** The volume's name. */
  readonly volume: string;
  /** From the root of the volume. */
  readonly path: string;
  /** Old IDs that were replaced. */
  readonly count: number;
}

export interface References {
  readonly rewritten: readonly Rewritten[];
  /** What names, or may name, an old ID and was not changed. */
  readonly unresolved: readonly Leftover[];
  /** What makes the twin the same computer as its source, and was not changed. */
  readonly listed: readonly Leftover[];
}

export const NO_REFERENCES: References = { rewritten: [], unresolved: [], listed: [] };

export interface ReferencePatches {
  /** Ascending, disjoint. */
  readonly patches: readonly Patch[];
  readonly references: References;
}

/** Longer files are no configuration. */
export const LONGEST_TEXT: Bytes = 4 * MiB;
const LONGEST_PROGRAM: Bytes = 512 * MiB;
const PIECE: Bytes = 4 * MiB;
export const NOT_PLAIN = 'it is a link, or kept in a form that cannot be changed in place; look into it for old IDs';

interface Search {
  readonly volume: Source;
  readonly name: string;
  readonly files: Files;
  readonly find: Finder;
}

interface Found {
  readonly patches: Patch[];
  readonly rewritten: Rewritten[];
  readonly unresolved: Leftover[];
}

/**
 * For ext, XFS and FAT; undefined for file systems whose files cannot be changed in place. `name`: how messages call the
 * volume. Damage and what is not understood is reported as unresolved; throws only if the medium cannot be read.
 */
export async function referencePatches(
  volume: Source,
  { recognised, name }: { recognised: Recognised; name: string },
  renames: readonly Rename[],
): Promise<ReferencePatches | undefined> {
  const found: Found = { patches: [], rewritten: [], unresolved: [] };
  const listed: Leftover[] = [];
  try {
    const files = await openFiles(volume, recognised);
    if (!files) return undefined;
    const search = { volume, name, files, find: finderOf(renames) };
    for (const path of await allPaths(files, TEXTS)) await searchText(search, path, found);
    for (const path of await allPaths(files, PROGRAMS)) await searchProgram(search, path, found);
    for (const { pattern, why } of LISTED) {
      for (const path of await pathsOf(files, pattern)) listed.push({ volume: name, place: path, why });
    }
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    found.unresolved.push({ volume: name, place: '/', why: `its files cannot be read (${error.message})` });
  }
  const { rewritten, unresolved } = found;
  return { patches: inOrder(found.patches), references: { rewritten, unresolved, listed } };
}

/** Two paths may lead to the same bytes: hard links, and copies that share blocks (`cp --reflink`). */
function inOrder(patches: readonly Patch[]): Patch[] {
  const byPlace = new Map(patches.map((patch) => [patch.offset, patch]));
  return [...byPlace.values()].sort((a, b) => a.offset - b.offset);
}

/** Each path once, whatever patterns mean it. */
async function allPaths(files: Files, patterns: readonly string[]): Promise<Set<string>> {
  const paths = new Set<string>();
  for (const pattern of patterns) for (const path of await pathsOf(files, pattern)) paths.add(path);
  return paths;
}

async function searchText(search: Search, path: string, found: Found): Promise<void> {
  const { volume, name, files, find } = search;
  const file = await files.find(path);
  if (!file) {
    const isFolder = (await files.list(path)) !== undefined;
    return isFolder ? undefined : void found.unresolved.push({ volume: name, place: path, why: NOT_PLAIN });
  }
  if (file.size > LONGEST_TEXT) {
    return void found.unresolved.push({ volume: name, place: path, why: 'it is too long for a configuration file' });
  }
  const text = Buffer.alloc(file.size);
  await readFromFile(volume, file, { into: text, position: 0 });
  take(search, { path, file, replacements: find(text) }, found);
}

async function searchProgram(search: Search, path: string, found: Found): Promise<void> {
  const { volume, name, files } = search;
  const file = await files.find(path);
  if (!file) return; // a folder
  if (file.size > LONGEST_PROGRAM) {
    return void found.unresolved.push({ volume: name, place: path, why: 'it is too long for a boot program' });
  }
  const replacements = await findInPieces(search, file);
  if (replacements.length === 0) return;
  if (!(await isSigned(volume, file))) return take(search, { path, file, replacements }, found);
  const why = 'it names an old ID, and is signed: a change would break the signature; install the boot loader anew';
  found.unresolved.push({ volume: name, place: path, why });
}

/** A piece begins so far before the end of the last one that no word is cut in both. */
async function findInPieces({ volume, find }: Search, file: FoundFile): Promise<Replacement[]> {
  const replacements = new Map<Bytes, Replacement>();
  for (let position = 0; position < file.size; position += PIECE) {
    const start = Math.max(0, position - 2 * LONGEST_WORD);
    const piece = Buffer.alloc(Math.min(PIECE + 2 * LONGEST_WORD, file.size - start));
    await readFromFile(volume, file, { into: piece, position: start });
    for (const { at, bytes } of find(piece)) {
      // What touches an end of the piece may be part of a longer word; the other piece has it whole.
      const isCut = (at === 0 && start > 0) || (at + bytes.length === piece.length && start + piece.length < file.size);
      if (!isCut) replacements.set(start + at, { at: start + at, bytes });
    }
  }
  return [...replacements.values()];
}

function take(
  { name }: Search,
  { path, file, replacements }: { path: string; file: FoundFile; replacements: readonly Replacement[] },
  found: Found,
): void {
  if (replacements.length === 0) return;
  found.patches.push(...replacements.flatMap((replacement) => patchesIn(file, replacement)));
  found.rewritten.push({ volume: name, path, count: replacements.length });
}

/** A word may lie in two extents. */
function patchesIn({ extents }: FoundFile, { at, bytes }: Replacement): Patch[] {
  return extents.flatMap(({ position, offset, length }) => {
    const from = Math.max(at, position);
    const to = Math.min(at + bytes.length, position + length);
    return to > from ? [{ offset: offset + from - position, bytes: bytes.subarray(from - at, to - at) }] : [];
  });
}
