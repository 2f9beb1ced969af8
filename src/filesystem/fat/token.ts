// A digest of what every writing mount of a FAT volume changes: boot sector, tables and all directories.
// Invariant: if a directory cannot be followed to its end, all used clusters are digested instead: slow, but nothing
// escapes. An overwrite in place shows by its file's time stamp (two seconds fine) in the directory.

import { DigestStream } from '../../base/digest.js';
import { FormatError } from '../../base/u64.js';
import { type Bytes, MiB } from '../../base/units.js';
import type { Extent } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import { openFatAllocationMap } from './allocation-map.js';
import type { BootSector } from './boot-sector.js';
import { parseDirectory } from './directory.js';
import { FIRST_CLUSTER, openTable, type Table } from './table.js';

const PIECE: Bytes = MiB;
/** Clusters of directories; more are damage, or a volume whose directories are its content. */
const MAX_DIRECTORY_CLUSTERS = 2 ** 20;

/** 16 bytes. Throws FormatError if the metadata contradicts itself: such a volume has no token. */
export async function fatToken(volume: Source, boot: BootSector): Promise<Buffer> {
  if (boot.span > volume.size) throw new FormatError('the file system is larger than its volume');
  const digest = new DigestStream();
  await addExtent(digest, volume, { offset: 0, length: boot.dataOffset });
  for (const number of boot.tablesInUse) {
    if (await addDirectories(digest, { volume, boot, table: openTable(volume, boot, number) })) continue;
    await addUsed(digest, volume, boot);
    break;
  }
  return digest.finish();
}

interface Walk {
  readonly volume: Source;
  readonly boot: BootSector;
  readonly table: Table;
}

/** False if the tree is damaged: some directory may have been missed. */
async function addDirectories(digest: DigestStream, walk: Walk): Promise<boolean> {
  const { boot, volume } = walk;
  const visited = new Set<number>();
  const pending: number[] = [];
  if (boot.bits === 32) {
    pending.push(boot.rootCluster);
  } else {
    const root = Buffer.alloc(boot.root.length);
    await volume.read(root, boot.root.offset);
    pending.push(...parseDirectory(root, { wide: false }).subdirectories);
  }
  for (let first = pending.pop(); first !== undefined; first = pending.pop()) {
    const subdirectories = await addChain(digest, walk, { first, visited });
    if (!subdirectories) return false;
    for (const subdirectory of subdirectories) pending.push(subdirectory);
    if (pending.length > MAX_DIRECTORY_CLUSTERS) return false;
  }
  return true;
}

/** Digests one directory and returns its subdirectories; undefined if its chain is damaged. */
async function addChain(
  digest: DigestStream,
  { volume, boot, table }: Walk,
  { first, visited }: { first: number; visited: Set<number> },
): Promise<number[] | undefined> {
  const found: number[] = [];
  const bytes = Buffer.alloc(boot.clusterSize);
  let ended = false;
  let cluster: number | 'end' | 'broken' = first;
  while (typeof cluster === 'number') {
    if (cluster < FIRST_CLUSTER || cluster >= boot.clusterCount + FIRST_CLUSTER) return undefined;
    if (visited.has(cluster) || visited.size >= MAX_DIRECTORY_CLUSTERS) return undefined;
    visited.add(cluster);
    await volume.read(bytes, boot.dataOffset + (cluster - FIRST_CLUSTER) * boot.clusterSize);
    digest.add(bytes);
    const piece = parseDirectory(bytes, { wide: boot.bits === 32 });
    if (!ended) found.push(...piece.subdirectories);
    ended ||= piece.ended;
    cluster = await table.next(cluster);
  }
  return cluster === 'end' ? found : undefined;
}

async function addUsed(digest: DigestStream, volume: Source, boot: BootSector): Promise<void> {
  const map = await openFatAllocationMap(volume, boot);
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
