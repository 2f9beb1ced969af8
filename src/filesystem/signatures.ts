// Recognises what ectype copies whole, so that a plan can name it: encryption, RAID, volume managers, foreign systems.
// Invariant: a container owns its volume. What lies in it may look like a file system from its first byte on (RAID 1 with
// its superblock at the end), but that file system's own map does not cover the container.
// Formats: util-linux libblkid/src/superblocks; kernel include/uapi/linux/raid/md_p.h; LVM2 lib/format_text/layout.h.

import { rawCrc32 } from '../base/checksum.js';
import { type Bytes, KiB } from '../base/units.js';
import type { Extent } from '../map/extent.js';
import { readAround } from '../source/around.js';
import type { Source } from '../source/types.js';

export interface ForeignContent {
  /** As blkid calls it: `crypto_LUKS`, `LVM2_member`. */
  readonly kind: string;
  /** "a LUKS2 encrypted volume: its content cannot be seen" */
  readonly description: string;
  /** True: nothing else that is found on the volume counts. False: a file system that we do not know. */
  readonly isContainer: boolean;
}

const CONTENT_HIDDEN = 'its content cannot be seen';
const NO_PLUGIN = 'which of it is used cannot be told';

interface Rule extends ForeignContent {
  /** `head`: the volume's first 512 KiB, padded with zeros. */
  readonly matches: (head: Buffer) => boolean;
}

const HEAD_LENGTH: Bytes = 512 * KiB;

function container(kind: string, description: string, matches: Rule['matches']): Rule {
  return { kind, description, isContainer: true, matches };
}

function filesystem(kind: string, name: string, matches: Rule['matches']): Rule {
  return { kind, description: `${name}: ${NO_PLUGIN}`, isContainer: false, matches };
}

/** Containers first. */
const RULES: readonly Rule[] = [
  container('crypto_LUKS', `a LUKS1 encrypted volume: ${CONTENT_HIDDEN}`, (head) => isLuks(head, 1)),
  container('crypto_LUKS', `a LUKS2 encrypted volume: ${CONTENT_HIDDEN}`, (head) => isLuks(head, 2)),
  container('BitLocker', `a BitLocker encrypted volume: ${CONTENT_HIDDEN}`, isBitLocker),
  container('LVM2_member', `an LVM2 physical volume: ${NO_PLUGIN}`, isLvm2),
  container('linux_raid_member', raidMember('1.1'), (head) => isRaid1(head, 0, 0)),
  container('linux_raid_member', raidMember('1.2'), (head) => isRaid1(head, 4096, 4096)),
  container('zfs_member', `a member of a ZFS pool: ${NO_PLUGIN}`, isZfs),
  filesystem('ReFS', 'a ReFS file system', (head) => has(head, 3, 'ReFS\0')),
  filesystem('apfs', 'an APFS file system', (head) => has(head, 32, 'NXSB') && head.readUInt32LE(36) === 4096),
  filesystem('hfsplus', 'an HFS+ file system', isHfsPlus),
  filesystem('squashfs', 'a squashfs file system', (head) => has(head, 0, 'hsqs') && head.readUInt16LE(28) === 4),
  filesystem('iso9660', 'an ISO 9660 file system', (head) => has(head, 32769, 'CD001')),
];

/** What the volume's ends say. */
export interface SeenEnds {
  /** Undefined: nothing of this list. */
  readonly foreign: ForeignContent | undefined;
  /** Where a container may have its header, for all that can be read; ascending. */
  readonly hidden: readonly Extent[];
}

/** LUKS, BitLocker, LVM and the newer RAIDs begin here. The many labels of ZFS do not hide behind a few sectors. */
export const CONTAINER_HEADS: Bytes = 8 * KiB;

/** Reads the head and two blocks near the end, around their holes where the source can. */
export async function readForeignContent(volume: Source): Promise<SeenEnds> {
  const head = Buffer.alloc(HEAD_LENGTH);
  const holes = await readAround(volume, head.subarray(0, Math.min(HEAD_LENGTH, volume.size)), 0);
  const hidden = holes.filter(({ offset }) => offset < CONTAINER_HEADS);
  const found = RULES.find(({ matches }) => matches(head));
  if (found?.isContainer) return { foreign: plain(found), hidden };
  const { version, lost } = await raidAtEnd(volume);
  hidden.push(...lost);
  if (version === undefined) return { foreign: found && plain(found), hidden };
  return { foreign: { kind: 'linux_raid_member', description: raidMember(version), isContainer: true }, hidden };
}

function plain({ kind, description, isContainer }: ForeignContent): ForeignContent {
  return { kind, description, isContainer };
}

function has(head: Buffer, at: Bytes, text: string): boolean {
  return head.toString('latin1', at, at + text.length) === text;
}

function isLuks(head: Buffer, version: number): boolean {
  return has(head, 0, 'LUKS\xba\xbe') && head.readUInt16BE(6) === version;
}

const BITLOCKER_TO_GO = Buffer.from('3bd66749292ed84a8399f6a339e3d001', 'hex');

/** "To Go" hides behind a FAT32 boot sector. */
function isBitLocker(head: Buffer): boolean {
  return has(head, 3, '-FVE-FS-') || head.subarray(424, 424 + BITLOCKER_TO_GO.length).equals(BITLOCKER_TO_GO);
}

const LVM2 = { sectors: 4, sectorLength: 512, checksumSeed: 0xf597a6cf } as const;

/** A label in one of the first four sectors that names its own place, with a right checksum. */
function isLvm2(head: Buffer): boolean {
  for (let sector = 0; sector < LVM2.sectors; sector += 1) {
    const label = head.subarray(sector * LVM2.sectorLength, (sector + 1) * LVM2.sectorLength);
    if (!has(label, 0, 'LABELONE') || !has(label, 24, 'LVM2 001')) continue;
    if (label.readBigUInt64LE(8) !== BigInt(sector)) continue;
    if (label.readUInt32LE(16) === rawCrc32(LVM2.checksumSeed, label.subarray(20))) return true;
  }
  return false;
}

const ZFS = { labelLength: 256 * KiB, uberblocks: 128 * KiB, slot: KiB, slots: 128, enough: 4 } as const;
const ZFS_MAGICS = [0x00bab10cn, 0x0cb1ba0000000000n];

/** The labels at the end are not asked: they outlive the pool under a new file system. */
function isZfs(head: Buffer): boolean {
  let found = 0;
  for (const label of [0, ZFS.labelLength]) {
    for (let slot = 0; slot < ZFS.slots; slot += 1) {
      const magic = head.readBigUInt64LE(label + ZFS.uberblocks + slot * ZFS.slot);
      if (ZFS_MAGICS.includes(magic)) found += 1;
    }
  }
  return found >= ZFS.enough;
}

function isHfsPlus(head: Buffer): boolean {
  const signature = head.toString('latin1', 1024, 1026);
  const version = head.readUInt16BE(1026);
  if (!(signature === 'H+' && version === 4) && !(signature === 'HX' && version === 5)) return false;
  const blockSize = head.readUInt32BE(1024 + 40);
  return blockSize >= 512 && Number.isInteger(Math.log2(blockSize));
}

const RAID = { magic: 0xa92b4efc, superOffset: 144, blockLength: 4096 } as const;
/** The old superblock lies in the last but one whole 64 KiB. */
const RAID_0_90_UNIT: Bytes = 64 * KiB;

function raidMember(version: string): string {
  return `a member of a Linux RAID (md ${version}): its content belongs to the array`;
}

/** A version 1 superblock at `at` in `bytes` that says it lies at `place` of the volume. */
function isRaid1(bytes: Buffer, at: Bytes, place: Bytes): boolean {
  if (bytes.readUInt32LE(at) !== RAID.magic || bytes.readUInt32LE(at + 4) !== 1) return false;
  return bytes.readBigUInt64LE(at + RAID.superOffset) === BigInt(place / 512);
}

async function raidAtEnd(volume: Source): Promise<{ version: string | undefined; lost: Extent[] }> {
  const block = Buffer.alloc(RAID.blockLength);
  const lost: Extent[] = [];
  const isAt = async (offset: Bytes, matches: () => boolean): Promise<boolean> => {
    if (offset <= 0) return false;
    const holes = await readAround(volume, block, offset);
    if (holes.length > 0) lost.push({ offset, length: block.length });
    return matches();
  };
  const newer = Math.floor(volume.size / 4096) * 4096 - 2 * 4096;
  if (await isAt(newer, () => isRaid1(block, 0, newer))) return { version: '1.0', lost };
  const older = Math.floor(volume.size / RAID_0_90_UNIT) * RAID_0_90_UNIT - RAID_0_90_UNIT;
  if (await isAt(older, () => isRaid090(block, older))) return { version: '0.90', lost };
  return { version: undefined, lost };
}

/** In the byte order of the machine that made it. Its size, in KiB, must have room before it. */
function isRaid090(block: Buffer, place: Bytes): boolean {
  const bigEndian = block.readUInt32BE(0) === RAID.magic;
  if (!bigEndian && block.readUInt32LE(0) !== RAID.magic) return false;
  const read = (at: number): number => (bigEndian ? block.readUInt32BE(at) : block.readUInt32LE(at));
  return read(4) === 0 && read(8) >= 90 && read(32) * KiB <= place;
}
