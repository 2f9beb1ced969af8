// Which FAT a volume of a size can have: the number of clusters decides between FAT12, FAT16 and FAT32.
// Invariant: what is chosen stays on its side of the limits, whatever the formatter adds for alignment.
// Format: Microsoft "FAT: General Overview of On-Disk Format" 1.03, "FAT Type Determination".

import { type Bytes, GiB, KiB } from '../../base/units.js';
import type { FatBits } from '../../filesystem/fat/boot-sector.js';

export interface FatGeometry {
  readonly bits: FatBits;
  readonly sectorsPerCluster: number;
  /** At least; the formatter's own number may be a little larger. */
  readonly clusterCount: number;
}

/** Clusters between which the type is certain for everybody; "off by a few" is common, so some are left out. */
const LIMITS = { 12: [1, 4084 - 16], 16: [4085 + 16, 65524 - 16], 32: [65525 + 16, 0x0ffffff4 - 16] } as const;
/** Larger ones are refused by Windows. */
const LARGEST_CLUSTER: Bytes = 32 * KiB;
const RESERVED = { 12: 1, 16: 1, 32: 32 } as const;
const ROOT_LENGTH: Bytes = 512 * 32;
const TABLES = 2;

/** The type it had if the size allows that, else FAT32 if that does, else what fits. Undefined: no FAT is so small or large. */
export function chooseGeometry(size: Bytes, sectorSize: Bytes, wanted: FatBits): FatGeometry | undefined {
  for (const bits of [wanted, 32, 16, 12] as const) {
    const found = clusterSizes(bits, size, sectorSize)
      .map((sectorsPerCluster) => fitting(bits, { size, sectorSize, sectorsPerCluster }))
      .find((geometry) => geometry !== undefined);
    if (found) return found;
  }
  return undefined;
}

/** In sectors, the preferred one first. FAT32 has the sizes that Windows chooses, and smaller ones if that is too few. */
function clusterSizes(bits: FatBits, size: Bytes, sectorSize: Bytes): number[] {
  const all: number[] = [];
  for (let sectors = 1; sectors * sectorSize <= LARGEST_CLUSTER; sectors *= 2) all.push(sectors);
  if (bits !== 32) return all;
  const usual = size <= 8 * GiB ? 4 * KiB : size <= 16 * GiB ? 8 * KiB : size <= 32 * GiB ? 16 * KiB : LARGEST_CLUSTER;
  return all.filter((sectors) => sectors * sectorSize <= usual).reverse();
}

function fitting(
  bits: FatBits,
  { size, sectorSize, sectorsPerCluster }: { size: Bytes; sectorSize: Bytes; sectorsPerCluster: number },
): FatGeometry | undefined {
  const sectors = Math.floor(size / sectorSize);
  const most = Math.floor(sectors / sectorsPerCluster);
  const tableSectors = Math.ceil(((most + 2) * bits) / 8 / sectorSize);
  const rootSectors = bits === 32 ? 0 : Math.ceil(ROOT_LENGTH / sectorSize);
  // Each area may be rounded up to whole clusters.
  const aligning = (2 + TABLES) * sectorsPerCluster;
  const data = sectors - RESERVED[bits] - TABLES * tableSectors - rootSectors - aligning;
  const clusterCount = Math.floor(data / sectorsPerCluster);
  const [least, limit] = LIMITS[bits];
  return clusterCount >= least && most <= limit ? { bits, sectorsPerCluster, clusterCount } : undefined;
}
