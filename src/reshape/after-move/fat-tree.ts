// All files of a FAT volume, with what makes two volumes the same to their users: names, attributes, times, content.
// Invariant: nothing is left out silently. A chain that is broken, too short or goes in circles throws FormatError.

import { createHash } from 'node:crypto';
import { FormatError } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import type { BootSector } from '../../filesystem/fat/boot-sector.js';
import { type NamedEntry, nameReader } from '../../filesystem/fat/long-names.js';
import { FIRST_CLUSTER, openTable, type Table } from '../../filesystem/fat/table.js';
import type { Source } from '../../source/types.js';

export interface FatNode {
  /** From the root, "/EFI/BOOT"; as it is spelt. */
  readonly path: string;
  readonly isDirectory: boolean;
  readonly attributes: number;
  /** Date and time of the last write, as they lie there. */
  readonly written: number;
  /** 0 for directories. */
  readonly size: Bytes;
  /** SHA-256 of the content; empty for directories. */
  readonly digest: string;
}

/** Of a disk that has its files on a FAT; an EFI partition has dozens. */
const MOST_NODES = 2 ** 20;

interface Walk {
  readonly volume: Source;
  readonly boot: BootSector;
  readonly table: Table;
  /** Clusters that may still be visited: each belongs to one chain. */
  left: number;
}

/** Directories before what is in them, in the order in which they lie there. Throws FormatError. */
export async function readFatTree(volume: Source, boot: BootSector): Promise<readonly FatNode[]> {
  const table = openTable(volume, boot, boot.tablesInUse[0] ?? 0);
  const walk: Walk = { volume, boot, table, left: boot.clusterCount };
  const nodes: FatNode[] = [];
  const pending = [{ path: '', firstCluster: boot.rootCluster }];
  for (let folder = pending.shift(); folder; folder = pending.shift()) {
    for (const entry of await entriesOf(walk, folder)) {
      const path = `${folder.path}/${entry.name}`;
      if (nodes.length >= MOST_NODES) throw new FormatError(`there are more than ${MOST_NODES} files`);
      nodes.push(await nodeOf(walk, path, entry));
      if (entry.isDirectory) pending.push({ path, firstCluster: entry.firstCluster });
    }
  }
  return nodes;
}

async function nodeOf(walk: Walk, path: string, entry: NamedEntry): Promise<FatNode> {
  const { isDirectory, attributes, written } = entry;
  if (isDirectory) return { path, isDirectory, attributes, written, size: 0, digest: '' };
  const hash = createHash('sha256');
  let left = entry.size;
  if (left > 0) {
    for await (const bytes of clustersOf(walk, path, entry.firstCluster)) {
      hash.update(bytes.subarray(0, Math.min(left, bytes.length)));
      left -= Math.min(left, bytes.length);
    }
  }
  if (left > 0) throw new FormatError(`${path}: ${left} of its ${entry.size} bytes have no clusters`);
  return { path, isDirectory, attributes, written, size: entry.size, digest: hash.digest('hex') };
}

async function entriesOf(
  walk: Walk,
  { path, firstCluster }: { path: string; firstCluster: number },
): Promise<NamedEntry[]> {
  const { volume, boot } = walk;
  const reader = nameReader({ wide: boot.bits === 32 });
  const entries: NamedEntry[] = [];
  if (path === '' && boot.bits !== 32) {
    const bytes = Buffer.alloc(boot.root.length);
    await volume.read(bytes, boot.root.offset);
    return [...reader.add(bytes)];
  }
  for await (const bytes of clustersOf(walk, path, firstCluster)) {
    if (reader.ended) break;
    entries.push(...reader.add(bytes));
  }
  return entries;
}

/** The same memory each time. */
async function* clustersOf(walk: Walk, path: string, first: number): AsyncGenerator<Buffer> {
  const { volume, boot } = walk;
  const bytes = Buffer.alloc(boot.clusterSize);
  let cluster: number | 'end' | 'broken' = first;
  while (cluster !== 'end') {
    if (cluster === 'broken' || cluster < FIRST_CLUSTER || cluster >= boot.clusterCount + FIRST_CLUSTER)
      throw new FormatError(`${path}: its cluster chain is broken`);
    if (walk.left === 0) throw new FormatError(`${path}: its clusters belong to several files, or go in circles`);
    walk.left -= 1;
    await volume.read(bytes, boot.dataOffset + (cluster - FIRST_CLUSTER) * boot.clusterSize);
    yield bytes;
    cluster = await walk.table.next(cluster);
  }
}
