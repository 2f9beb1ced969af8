// Reads directories piece by piece, and the root directory for the label and the bitmaps.
// Invariant: a directory is read at most to its end mark, its length or the specification's limit of 256 MiB.

import { FormatError } from '../../base/u64.js';
import { type Bytes, KiB, MiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { type BootSector, clusterOffset, isCluster } from './boot-sector.js';
import { type DirectoryContent, directoryParser, type Stretch } from './directory.js';
import { openTable, type Table } from './table.js';

const PIECE: Bytes = 64 * KiB;
const MAX_DIRECTORY: Bytes = 256 * MiB;

export interface ReadDirectoryOptions {
  readonly boot: BootSector;
  readonly table: Table;
  /** The root directory's length is not written anywhere: `Infinity`. */
  readonly stretch: Stretch;
  /** Called for each cluster before it is read; false: it must not be read again. */
  readonly mayVisit: (cluster: number) => boolean;
  readonly onPiece?: (bytes: Buffer) => void;
}

/** Throws FormatError if the directory cannot be followed to its end. */
export async function readDirectory(volume: Source, options: ReadDirectoryOptions): Promise<DirectoryContent> {
  const { boot, table, stretch, mayVisit, onPiece } = options;
  const parser = directoryParser();
  const piece = Buffer.alloc(Math.min(PIECE, boot.clusterSize));
  let left = stretch.length;
  if (left > MAX_DIRECTORY && left !== Number.POSITIVE_INFINITY) throw new FormatError('a directory is too long');
  let cluster: number | 'end' | 'broken' = stretch.firstCluster;
  while (left > 0 && cluster !== 'end') {
    if (cluster === 'broken' || !isCluster(boot, cluster)) throw new FormatError('a directory leads nowhere');
    if (!mayVisit(cluster)) throw new FormatError('a directory is reached twice, or there are too many');
    for (let done = 0; done < boot.clusterSize && !parser.content.ended; done += piece.length) {
      await volume.read(piece, clusterOffset(boot, cluster) + done);
      onPiece?.(piece);
      parser.add(piece);
    }
    if (parser.content.ended) break;
    left -= boot.clusterSize;
    if (left > 0) cluster = stretch.solid ? cluster + 1 : await table.next(cluster);
  }
  if (left > 0 && cluster === 'end' && stretch.length !== Number.POSITIVE_INFINITY) {
    throw new FormatError('a directory is shorter than its entry says');
  }
  return parser.content;
}

/** The root directory has no entry of its own. */
export function rootStretch(boot: BootSector): Stretch {
  return { firstCluster: boot.rootCluster, length: Number.POSITIVE_INFINITY, solid: false };
}

/** By the FAT `number`. Throws FormatError if it cannot be followed. */
export async function readRoot(volume: Source, boot: BootSector, number: number): Promise<DirectoryContent> {
  if (boot.span > volume.size) throw new FormatError('the file system is larger than its volume');
  const visited = new Set<number>();
  return readDirectory(volume, {
    boot,
    table: openTable(volume, boot, number),
    stretch: rootStretch(boot),
    mayVisit: (cluster) => {
      if (visited.has(cluster) || visited.size * boot.clusterSize >= MAX_DIRECTORY) return false;
      visited.add(cluster);
      return true;
    },
  });
}
