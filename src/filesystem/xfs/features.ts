// Feature flags of XFS superblocks, versions 4 and 5, and which of them this code understands.
// Invariant: a flag that is not in a `KNOWN_` mask may change what the free space btrees mean; its volume is not
// interpreted. Compatible features and those of the log (which must be clean anyway) never do.
// Source: "XFS Algorithms & Data Structures", superblocks; kernel fs/xfs/libxfs/xfs_format.h.

/** Feature bits beside the version number itself. */
export const Version = {
  ATTR: 0x10,
  NLINK: 0x20,
  QUOTA: 0x40,
  ALIGN: 0x80,
  STRIPE_ALIGN: 0x100,
  LOG_V2: 0x400,
  SECTOR: 0x800,
  UNWRITTEN: 0x1000,
  DIRECTORY_V2: 0x2000,
  CASE_INSENSITIVE: 0x4000,
  MORE: 0x8000,
} as const;

/** The second word of version 4, valid if `Version.MORE` is set. */
export const Features2 = {
  LAZY_COUNTERS: 0x2,
  ATTR2: 0x8,
  PROJECT_ID_32: 0x80,
  CHECKSUMS: 0x100,
  FILE_TYPE: 0x200,
} as const;

/** Features without which version 5 cannot be written. */
export const RoCompat = {
  FREE_INODE_TREE: 0x1,
  REVERSE_MAP: 0x2,
  REFLINK: 0x4,
  INODE_TREE_COUNTS: 0x8,
} as const;

/** Features without which version 5 cannot be read. */
export const Incompat = {
  FILE_TYPE: 0x1,
  SPARSE_INODES: 0x2,
  METADATA_UUID: 0x4,
  BIG_TIME: 0x8,
  NEEDS_REPAIR: 0x10,
  LARGE_EXTENT_COUNTS: 0x20,
  EXCHANGE_RANGE: 0x40,
  PARENT_POINTERS: 0x80,
} as const;

const VERSION_NUMBER = 0xf;
const KNOWN_VERSION = maskOf(Version) | VERSION_NUMBER;
const KNOWN_FEATURES2 = maskOf(Features2);
const KNOWN_RO_COMPAT = maskOf(RoCompat);
const KNOWN_INCOMPAT = maskOf(Incompat);

/** The words of flags, as they lie in the superblock; those of the other version are 0. */
export interface Features {
  /** 4 or 5 if it is any that anyone uses today. */
  readonly version: number;
  readonly versionFlags: number;
  readonly features2: number;
  readonly roCompat: number;
  readonly incompat: number;
}

/** Names what is not understood; undefined if all is. */
export function unknownFeatures({
  version,
  versionFlags,
  features2,
  roCompat,
  incompat,
}: Features): string | undefined {
  if (version !== 4 && version !== 5) return `version ${version}`;
  const words = [
    { name: 'version', strange: versionFlags & ~KNOWN_VERSION },
    { name: 'features2', strange: features2 & ~KNOWN_FEATURES2 },
    { name: 'ro_compat', strange: roCompat & ~KNOWN_RO_COMPAT },
    { name: 'incompat', strange: incompat & ~KNOWN_INCOMPAT },
  ];
  const named = words
    .filter(({ strange }) => strange !== 0)
    .map(({ name, strange }) => `${name} 0x${(strange >>> 0).toString(16)}`);
  return named.length === 0 ? undefined : named.join(', ');
}

/** Without lazy counters (very old file systems) allocation groups do not count the blocks of their btrees. */
export function hasLazyCounters({ features2 }: Features): boolean {
  return (features2 & Features2.LAZY_COUNTERS) !== 0;
}

function maskOf(flags: Readonly<Record<string, number>>): number {
  return Object.values(flags).reduce((mask, flag) => mask | flag, 0);
}
