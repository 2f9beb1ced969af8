// From inode numbers to paths: one pass over all directories finds the names, then each name's directories are climbed.
// Invariant: memory grows with the names that are sought and their directories, not with the file system. A directory
// that cannot be named stands as its number: "inode 45/name".

import { folderPaths, type Name } from '../folder-paths.js';
import { type DirectoryReader, directoryEntries, parentOf } from './directory-reader.js';
import type { Inode } from './inode.js';
import { ROOT_INODE } from './inode.js';
import { inodePieces, inodesIn, readInode } from './inode-table.js';

/** What is looked for: inode numbers with how many names each has by its own count. */
export type Sought = ReadonlyMap<number, number>;

export interface Paths {
  /** All paths of an inode that was sought; empty if none was found. */
  of(inode: number): readonly string[];
}

/** `mayHoldDirectories`: which stretches of inode numbers are worth reading. */
export async function findPaths(
  reader: DirectoryReader,
  sought: Sought,
  mayHoldDirectories: (first: number, count: number) => boolean,
): Promise<Paths> {
  const names = await findNames(reader, sought, mayHoldDirectories);
  const folders = folderPaths({
    root: ROOT_INODE,
    nameOf: async (number) => names.get(number)?.[0] ?? nameOf(reader, number),
    unnamed: (number) => `inode ${number}`,
  });
  const paths = new Map<number, readonly string[]>();
  for (const [inode, places] of names) {
    const all: string[] = [];
    for (const { parent, name } of places) all.push(`${await folders.of(parent)}/${name}`);
    paths.set(inode, all);
  }
  if (sought.has(ROOT_INODE)) paths.set(ROOT_INODE, ['/']);
  return { of: (inode) => paths.get(inode) ?? [] };
}

async function findNames(
  reader: DirectoryReader,
  sought: Sought,
  mayHoldDirectories: (first: number, count: number) => boolean,
): Promise<Map<number, Name[]>> {
  const { volume, superblock } = reader;
  const names = new Map<number, Name[]>();
  let missing = 0;
  for (const [inode, links] of sought) if (inode !== ROOT_INODE) missing += links;
  if (missing === 0) return names;
  for await (const piece of inodePieces(volume, superblock, mayHoldDirectories)) {
    for (const directory of inodesIn(superblock, piece)) {
      if (directory.type !== 'directory') continue;
      for await (const { inode, name } of directoryEntries(reader, directory)) {
        if (inode === ROOT_INODE || !sought.has(inode) || isDots(name)) continue;
        const found = names.get(inode) ?? [];
        found.push({ parent: directory.number, name: name.toString('utf8') });
        names.set(inode, found);
        missing -= 1;
      }
      if (missing <= 0) return names;
    }
  }
  return names;
}

/** The name of a directory, by its own ".." and its parent's entries. */
async function nameOf(reader: DirectoryReader, number: number): Promise<Name | undefined> {
  const directory = await readDirectory(reader, number);
  const parent = directory && (await parentOf(reader, directory));
  const holder = parent === undefined || parent === number ? undefined : await readDirectory(reader, parent);
  if (!holder) return undefined;
  for await (const { inode, name } of directoryEntries(reader, holder)) {
    if (inode === number && !isDots(name)) return { parent: holder.number, name: name.toString('utf8') };
  }
  return undefined;
}

async function readDirectory({ volume, superblock }: DirectoryReader, number: number): Promise<Inode | undefined> {
  const inode = await readInode(volume, superblock, number);
  return inode?.type === 'directory' ? inode : undefined;
}

function isDots(name: Buffer): boolean {
  return name.length <= 2 && name.every((byte) => byte === 0x2e);
}
