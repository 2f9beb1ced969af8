// Reads directories of ext2/3/4: all names in one, and its parent.
// Invariant: the blocks read for all directories of one inquiry are bounded by its budget; what cannot be read is skipped.

import { type Bytes, KiB } from '../../base/units.js';
import { readPossible, tryRead } from '../best-effort.js';
import { type MapReader, mappedRanges } from './block-map.js';
import { type DirectoryEntry, entriesIn, inlineEntries, inlineParent } from './directory-entries.js';
import type { Inode } from './inode.js';

const PIECE: Bytes = 256 * KiB;
const PARENT = Buffer.from('..');

export interface DirectoryReader extends MapReader {
  /** Blocks of directories that may still be read. */
  readonly content: { left: number };
}

/** Entries point into a buffer that the next step overwrites. */
export async function* directoryEntries(reader: DirectoryReader, directory: Inode): AsyncGenerator<DirectoryEntry> {
  if (directory.inline) {
    yield* inlineEntries(directory.raw);
    return;
  }
  for await (const block of directoryBlocks(reader, directory)) yield* entriesIn(block);
}

/** Number of the directory that `directory` lies in; undefined if that cannot be read. */
export async function parentOf(reader: DirectoryReader, directory: Inode): Promise<number | undefined> {
  if (directory.inline) return inlineParent(directory.raw);
  for await (const block of directoryBlocks(reader, directory)) {
    for (const { inode, name } of entriesIn(block)) if (name.equals(PARENT)) return inode;
    return undefined;
  }
  return undefined;
}

async function* directoryBlocks(reader: DirectoryReader, directory: Inode): AsyncGenerator<Buffer> {
  const { volume, superblock, content } = reader;
  const { blockSize } = superblock;
  const perPiece = PIECE / blockSize;
  for await (const { start, end, role } of mappedRanges(reader, directory)) {
    if (role === 'map') continue;
    for (let block = start; block < end; block += perPiece) {
      const count = Math.min(perPiece, end - block);
      content.left -= count;
      if (content.left < 0) return;
      const bytes = Buffer.allocUnsafe(count * blockSize);
      await readPossible(bytes, blockSize, (part, at) => tryRead(volume, part, block * blockSize + at));
      for (let at = 0; at < bytes.length; at += blockSize) yield bytes.subarray(at, at + blockSize);
    }
  }
}
