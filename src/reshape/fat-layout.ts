// Where tables and clusters of a FAT16 or FAT32 lie when it has another size. Pure arithmetic.
// Invariant: the tables never get smaller, and grow by whole clusters, so no cluster moves but for a reason.
// Format: Microsoft "FAT: General Overview of On-Disk Format" 1.03.

import type { Bytes } from '../base/units.js';
import type { BootSector } from '../filesystem/fat/boot-sector.js';

/** Fewer or more clusters make it another kind of FAT. */
const CLUSTERS = {
  16: { least: 4085, most: 65_524 },
  32: { least: 65_525, most: 0x0ffffff4 },
} as const;
const MOST_SECTORS = 2 ** 32 - 1;

export interface FatLayout {
  readonly totalSectors: number;
  /** Of one table. */
  readonly tableSectors: number;
  /** Where cluster 2 lies. */
  readonly dataOffset: Bytes;
  readonly clusterCount: number;
  /** Clusters at the front that the larger tables take over; all others get numbers that are smaller by this. */
  readonly swallowed: number;
}

/** The largest file system of this kind and cluster size in `size` bytes; undefined if it would be too small for it. */
export function layoutFor(boot: BootSector & { readonly bits: 16 | 32 }, size: Bytes): FatLayout | undefined {
  const { sectorSize, clusterSize, tableCount, bits } = boot;
  const clusterSectors = clusterSize / sectorSize;
  const step = clusterSectors / greatestCommonDivisor(clusterSectors, tableCount);
  const dataSector = boot.dataOffset / sectorSize;
  const available = Math.min(MOST_SECTORS, Math.floor(size / sectorSize));
  const fit = (added: number): FatLayout => {
    const start = dataSector + added * tableCount;
    const clusterCount = Math.min(CLUSTERS[bits].most, Math.floor((available - start) / clusterSectors));
    return {
      totalSectors: Math.min(available, start + (clusterCount + 1) * clusterSectors - 1),
      tableSectors: boot.tableSize / sectorSize + added,
      dataOffset: start * sectorSize,
      clusterCount,
      swallowed: (added * tableCount) / clusterSectors,
    };
  };
  let added = 0;
  let layout = fit(added);
  while (sectorsNeeded(layout.clusterCount, boot) > layout.tableSectors) {
    const missing = sectorsNeeded(layout.clusterCount, boot) - layout.tableSectors;
    // Larger tables leave fewer clusters, so what is missing now may be a little too much: a step at a time near the end.
    added += Math.max(1, Math.floor(missing / step / 2)) * step;
    layout = fit(added);
  }
  return layout.clusterCount >= leastClusters(boot) ? layout : undefined;
}

/** Some FAT32 have fewer clusters than Microsoft allows, and work: they may go on. */
export function leastClusters({ bits, clusterCount }: BootSector & { readonly bits: 16 | 32 }): number {
  const { least } = CLUSTERS[bits];
  return clusterCount < least ? 1 : least;
}

/** The smallest size in which `clusterCount` clusters fit behind the present tables. */
export function sizeFor({ dataOffset, clusterSize }: BootSector, clusterCount: number): Bytes {
  return dataOffset + clusterCount * clusterSize;
}

function sectorsNeeded(clusterCount: number, { bits, sectorSize }: BootSector): number {
  return Math.ceil(((clusterCount + 2) * bits) / 8 / sectorSize);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
