// exFAT at a new place: PartitionOffset in both boot regions, and their checksums.
// Invariant: a region is changed only if its checksum was right before, and it is right afterwards.
// Format: Microsoft "exFAT file system specification", 3.1.2 (PartitionOffset) and 3.4 (boot checksum).

import { notMovable, sectorSizeStays } from '../../base/errors/after-move.js';
import { writeU64LE } from '../../base/u64.js';
import {
  BOOT_SECTOR_LENGTH,
  type BootSector,
  bootRegionChecksum,
  bootRegionLength,
  isBootRegionWhole,
  parseBootSector,
} from '../../filesystem/exfat/boot-sector.js';
import type { Patch } from '../../source/patched.js';
import { type Adaptation, changesSectors, difference, kindOf, type Move, readAt } from './move.js';

const PARTITION_OFFSET = 64;
/** Says that nobody should look at it. */
const IGNORE = 0n;

/** Throws `sectorSizeStays` if its sectors are smaller than the target's, and `notMovable` if there is no exFAT. */
export async function adaptExfat(move: Move): Promise<Adaptation> {
  const { volume, target } = move;
  const boot = parseBootSector(await readAt(volume, 0, Math.min(BOOT_SECTOR_LENGTH, volume.size)));
  if (!boot) throw notMovable(volume.name, kindOf(move), 'it has no exFAT boot sector');
  const notes: string[] = [];
  if (changesSectors(move) && boot.sectorSize !== target.sectorSize) {
    if (boot.sectorSize < target.sectorSize) {
      throw sectorSizeStays(volume.name, kindOf(move), {
        sectorSize: target.sectorSize,
        reason: `its boot regions count in sectors of ${boot.sectorSize} bytes, and it cannot be converted`,
        advice: 'Make a new file system on the target and copy the files, or choose a target with smaller sectors',
      });
    }
    notes.push(
      `${volume.name} (exfat) goes on counting in sectors of ${boot.sectorSize} bytes: Linux reads it, but it was not shown ` +
        'that other systems do',
    );
  }
  const length = bootRegionLength(boot);
  const patches: Patch[] = [];
  for (const [name, offset] of [
    ['main', 0],
    ['backup', length],
  ] as const) {
    const region = offset + length <= volume.size ? await readAt(volume, offset, length) : Buffer.alloc(0);
    if (isBootRegionWhole(region, boot.sectorSize)) patches.push(...movedRegion(move, { boot, region, offset }));
    else
      notes.push(`${volume.name} (exfat): the checksum of its ${name} boot region is wrong; the region stays as it is`);
  }
  return { patches, notes };
}

/** The offset and the checksum; what lies between them does not travel. */
function movedRegion(
  move: Move,
  { boot, region, offset }: { boot: BootSector; region: Buffer; offset: number },
): Patch[] {
  const after = Buffer.from(region);
  if (region.readBigUInt64LE(PARTITION_OFFSET) !== IGNORE) {
    writeU64LE(after, startIn(move, boot), PARTITION_OFFSET);
  }
  const sealed = region.length - boot.sectorSize;
  const sum = bootRegionChecksum(after, boot.sectorSize);
  for (let at = sealed; at < after.length; at += 4) after.writeUInt32LE(sum, at);
  return [
    ...difference(region.subarray(0, sealed), after.subarray(0, sealed), offset),
    ...difference(region.subarray(sealed), after.subarray(sealed), offset + sealed),
  ];
}

/** In the sectors that the file system counts in; 0 ("ignore") if the start is no multiple of them. */
function startIn({ target }: Move, { sectorSize }: BootSector): number {
  const start = (target.startLba * target.sectorSize) / sectorSize;
  return Number.isSafeInteger(start) ? start : 0;
}
