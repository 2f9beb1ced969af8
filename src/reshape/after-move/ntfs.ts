// NTFS at a new place: hidden sectors, the backup boot sector, and the geometry for other sectors.
// Invariant: the number of clusters never changes, so neither does what $Bitmap and $MFT say; the backup boot sector lies
// behind the last cluster, in the sector `total sectors`.
// Format: ntfs-3g layout.h (NTFS_BOOT_SECTOR); where mkntfs puts the backup, and how much of it: a whole sector.

import { notMovable, sectorSizeStays } from '../../base/errors/after-move.js';
import { writeU64LE } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import { BOOT_SECTOR_LENGTH, type BootSector, parseBootSector } from '../../filesystem/ntfs/boot-sector.js';
import { findInDirectory } from '../../filesystem/ntfs/directory.js';
import { openMasterFileTable, RECORD, readRecord } from '../../filesystem/ntfs/master-file-table.js';
import type { Patch } from '../../source/patched.js';
import { type Adaptation, changesSectors, difference, hiddenSectors, kindOf, type Move, readAt } from './move.js';
import { orDamaged } from './sector-size.js';

const AT = { sectorSize: 0x0b, sectorsPerCluster: 0x0d, hidden: 0x1c, totalSectors: 0x28 } as const;
/** More sectors per cluster are written as a negated exponent. */
const LARGEST_FACTOR = 128;

/** Throws ToolError: a Windows system, or clusters smaller than the target's sectors; no room; damage. */
export async function adaptNtfs(move: Move): Promise<Adaptation> {
  const { volume, target } = move;
  const boot = parseBootSector(await readAt(volume, 0, Math.min(BOOT_SECTOR_LENGTH, volume.size)));
  if (!boot) throw notMovable(volume.name, kindOf(move), 'it has no NTFS boot sector');
  if (boot.totalSectors * boot.sectorSize > volume.size) {
    throw notMovable(volume.name, kindOf(move), 'the file system spans more than its new place has');
  }
  const converts = changesSectors(move) && boot.sectorSize !== target.sectorSize;
  const notes = converts ? await conversionNotes(move, boot) : [];
  const geometry = converts ? geometryFor(boot, target.sectorSize) : boot;
  const before = await readAt(volume, 0, Math.min(geometry.sectorSize, volume.size));
  const after = Buffer.from(before);
  after.writeUInt32LE(hiddenSectors(before.readUInt32LE(AT.hidden), move), AT.hidden);
  if (converts) putGeometry(after, geometry, boot.clusterSize);
  const backup = await backupPatches(move, { boot, geometry, main: after });
  if (backup) return { patches: [...difference(before, after, 0), ...backup], notes };
  if (converts) throw notMovable(volume.name, kindOf(move), noRoom(geometry.sectorSize));
  return {
    patches: difference(before, after, 0),
    notes: [...notes, `${volume.name} (ntfs): ${noRoom(geometry.sectorSize)}; it has none, as on the source`],
  };
}

type Geometry = Pick<BootSector, 'sectorSize' | 'totalSectors'>;

/**
 * The last sector is the backup's. Larger sectors: its old sector lies in the new one, so rounding down keeps every
 * cluster, for a cluster is whole sectors of either size. Smaller ones: the last of those that the old one had.
 */
function geometryFor(boot: BootSector, sectorSize: Bytes): Geometry {
  const totalSectors =
    sectorSize > boot.sectorSize
      ? Math.floor((boot.totalSectors * boot.sectorSize) / sectorSize)
      : boot.span / sectorSize - 1;
  return { sectorSize, totalSectors };
}

function putGeometry(bytes: Buffer, { sectorSize, totalSectors }: Geometry, clusterSize: Bytes): void {
  const factor = clusterSize / sectorSize;
  bytes.writeUInt16LE(sectorSize, AT.sectorSize);
  bytes.writeUInt8(factor <= LARGEST_FACTOR ? factor : 256 - Math.log2(factor), AT.sectorsPerCluster);
  writeU64LE(bytes, totalSectors, AT.totalSectors);
}

/** Undefined: the volume ends before the backup's sector does. */
async function backupPatches(
  move: Move,
  { boot, geometry, main }: { boot: BootSector; geometry: Geometry; main: Buffer },
): Promise<Patch[] | undefined> {
  const offset = geometry.totalSectors * geometry.sectorSize;
  if (offset + geometry.sectorSize > move.volume.size) return undefined;
  const before = await readAt(move.volume, offset, geometry.sectorSize);
  if (!isBackupOf(before, boot) || geometry.sectorSize !== boot.sectorSize) return difference(before, main, offset);
  // Its boot code may be another version's; it stays.
  const after = Buffer.from(before);
  after.writeUInt32LE(main.readUInt32LE(AT.hidden), AT.hidden);
  return difference(before, after, offset);
}

/** ntfsresize leaves none at the new end, or that of the old size. */
function isBackupOf(bytes: Buffer, boot: BootSector): boolean {
  const backup = parseBootSector(bytes);
  return (
    backup !== undefined &&
    backup.serial === boot.serial &&
    backup.sectorSize === boot.sectorSize &&
    backup.clusterSize === boot.clusterSize &&
    backup.totalSectors === boot.totalSectors &&
    backup.mftCluster === boot.mftCluster &&
    backup.mirrorCluster === boot.mirrorCluster
  );
}

function noRoom(sectorSize: Bytes): string {
  return `behind its clusters there is no room for its backup boot sector (${sectorSize} bytes)`;
}

/** What to say of a conversion; refuses those that would not work. */
async function conversionNotes(move: Move, boot: BootSector): Promise<string[]> {
  const { volume, target } = move;
  const refuse = (reason: string, advice: string): never => {
    throw sectorSizeStays(volume.name, kindOf(move), { sectorSize: target.sectorSize, reason, advice });
  };
  if (boot.clusterSize < target.sectorSize) {
    refuse(
      `its clusters have ${boot.clusterSize} bytes, and it cannot be converted`,
      'Make a new file system on the target and copy the files, or choose a target with smaller sectors',
    );
  }
  const hasWindows = await orDamaged(move, () => holdsWindows(move, boot));
  if (hasWindows && target.sectorSize > boot.sectorSize) {
    refuse(
      `Windows is installed on it and does not start from sectors of that size with file records of ${boot.recordSize} bytes`,
      'Choose a target with sectors of the same size, or install Windows there and copy the files',
    );
  }
  const what = `${volume.name} (ntfs) is changed to count in sectors of ${target.sectorSize} bytes`;
  const record = `its file records stay at ${boot.recordSize} bytes, which is not what Windows makes on such a disk`;
  return hasWindows
    ? [`${what}; ${record}: Linux reads it, but Windows will probably not start from it`]
    : [`${what}; ${record}: Linux reads it, but it was not shown that Windows does`];
}

async function holdsWindows({ volume }: Move, boot: BootSector): Promise<boolean> {
  const mft = await openMasterFileTable({ source: volume, boot });
  const windows = await findInDirectory(mft, await readRecord(mft, RECORD.root), 'Windows');
  if (!windows) return false;
  const folder = await readRecord(mft, windows.record);
  return folder.isDirectory && (await findInDirectory(mft, folder, 'System32')) !== undefined;
}
