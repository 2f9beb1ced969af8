// FAT at a new place: hidden sectors in the boot sector and, on FAT32, in its copy.
// Invariant: nothing else is changed. Other sectors would move the tables and all clusters: see rebuild-fat.
// Format: Microsoft "FAT: General Overview of On-Disk Format" 1.03.

import { notMovable, sectorSizeStays } from '../../base/errors/after-move.js';
import type { Bytes } from '../../base/units.js';
import { BOOT_SECTOR_LENGTH, type BootSector, parseBootSector } from '../../filesystem/fat/boot-sector.js';
import type { Patch } from '../../source/patched.js';
import type { Source } from '../../source/types.js';
import { type Adaptation, changesSectors, difference, hiddenSectors, kindOf, type Move, readAt } from './move.js';

const AT = { sectorSize: 0x0b, reservedSectors: 0x0e, hidden: 0x1c, backupSector: 0x32, signature: 510 } as const;
const SIGNATURE = 0xaa55;

/**
 * True if the volume has to be made anew on the target. Linux refuses a FAT whose sectors are smaller than the disk's; larger
 * ones it reads, but what the firmware of a computer makes of them nobody says.
 */
export async function fatNeedsRebuild(move: Move): Promise<boolean> {
  return changesSectors(move) && (await readBoot(move)).sectorSize !== move.target.sectorSize;
}

/** Throws `sectorSizeStays` where `fatNeedsRebuild`, and `notMovable` if there is no FAT. */
export async function adaptFat(move: Move): Promise<Adaptation> {
  const { volume, target } = move;
  const boot = await readBoot(move);
  if (changesSectors(move) && boot.sectorSize !== target.sectorSize) {
    throw sectorSizeStays(volume.name, kindOf(move), {
      sectorSize: target.sectorSize,
      reason: `its tables and clusters count in sectors of ${boot.sectorSize} bytes`,
      advice: 'Make a new file system on the target and copy the files, or choose a target with sectors of that size',
    });
  }
  const patches = await hiddenAt(move, 0);
  const backup = boot.bits === 32 ? await backupOffset(volume, boot) : undefined;
  return { patches: backup === undefined ? patches : [...patches, ...(await hiddenAt(move, backup))], notes: [] };
}

async function readBoot(move: Move): Promise<BootSector> {
  const { volume } = move;
  const boot = parseBootSector(await readAt(volume, 0, Math.min(BOOT_SECTOR_LENGTH, volume.size)));
  if (!boot) throw notMovable(volume.name, kindOf(move), 'it has no FAT boot sector');
  return boot;
}

async function hiddenAt(move: Move, offset: Bytes): Promise<Patch[]> {
  const before = await readAt(move.volume, offset, BOOT_SECTOR_LENGTH);
  const after = Buffer.from(before);
  after.writeUInt32LE(hiddenSectors(before.readUInt32LE(AT.hidden), move), AT.hidden);
  return difference(before, after, offset);
}

/** Where FAT32 keeps a copy of its boot sector; undefined if there is none that looks like one. */
async function backupOffset(volume: Source, { sectorSize }: BootSector): Promise<Bytes | undefined> {
  const main = await readAt(volume, 0, BOOT_SECTOR_LENGTH);
  const sector = main.readUInt16LE(AT.backupSector);
  if (sector === 0 || sector >= main.readUInt16LE(AT.reservedSectors)) return undefined;
  const offset = sector * sectorSize;
  if (offset + BOOT_SECTOR_LENGTH > volume.size) return undefined;
  const copy = await readAt(volume, offset, BOOT_SECTOR_LENGTH);
  const isCopy = copy.readUInt16LE(AT.signature) === SIGNATURE && copy.readUInt16LE(AT.sectorSize) === sectorSize;
  return isCopy ? offset : undefined;
}
