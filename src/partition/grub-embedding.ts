// GRUB 2 for BIOS knows its core image by sector numbers, in sector 0 and in the image's own first sector: they are
// made to follow a BIOS boot partition that moves. Invariant: nothing is changed unless all of it is understood.
// Facts: GRUB's boot.S, diskboot.S and setup.c: positions count 512-byte sectors from the start of the disk.

import { FormatError, readU64LE, writeU64LE } from '../base/u64.js';
import type { Bytes } from '../base/units.js';
import { type Extent, extentEnd, overlaps } from '../map/extent.js';
import type { FittedPartition, Partition } from './table.js';

const SECTOR = 512;
/** In sector 0: the address that the core image is loaded to, and its first sector. */
const KERNEL_ADDRESS_AT = 0x5a;
const KERNEL_ADDRESS = 0x8000;
const KERNEL_SECTOR_AT = 0x5c;
/** Code ends where the disk signature and the entries begin; "GRUB" is the message at its start. */
const CODE_END = 0x1b8;
/** In the core image's first sector: lists grow from the end of the sector down to its code. */
const FIRST_LIST_AT = 0x1f4;
const LAST_LIST_AT = 0x150;
const LIST_SIZE = 12;
/** Where the second sector is loaded to, in paragraphs of 16 bytes, and the paragraphs of a sector. */
const FIRST_SEGMENT = 0x820;
const SECTOR_SEGMENTS = SECTOR / 16;

const BIOS_BOOT = '21686148-6449-6E6F-744E-656564454649';

/** What becomes of GRUB on the target. */
export type GrubFate =
  /** There is no GRUB 2 in the boot code. */
  | { readonly kind: 'none' }
  /** Its core image stays where it is; nothing is to be done. */
  | { readonly kind: 'stays' }
  /** The two sectors for the target, whole as they were given, and the place of the second on the target. */
  | { readonly kind: 'moved'; readonly mbr: Buffer; readonly core: Buffer; readonly coreOffset: Bytes }
  /** It will not boot, or may not: why, as a clause. GRUB has to be installed anew. */
  | { readonly kind: 'left'; readonly reason: string };

export interface GrubMove {
  /** Sector 0: the target's or the source's, which bear the same boot code. */
  readonly mbr: Buffer;
  /** The sector of the source's disk that `grubCoreOffset` names. */
  readonly core: Buffer;
  readonly source: {
    readonly kind: 'gpt' | 'mbr';
    readonly sectorSize: Bytes;
    readonly partitions: readonly Partition[];
  };
  readonly target: {
    readonly kind: 'gpt' | 'mbr';
    readonly sectorSize: Bytes;
    readonly partitions: readonly FittedPartition[];
  };
}

/** Where on the disk GRUB's boot code in sector 0 looks for the core image; undefined if there is no GRUB 2. */
export function grubCoreOffset(mbr: Buffer): Bytes | undefined {
  if (mbr.length < SECTOR || !mbr.subarray(0, CODE_END).includes('GRUB')) return undefined;
  if (mbr.readUInt16LE(KERNEL_ADDRESS_AT) !== KERNEL_ADDRESS) return undefined;
  const lba = sectorNumber(mbr, KERNEL_SECTOR_AT);
  return lba === undefined || lba === 0 ? undefined : lba * SECTOR;
}

/** What becomes of GRUB when the partitions go to their places. Changes neither of the buffers. */
export function moveGrub(move: GrubMove): GrubFate {
  const { mbr, core, source, target } = move;
  const coreOffset = grubCoreOffset(mbr);
  if (coreOffset === undefined) return { kind: 'none' };
  const other = [source.sectorSize, target.sectorSize].find((size) => size !== SECTOR);
  if (other !== undefined) return left(`a BIOS boots from sectors of ${SECTOR} bytes only, not of ${other}`);
  const lists = readLists(core);
  if (lists === undefined)
    return left(`the sector at byte ${coreOffset}, where it looks for its core image, holds none`);
  const parts = [{ offset: coreOffset, length: SECTOR }, ...lists.map(({ extent }) => extent)];
  const home = source.partitions.find(({ extent }) => parts.some((part) => overlaps(part, extent)));
  if (!home) return inTheGap(parts, move);
  const there = target.partitions.find(({ sourceNumber }) => sourceNumber === home.number);
  if (there && isSame(there.extent, home.extent) && source.kind === target.kind) return { kind: 'stays' };
  if (home.type !== BIOS_BOOT) {
    return left(`its core image lies in partition ${home.number}, which is no BIOS boot partition`);
  }
  if (!parts.every((part) => lies(part, home.extent))) return left('its core image lies in several places');
  if (!there || there.type !== BIOS_BOOT) return left('the target has no BIOS boot partition');
  const distance = there.extent.offset - home.extent.offset;
  const moved = parts.map(({ offset, length }) => ({ offset: offset + distance, length }));
  if (!moved.every((part) => lies(part, there.extent))) {
    return left(`its core image does not fit into partition ${there.number} of the target`);
  }
  if (distance === 0) return { kind: 'stays' };
  return patched(move, { lists, coreOffset: coreOffset + distance, distance });
}

interface BlockList {
  /** Of the entry in the sector. */
  readonly at: number;
  /** On the disk. */
  readonly extent: Extent;
}

/** The lists in the core image's first sector; undefined unless they describe one image without holes in memory. */
function readLists(core: Buffer): BlockList[] | undefined {
  if (core.length < SECTOR) return undefined;
  const lists: BlockList[] = [];
  let segment = FIRST_SEGMENT;
  for (let at = FIRST_LIST_AT; at >= LAST_LIST_AT; at -= LIST_SIZE) {
    const count = core.readUInt16LE(at + 8);
    if (count === 0) return lists.length === 0 ? undefined : lists;
    const lba = sectorNumber(core, at);
    if (lba === undefined || lba === 0 || core.readUInt16LE(at + 10) !== segment) return undefined;
    segment += count * SECTOR_SEGMENTS;
    lists.push({ at, extent: { offset: lba * SECTOR, length: count * SECTOR } });
  }
  return undefined;
}

/** An image behind the MBR stays there, if that room is still free. */
function inTheGap(parts: readonly Extent[], { source, target }: GrubMove): GrubFate {
  if (source.kind !== target.kind) return left('its core image lies behind the MBR, where the target has a GPT');
  const first = Math.min(...source.partitions.map(({ extent }) => extent.offset));
  if (parts.some(({ offset }) => offset >= first)) return left('its core image lies between partitions');
  const taken = target.partitions.find(({ extent }) => parts.some((part) => overlaps(part, extent)));
  return taken ? left(`partition ${taken.number} lies on its core image on the target`) : { kind: 'stays' };
}

function patched(
  move: GrubMove,
  { lists, coreOffset, distance }: { lists: readonly BlockList[]; coreOffset: Bytes; distance: Bytes },
): GrubFate {
  const mbr = Buffer.from(move.mbr);
  const core = Buffer.from(move.core);
  writeU64LE(mbr, coreOffset / SECTOR, KERNEL_SECTOR_AT);
  for (const { at, extent } of lists) writeU64LE(core, (extent.offset + distance) / SECTOR, at);
  return { kind: 'moved', mbr, core, coreOffset };
}

/** Undefined for numbers whose byte offset no disk reaches. */
function sectorNumber(sector: Buffer, at: number): number | undefined {
  try {
    const lba = readU64LE(sector, at);
    return Number.isSafeInteger((lba + 0xffff) * SECTOR) ? lba : undefined;
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

function left(reason: string): GrubFate {
  return { kind: 'left', reason };
}

function lies(extent: Extent, within: Extent): boolean {
  return extent.offset >= within.offset && extentEnd(extent) <= extentEnd(within);
}

function isSame(a: Extent, b: Extent): boolean {
  return a.offset === b.offset && a.length === b.length;
}
