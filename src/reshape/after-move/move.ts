// Where a volume lay and where it comes to lie, and what that changes in it.
// Invariant: a patch holds only bytes that differ from what the volume has there.

import type { Bytes } from '../../base/units.js';
import type { Patch } from '../../source/patched.js';
import type { Source } from '../../source/types.js';

export interface Site {
  /** First sector of the volume, in sectors of its disk; 0 for a volume without a partition table around it. */
  readonly startLba: number;
  /** Of the disk. */
  readonly sectorSize: Bytes;
}

export interface Move {
  /** As it will lie on the target, resized already; its size is that of the new place. */
  readonly volume: Source;
  /** What was recognised, as blkid calls it (`ext4`, `fat32`, `crypto_LUKS`); undefined if nothing was. */
  readonly filesystem: { readonly kind: string } | undefined;
  readonly source: Site;
  readonly target: Site;
}

export interface Adaptation {
  /** Ascending, disjoint, a few KiB at most; none if nothing has to change. */
  readonly patches: readonly Patch[];
  /** What the user should know, a sentence each without the full stop. */
  readonly notes: readonly string[];
}

export const UNCHANGED: Adaptation = { patches: [], notes: [] };

export function kindOf({ filesystem }: Move): string {
  return filesystem?.kind ?? 'unknown content';
}

/** True if the disks differ in their sectors: all that counts in sectors has to be looked at. */
export function changesSectors({ source, target }: Move): boolean {
  return source.sectorSize !== target.sectorSize;
}

const MOST_HIDDEN = 0xffffffff;

/**
 * What "hidden sectors" (u32, at 0x1C in the boot sectors of FAT and NTFS) becomes: the boot code of a BIOS adds it to
 * what it reads, so it has to be the first sector of the partition. A 0 where the partition did not begin at 0 was put there
 * by somebody who did not know the place (mkfs on an image): no boot code ever worked with it, and it stays. Any other
 * value is set right, even if it was wrong at the old place already. What does not fit 32 bits stays, too: no BIOS gets there.
 */
export function hiddenSectors(stored: number, { source, target }: Move): number {
  if (target.startLba > MOST_HIDDEN) return stored;
  return stored === 0 && source.startLba !== 0 ? 0 : target.startLba;
}

/** The one stretch in which `after` differs from `before`, both of them at `offset`; nothing if they are equal. */
export function difference(before: Buffer, after: Buffer, offset: Bytes): Patch[] {
  let first = 0;
  while (first < after.length && before[first] === after[first]) first += 1;
  let end = after.length;
  while (end > first && before[end - 1] === after[end - 1]) end -= 1;
  return end > first ? [{ offset: offset + first, bytes: Buffer.from(after.subarray(first, end)) }] : [];
}

export async function readAt(volume: Source, offset: Bytes, length: Bytes): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  await volume.read(bytes, offset);
  return bytes;
}
