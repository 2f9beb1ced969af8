// Which partitions may change size, from what the table and the content say they are.
// Invariant: what is not known to be resizable keeps its size.
// Sources: UEFI 2.10 §5.3 and the Discoverable Partitions Specification for types; the manuals of resize2fs, ntfsresize,
// fatresize, xfs_growfs, btrfs and resize.f2fs for what can grow and shrink.

import type { FixedReason } from './types.js';

export interface Flexibility {
  readonly fixed: FixedReason | undefined;
  readonly growable: boolean;
  /** Where false, the minimum is the present size. */
  readonly shrinkable: boolean;
}

/** GPT types in upper case, MBR types as the table gives them. */
const FIXED_TYPES: Readonly<Record<string, FixedReason>> = {
  'C12A7328-F81F-11D2-BA4B-00A0C93EC93B': 'efi-system',
  '0xef': 'efi-system',
  '21686148-6449-6E6F-744E-656564454649': 'bios-boot',
  'BC13C2FF-59E6-4262-A352-B275FD6F7172': 'boot-loader', // XBOOTLDR
  '0xea': 'boot-loader', // XBOOTLDR
  '9E1A2D38-C612-4316-AA26-8B49521E5A8B': 'boot-loader', // PowerPC PReP
  '0x41': 'boot-loader', // PowerPC PReP
  'E3C9E316-0B5C-4DB8-817D-F92DF00215AE': 'microsoft-reserved',
  'DE94BBA4-06D1-4D40-A16A-BFD50179D6AC': 'recovery',
  '0x27': 'recovery',
  '5808C8AA-7E8F-42E0-85D2-E1E90434CFB3': 'foreign', // LDM metadata
  'AF9B60A0-1431-4F62-BC68-3311714A69AD': 'foreign', // LDM data
  '0x42': 'foreign', // LDM
  'E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D': 'foreign', // Storage Spaces
  'E6D6D379-F507-44C2-A23C-238F2A3DF928': 'foreign', // LVM
  '0x8e': 'foreign', // LVM
  'A19D880F-05FC-4D3B-A006-743F0F84911E': 'foreign', // RAID
  '0xfd': 'foreign', // RAID
  'CA7D7CCB-63ED-4C53-861C-1742536059CC': 'foreign', // LUKS
  '7FFEC5C9-2D00-49B7-8941-3EA10A5586B7': 'foreign', // dm-crypt
};

const BOTH = { fixed: undefined, growable: true, shrinkable: true } as const;
const GROWS = { fixed: undefined, growable: true, shrinkable: false } as const;
const NEITHER = { fixed: undefined, growable: false, shrinkable: false } as const;

/** By the names that blkid uses. `vfat` may be a FAT12, which no tool resizes. */
const CONTENT: Readonly<Record<string, Flexibility>> = {
  ext2: BOTH,
  ext3: BOTH,
  ext4: BOTH,
  ntfs: BOTH,
  btrfs: BOTH,
  f2fs: BOTH,
  swap: BOTH,
  fat16: BOTH,
  fat32: BOTH,
  xfs: GROWS,
  exfat: NEITHER,
  fat12: NEITHER,
  vfat: NEITHER,
};

/** Encryption, volume managers and RAID: what is in them would have to change first. */
const FOREIGN = ['crypto_LUKS', 'BitLocker', 'LVM2_member', 'linux_raid_member', 'zfs_member'];

/** `content` is the one kind that was recognised; undefined for nothing, or for several at once. */
export function flexibilityOf(type: string, content: string | undefined): Flexibility {
  const known = lookUp(FIXED_TYPES, type.startsWith('0x') ? type.toLowerCase() : type.toUpperCase());
  if (known) return fixed(known);
  if (content === undefined) return fixed('unrecognised');
  if (FOREIGN.includes(content)) return fixed('foreign');
  return lookUp(CONTENT, content) ?? fixed('unrecognised');
}

function lookUp<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

function fixed(reason: FixedReason): Flexibility {
  return { fixed: reason, growable: false, shrinkable: false };
}
