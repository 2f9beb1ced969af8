// Rewrites the cluster numbers in all directories of a FAT16 or FAT32.
// Invariant: an entry's first cluster is all that changes; each directory is visited once, whatever its entries say.
// Format: Microsoft "FAT: General Overview of On-Disk Format" 1.03, "FAT Directory Structure".

import { FormatError } from '../base/u64.js';
import type { Bytes } from '../base/units.js';
import type { BootSector } from '../filesystem/fat/boot-sector.js';
import { FIRST_CLUSTER } from '../filesystem/fat/table.js';
import type { Target } from '../source/types.js';
import { chainOf, type FatTable } from './fat-table.js';

const ENTRY_LENGTH: Bytes = 32;
const AT = { name: 0, attributes: 11, clusterHigh: 20, clusterLow: 26 } as const;
const END = 0x00;
const DELETED = 0xe5;
const DOT = 0x2e;
const VOLUME_LABEL = 0x08;
const DIRECTORY = 0x10;

export interface DirectoryWalk {
  /** Still with the old numbers. */
  readonly table: FatTable;
  readonly boot: BootSector;
  /** Where the content of an old cluster lies by now. */
  readonly offsetOf: (cluster: number) => Bytes;
  readonly numberOf: (cluster: number) => number;
}

/** The root of FAT16 is `root`, changed in place; that of FAT32 lies in clusters. Throws FormatError. */
export async function rewriteDirectories(view: Target, walk: DirectoryWalk, root: Buffer): Promise<void> {
  const { table, boot } = walk;
  const seen = new Set<number>();
  const waiting: number[] = [];
  const enter = (clusters: readonly number[]): void => {
    for (const cluster of clusters) {
      if (seen.has(cluster)) throw new FormatError(`two directories begin at cluster ${cluster}`);
      seen.add(cluster);
      waiting.push(cluster);
    }
  };
  if (boot.bits === 32) enter([boot.rootCluster]);
  else enter(rewriteEntries(root, walk).subdirectories);
  for (let first = waiting.pop(); first !== undefined; first = waiting.pop()) {
    for (const cluster of chainOf(table, first)) {
      const bytes = Buffer.alloc(boot.clusterSize);
      const offset = walk.offsetOf(cluster);
      await view.read(bytes, offset);
      const before = Buffer.from(bytes);
      const { subdirectories, ended } = rewriteEntries(bytes, walk);
      if (!bytes.equals(before)) await view.write(bytes, offset);
      enter(subdirectories);
      if (ended) break;
    }
  }
}

/** Returns the first clusters (old numbers) of the directories below. */
function rewriteEntries(
  bytes: Buffer,
  { boot, numberOf }: DirectoryWalk,
): { subdirectories: readonly number[]; ended: boolean } {
  const isWide = boot.bits === 32;
  const subdirectories: number[] = [];
  for (let at = 0; at + ENTRY_LENGTH <= bytes.length; at += ENTRY_LENGTH) {
    const first = bytes.readUInt8(at + AT.name);
    if (first === END) return { subdirectories, ended: true };
    const attributes = bytes.readUInt8(at + AT.attributes);
    // Long names and labels bear the label's bit, and no cluster.
    if (first === DELETED || (attributes & VOLUME_LABEL) !== 0) continue;
    const high = isWide ? bytes.readUInt16LE(at + AT.clusterHigh) * 2 ** 16 : 0;
    const cluster = high + bytes.readUInt16LE(at + AT.clusterLow);
    if (cluster < FIRST_CLUSTER) continue; // an empty file, or ".." of a directory in the root
    const number = numberOf(cluster);
    bytes.writeUInt16LE(number & 0xffff, at + AT.clusterLow);
    if (isWide) bytes.writeUInt16LE(number >>> 16, at + AT.clusterHigh);
    if ((attributes & DIRECTORY) !== 0 && first !== DOT) subdirectories.push(cluster);
  }
  return { subdirectories, ended: false };
}
