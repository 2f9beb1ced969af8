// Finds files and lists folders of a FAT by their paths, in any case of letters, as its own systems do.
// Invariant: a file is given out with all its clusters or not at all; no chain is followed further than there are clusters.
// Format: Microsoft "FAT: General Overview of On-Disk Format" 1.03.

import { FormatError } from '../../base/u64.js';
import { type Bytes, MiB } from '../../base/units.js';
import { extentEnd } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import type { FileExtent, FoundFile } from '../plugin.js';
import type { BootSector } from './boot-sector.js';
import { type NamedEntry, nameReader } from './long-names.js';
import { FIRST_CLUSTER, openTable, type Table } from './table.js';

/** 65536 entries of 32 bytes is what the format allows. */
const LONGEST_DIRECTORY: Bytes = 2 * MiB;

export interface FatFiles {
  /** Undefined: there is no such folder. Throws FormatError. */
  list(path: string): Promise<readonly string[] | undefined>;
  /** A regular file. Undefined: there is none. Throws FormatError. */
  find(path: string): Promise<FoundFile | undefined>;
}

interface Walk {
  readonly volume: Source;
  readonly boot: BootSector;
  readonly table: Table;
}

/** Throws FormatError if the table is too short. Directories that were read are remembered. */
export function openFatFiles(volume: Source, boot: BootSector): FatFiles {
  const walk = { volume, boot, table: openTable(volume, boot, boot.tablesInUse[0] ?? 0) };
  const known = new Map<number, Promise<readonly NamedEntry[]>>();
  const entriesOf = (firstCluster: number): Promise<readonly NamedEntry[]> => {
    const entries = known.get(firstCluster) ?? readEntries(walk, firstCluster);
    known.set(firstCluster, entries);
    return entries;
  };
  const root = { isDirectory: true, firstCluster: boot.rootCluster, size: 0 };
  const at = async (path: string): Promise<Pick<NamedEntry, 'isDirectory' | 'firstCluster' | 'size'> | undefined> => {
    let entry: Pick<NamedEntry, 'isDirectory' | 'firstCluster' | 'size'> = root;
    for (const part of path.split('/').filter((each) => each !== '')) {
      if (!entry.isDirectory) return undefined;
      const wanted = part.toUpperCase();
      const found = (await entriesOf(entry.firstCluster)).find(({ name }) => name.toUpperCase() === wanted);
      if (!found) return undefined;
      entry = found;
    }
    return entry;
  };
  return {
    async list(path) {
      const folder = await at(path);
      return folder?.isDirectory ? (await entriesOf(folder.firstCluster)).map(({ name }) => name) : undefined;
    },
    async find(path) {
      const file = await at(path);
      if (!file || file.isDirectory) return undefined;
      const { size, firstCluster } = file;
      const extents = size === 0 ? [] : await extentsOf(walk, firstCluster, size);
      return { size, owner: 0, permissions: 0, shared: false, extents };
    },
  };
}

async function readEntries(walk: Walk, firstCluster: number): Promise<readonly NamedEntry[]> {
  const { volume, boot } = walk;
  const reader = nameReader({ wide: boot.bits === 32 });
  const isFixedRoot = firstCluster === boot.rootCluster && boot.bits !== 32;
  const extents = isFixedRoot ? [boot.root] : await extentsOf(walk, firstCluster, undefined);
  const entries: NamedEntry[] = [];
  for (const { offset, length } of extents) {
    const bytes = Buffer.alloc(length);
    await volume.read(bytes, offset);
    entries.push(...reader.add(bytes));
    if (reader.ended) break;
  }
  return entries;
}

/** `size` undefined: a directory, whose length only its chain tells. */
async function extentsOf({ boot, table }: Walk, first: number, size: Bytes | undefined): Promise<FileExtent[]> {
  const { clusterSize, clusterCount, dataOffset } = boot;
  const most = Math.min(clusterCount, Math.ceil((size ?? LONGEST_DIRECTORY) / clusterSize));
  const extents: FileExtent[] = [];
  let cluster: number | 'end' | 'broken' = first;
  for (let index = 0; index < most; index += 1) {
    if (cluster === 'end' && size === undefined) return extents;
    if (typeof cluster !== 'number' || cluster < FIRST_CLUSTER || cluster >= clusterCount + FIRST_CLUSTER) {
      throw new FormatError(`the chain from cluster ${first} is broken`);
    }
    const offset: Bytes = dataOffset + (cluster - FIRST_CLUSTER) * clusterSize;
    const last = extents.at(-1);
    if (last && extentEnd(last) === offset) {
      extents[extents.length - 1] = { ...last, length: last.length + clusterSize };
    } else {
      extents.push({ position: index * clusterSize, offset, length: clusterSize, unwritten: false });
    }
    if (index + 1 < most || size === undefined) cluster = await table.next(cluster);
  }
  if (size === undefined && cluster !== 'end') throw new FormatError(`the directory at cluster ${first} does not end`);
  return extents;
}
