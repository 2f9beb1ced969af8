// A digest of what every writing mount of an exFAT volume changes: boot regions, FAT, bitmap and all directories.
// Invariant: if a directory cannot be followed to its end, all used clusters are digested instead: slow, but nothing
// escapes. An overwrite in place shows by its file's time stamp in the directory (10 ms fine, in FUSE a second).

import { DigestStream } from '../../base/digest.js';
import { FormatError } from '../../base/u64.js';
import { type Bytes, MiB } from '../../base/units.js';
import type { Extent } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import { openBitmaps, openExfatAllocationMap } from './allocation-map.js';
import type { BootSector } from './boot-sector.js';
import { readDirectory, rootStretch } from './root-directory.js';
import { openTable } from './table.js';

const PIECE: Bytes = MiB;
/** Clusters of directories; more are damage, or a volume whose directories are its content. */
const MAX_DIRECTORY_CLUSTERS = 2 ** 20;

/** 16 bytes. Throws FormatError if the metadata contradicts itself: such a volume has no token. */
export async function exfatToken(volume: Source, boot: BootSector): Promise<Buffer> {
  const bitmaps = await openBitmaps(volume, boot);
  const digest = new DigestStream();
  await addExtent(digest, volume, { offset: 0, length: boot.heapOffset });
  for (const { extents } of bitmaps) for (const extent of extents) await addExtent(digest, volume, extent);
  try {
    for (const number of boot.tablesInUse) await addDirectories(digest, volume, { boot, number });
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    await addUsed(digest, volume, boot);
  }
  return digest.finish();
}

/** Throws FormatError if the tree is damaged: some directory may have been missed. */
async function addDirectories(
  digest: DigestStream,
  volume: Source,
  { boot, number }: { boot: BootSector; number: number },
): Promise<void> {
  const table = openTable(volume, boot, number);
  const visited = new Set<number>();
  const mayVisit = (cluster: number): boolean => {
    if (visited.has(cluster) || visited.size >= MAX_DIRECTORY_CLUSTERS) return false;
    visited.add(cluster);
    return true;
  };
  const pending = [rootStretch(boot)];
  for (let stretch = pending.pop(); stretch; stretch = pending.pop()) {
    const { subdirectories } = await readDirectory(volume, {
      boot,
      table,
      stretch,
      mayVisit,
      onPiece: (bytes) => digest.add(bytes),
    });
    for (const subdirectory of subdirectories) pending.push(subdirectory);
    if (pending.length > MAX_DIRECTORY_CLUSTERS) throw new FormatError('too many directories');
  }
}

async function addUsed(digest: DigestStream, volume: Source, boot: BootSector): Promise<void> {
  const map = await openExfatAllocationMap(volume, boot);
  for await (const extent of map.usedExtents({ offset: 0, length: boot.span })) {
    await addExtent(digest, volume, extent);
  }
}

async function addExtent(digest: DigestStream, volume: Source, { offset, length }: Extent): Promise<void> {
  const piece = Buffer.alloc(Math.min(PIECE, length));
  for (let done = 0; done < length; done += PIECE) {
    const part = piece.subarray(0, Math.min(PIECE, length - done));
    await volume.read(part, offset + done);
    digest.add(part);
  }
}
