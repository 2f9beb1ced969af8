// New IDs where they are nothing but bytes of a header: FAT, exFAT, NTFS, swap, F2FS.
// Invariant: reads the volume, returns patches; a copy of the header is changed only if it bears the same ID.
// Format: as in filesystem/*, with its sources; F2FS superblock: kernel include/linux/f2fs_fs.h.

import { rawCrc32 } from '../../base/checksum.js';
import { newIdUnsupported } from '../../base/errors/identity.js';
import { FormatError } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import {
  BOOT_SECTOR_LENGTH,
  bootRegionChecksum,
  bootRegionLength,
  isBootRegionWhole,
  parseBootSector as parseExfat,
} from '../../filesystem/exfat/boot-sector.js';
import {
  BLOCK,
  MAGIC,
  parseSuperblock,
  SUPERBLOCK_LENGTH,
  SUPERBLOCK_OFFSET,
} from '../../filesystem/f2fs/superblock.js';
import { parseBootSector as parseFat } from '../../filesystem/fat/boot-sector.js';
import { parseBootSector as parseNtfs } from '../../filesystem/ntfs/boot-sector.js';
import { HEADER_LENGTH, parseSwapHeader } from '../../filesystem/swap/header.js';
import type { Patch } from '../../source/patched.js';
import type { Source } from '../../source/types.js';
import { idBytes } from './id-forms.js';

const AT = {
  fat: { 12: 0x27, 16: 0x27, 32: 0x43 },
  fatReserved: 0x0e,
  fatBackup: 0x32,
  exfat: 100,
  ntfs: 0x48,
  swap: 1036,
  f2fs: { checksumOffset: 32, uuid: 108, features: 2180 },
} as const;

type Patcher = (volume: Source, id: Buffer) => Promise<readonly Patch[]>;

const PATCHERS: Readonly<Record<string, Patcher>> = {
  fat12: fatPatches,
  fat16: fatPatches,
  fat32: fatPatches,
  exfat: exfatPatches,
  ntfs: ntfsPatches,
  swap: swapPatches,
  f2fs: f2fsPatches,
};

/** Undefined: it takes more than patches. Throws FormatError if the volume is not of that kind. */
export async function idPatches(volume: Source, kind: string, newId: string): Promise<readonly Patch[] | undefined> {
  return Object.hasOwn(PATCHERS, kind) ? PATCHERS[kind]?.(volume, idBytes(newId)) : undefined;
}

async function fatPatches(volume: Source, id: Buffer): Promise<readonly Patch[]> {
  const main = await readAt(volume, 0, BOOT_SECTOR_LENGTH);
  const boot = parseFat(main);
  if (!boot || boot.serial === '') throw new FormatError('no FAT with a serial number');
  const at = AT.fat[boot.bits];
  const copy = boot.bits === 32 ? main.readUInt16LE(AT.fatBackup) : 0;
  const places: Bytes[] = [0];
  if (copy > 0 && copy < main.readUInt16LE(AT.fatReserved)) places.push(copy * boot.sectorSize);
  return patchesAt(volume, { places, at, id, isSame: (bytes) => parseFat(bytes)?.serial === boot.serial });
}

async function exfatPatches(volume: Source, id: Buffer): Promise<readonly Patch[]> {
  const boot = parseExfat(await readAt(volume, 0, BOOT_SECTOR_LENGTH));
  if (!boot) throw new FormatError('no exFAT boot sector');
  const length = bootRegionLength(boot);
  const patches: Patch[] = [];
  for (const offset of [0, length]) {
    const region = await readAt(volume, offset, length);
    if (!isBootRegionWhole(region, boot.sectorSize) || parseExfat(region)?.serial !== boot.serial) continue;
    id.copy(region, AT.exfat);
    const sealed = length - boot.sectorSize;
    const sum = bootRegionChecksum(region, boot.sectorSize);
    for (let at = sealed; at < length; at += 4) region.writeUInt32LE(sum, at);
    patches.push({ offset: offset + AT.exfat, bytes: id }, { offset: offset + sealed, bytes: region.subarray(sealed) });
  }
  return patches;
}

/** The backup lies behind the last cluster, or in the last sector of the partition; tools differ, and some write both. */
async function ntfsPatches(volume: Source, id: Buffer): Promise<readonly Patch[]> {
  const boot = parseNtfs(await readAt(volume, 0, BOOT_SECTOR_LENGTH));
  if (!boot) throw new FormatError('no NTFS boot sector');
  const { sectorSize, totalSectors, serial, clusterSize } = boot;
  const places = [0];
  // What remains of a partition is less than a cluster and a sector; a view that shrank is longer than its partition.
  const behind = Math.min(clusterSize / sectorSize + 1, Math.floor(volume.size / sectorSize) - totalSectors);
  for (let index = 0; index < behind; index += 1) places.push((totalSectors + index) * sectorSize);
  const last = (Math.floor(volume.size / sectorSize) - 1) * sectorSize;
  if (!places.includes(last)) places.push(last);
  return patchesAt(volume, { places, at: AT.ntfs, id, isSame: (bytes) => parseNtfs(bytes)?.serial === serial });
}

async function swapPatches(volume: Source, id: Buffer): Promise<readonly Patch[]> {
  const header = parseSwapHeader(await readAt(volume, 0, Math.min(HEADER_LENGTH, volume.size)));
  if (!header || header.uuid === '') throw new FormatError('no swap header with a UUID');
  return [{ offset: AT.swap, bytes: id }];
}

/** Encryption, and the checksums of inodes, are seeded with the UUID. */
const F2FS_SEEDED = 0x1 | 0x20;
const F2FS_CHECKSUM = 0x800;
/** The second copy lies in the second block. */
const F2FS_COPIES = [SUPERBLOCK_OFFSET, SUPERBLOCK_OFFSET + BLOCK] as const;

async function f2fsPatches(volume: Source, id: Buffer): Promise<readonly Patch[]> {
  const why = await whyF2fsKeeps(volume);
  if (why !== undefined) throw newIdUnsupported(volume.name, 'f2fs', why);
  const patches: Patch[] = [];
  const main = await readAt(volume, SUPERBLOCK_OFFSET, SUPERBLOCK_LENGTH);
  for (const offset of F2FS_COPIES) {
    const raw = await readAt(volume, offset, SUPERBLOCK_LENGTH);
    const superblock = parseSuperblock(raw);
    if (!superblock?.isWhole || superblock.uuid !== parseSuperblock(main)?.uuid) continue;
    id.copy(raw, AT.f2fs.uuid);
    patches.push({ offset: offset + AT.f2fs.uuid, bytes: id });
    if ((raw.readUInt32LE(AT.f2fs.features) & F2FS_CHECKSUM) === 0) continue;
    const at = raw.readUInt32LE(AT.f2fs.checksumOffset);
    const sum = Buffer.alloc(4);
    sum.writeUInt32LE(rawCrc32(MAGIC, raw.subarray(0, at)));
    patches.push({ offset: offset + at, bytes: sum });
  }
  return patches;
}

/** Undefined: it can have a new one. Throws FormatError if there is no F2FS. */
export async function whyF2fsKeeps(volume: Source): Promise<string | undefined> {
  const raw = await readAt(volume, SUPERBLOCK_OFFSET, SUPERBLOCK_LENGTH);
  const superblock = parseSuperblock(raw);
  if (!superblock) throw new FormatError('no F2FS superblock');
  if (superblock.hasMoreDevices) return 'part of it lies on other devices';
  return (raw.readUInt32LE(AT.f2fs.features) & F2FS_SEEDED) === 0
    ? undefined
    : 'the checksums or the encryption of its files depend on its UUID';
}

async function patchesAt(
  volume: Source,
  { places, at, id, isSame }: { places: readonly Bytes[]; at: Bytes; id: Buffer; isSame: (sector: Buffer) => boolean },
): Promise<Patch[]> {
  const patches: Patch[] = [];
  for (const place of places) {
    if (place < 0 || place + BOOT_SECTOR_LENGTH > volume.size) continue;
    if (isSame(await readAt(volume, place, BOOT_SECTOR_LENGTH))) patches.push({ offset: place + at, bytes: id });
  }
  return patches;
}

async function readAt(volume: Source, offset: Bytes, length: Bytes): Promise<Buffer> {
  if (offset + length > volume.size) throw new FormatError(`it ends before byte ${offset + length}`);
  const bytes = Buffer.alloc(length);
  await volume.read(bytes, offset);
  return bytes;
}
