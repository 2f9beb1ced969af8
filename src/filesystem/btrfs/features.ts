// Feature and state flags of btrfs superblocks and which of them this code understands.
// Invariant: a flag that is not known may change where extents are recorded or lie; its volume is not interpreted.
// Source: kernel include/uapi/linux/btrfs.h (BTRFS_FEATURE_*), btrfs_tree.h (BTRFS_SUPER_FLAG_*), btrfs-progs ctree.h.

/** Features without which a file system cannot be read. */
const INCOMPAT = {
  MIXED_BACKREF: 1n << 0n,
  DEFAULT_SUBVOL: 1n << 1n,
  MIXED_GROUPS: 1n << 2n,
  COMPRESS_LZO: 1n << 3n,
  COMPRESS_ZSTD: 1n << 4n,
  BIG_METADATA: 1n << 5n,
  EXTENDED_IREF: 1n << 6n,
  RAID56: 1n << 7n,
  SKINNY_METADATA: 1n << 8n,
  NO_HOLES: 1n << 9n,
  METADATA_UUID: 1n << 10n,
  RAID1C34: 1n << 11n,
  SIMPLE_QUOTA: 1n << 16n,
} as const;

/** Features without which a file system can be read, not written. */
const COMPAT_RO = {
  FREE_SPACE_TREE: 1n << 0n,
  FREE_SPACE_TREE_VALID: 1n << 1n,
  VERITY: 1n << 2n,
  BLOCK_GROUP_TREE: 1n << 3n,
} as const;

const SUPER_FLAG = {
  WRITTEN: 1n << 0n,
  RELOC: 1n << 1n,
  ERROR: 1n << 2n,
  SEEDING: 1n << 32n,
} as const;

/** Known by name, but they change how blocks are found. */
const NAMED_INCOMPAT: readonly (readonly [bigint, string])[] = [
  [1n << 12n, 'zoned'],
  [1n << 13n, 'extent-tree-v2'],
  [1n << 14n, 'raid-stripe-tree'],
];

/** A tool was changing it in place and was interrupted. */
const HALF_CHANGED: readonly (readonly [bigint, string])[] = [
  [1n << 35n, 'UUID'],
  [1n << 36n, 'UUID'],
  [1n << 38n, 'block group tree'],
  [1n << 39n, 'data checksums'],
  [1n << 40n, 'metadata checksums'],
];

const LAST_CHECKSUM_TYPE = 3;

/** As they lie in the superblock. */
export interface Features {
  readonly compatRo: bigint;
  readonly incompat: bigint;
  readonly flags: bigint;
  readonly checksumType: number;
}

export function hasMetadataUuid({ incompat }: Pick<Features, 'incompat'>): boolean {
  return (incompat & INCOMPAT.METADATA_UUID) !== 0n;
}

export function hasBlockGroupTree({ compatRo }: Features): boolean {
  return (compatRo & COMPAT_RO.BLOCK_GROUP_TREE) !== 0n;
}

export function hasErrors({ flags }: Features): boolean {
  return (flags & SUPER_FLAG.ERROR) !== 0n;
}

/** What a tool was changing when it was interrupted; undefined if nothing. */
export function halfChanged({ flags }: Features): string | undefined {
  return HALF_CHANGED.find(([flag]) => (flags & flag) !== 0n)?.[1];
}

/** Names what is not understood; undefined if everything is. */
export function unknownFeatures({ compatRo, incompat, flags, checksumType }: Features): string | undefined {
  const strange = NAMED_INCOMPAT.filter(([flag]) => (incompat & flag) !== 0n).map(([, name]) => name);
  const add = (name: string, value: bigint): void => {
    if (value !== 0n) strange.push(`${name} 0x${value.toString(16)}`);
  };
  add('incompat', incompat & ~maskOf([...Object.values(INCOMPAT), ...NAMED_INCOMPAT.map(([flag]) => flag)]));
  add('compat_ro', compatRo & ~maskOf(Object.values(COMPAT_RO)));
  add('flags', flags & ~maskOf([...Object.values(SUPER_FLAG), ...HALF_CHANGED.map(([flag]) => flag)]));
  if (checksumType > LAST_CHECKSUM_TYPE) strange.push(`checksum type ${checksumType}`);
  return strange.length === 0 ? undefined : strange.join(', ');
}

function maskOf(flags: readonly bigint[]): bigint {
  return flags.reduce((mask, flag) => mask | flag, 0n);
}
