// Feature flags of ext2/3/4 superblocks and which of them this code understands.
// Invariant: a flag that is not in a `KNOWN_` mask may change what the block bitmaps mean; its volume is not interpreted.
// Source: kernel Documentation/filesystems/ext4/super.rst; Lustre's dirdata (directory entries only) from e2fsprogs.

/** Features that old code may ignore and still write. */
export const Compat = {
  HAS_JOURNAL: 0x4,
  SPARSE_SUPER2: 0x200,
  ORPHAN_FILE: 0x1000,
} as const;

/** Features without which a file system cannot be read. */
export const Incompat = {
  FILETYPE: 0x2,
  RECOVER: 0x4,
  JOURNAL_DEV: 0x8,
  META_BG: 0x10,
  EXTENTS: 0x40,
  SIXTY_FOUR_BIT: 0x80,
  MMP: 0x100,
  FLEX_BG: 0x200,
  EA_INODE: 0x400,
  DIRDATA: 0x1000,
  CSUM_SEED: 0x2000,
  LARGEDIR: 0x4000,
  INLINE_DATA: 0x8000,
  ENCRYPT: 0x10000,
  CASEFOLD: 0x20000,
} as const;

/** Features without which a file system can be read, not written. */
export const RoCompat = {
  SPARSE_SUPER: 0x1,
  LARGE_FILE: 0x2,
  BTREE_DIR: 0x4,
  HUGE_FILE: 0x8,
  GDT_CSUM: 0x10,
  DIR_NLINK: 0x20,
  EXTRA_ISIZE: 0x40,
  QUOTA: 0x100,
  BIGALLOC: 0x200,
  METADATA_CSUM: 0x400,
  READONLY: 0x1000,
  PROJECT: 0x2000,
  SHARED_BLOCKS: 0x4000,
  VERITY: 0x8000,
  ORPHAN_PRESENT: 0x10000,
} as const;

const KNOWN_INCOMPAT = maskOf(Incompat) & ~Incompat.JOURNAL_DEV;
const KNOWN_RO_COMPAT = maskOf(RoCompat);

const EXT2_INCOMPAT = Incompat.FILETYPE | Incompat.META_BG;
const EXT3_INCOMPAT = EXT2_INCOMPAT | Incompat.RECOVER;
const EXT3_RO_COMPAT = RoCompat.SPARSE_SUPER | RoCompat.LARGE_FILE | RoCompat.BTREE_DIR;

/** The three words of flags, as they lie in the superblock. */
export interface Features {
  readonly compat: number;
  readonly incompat: number;
  readonly roCompat: number;
}

/** ext2, ext3 or ext4, as blkid tells them apart: by the oldest driver that understands all flags. */
export function kindOf({ compat, incompat, roCompat }: Features): 'ext2' | 'ext3' | 'ext4' {
  if ((roCompat & ~EXT3_RO_COMPAT) !== 0 || (incompat & ~EXT3_INCOMPAT) !== 0) return 'ext4';
  if ((compat & Compat.HAS_JOURNAL) !== 0) return 'ext3';
  return (incompat & Incompat.RECOVER) === 0 ? 'ext2' : 'ext4';
}

/** Names the flags that are not understood; undefined if all are. */
export function unknownFeatures({ incompat, roCompat }: Features): string | undefined {
  const strange: string[] = [];
  const strangeIncompat = (incompat & ~KNOWN_INCOMPAT) >>> 0;
  const strangeRoCompat = (roCompat & ~KNOWN_RO_COMPAT) >>> 0;
  if (strangeIncompat !== 0) strange.push(`incompat 0x${strangeIncompat.toString(16)}`);
  if (strangeRoCompat !== 0) strange.push(`ro_compat 0x${strangeRoCompat.toString(16)}`);
  return strange.length === 0 ? undefined : strange.join(', ');
}

function maskOf(flags: Readonly<Record<string, number>>): number {
  return Object.values(flags).reduce((mask, flag) => mask | flag, 0);
}
