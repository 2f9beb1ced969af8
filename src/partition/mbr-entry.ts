// The 512 bytes that MBR, EBR and protective MBR share: four entries of 16 bytes at 446, 55 AA at 510.
// Invariant: nothing but the entry that is written changes; boot code and signature stay as they are.

import { assert } from '../base/assert.js';

const ENTRY_SIZE = 16;
/** Bytes of a sector where the entries are. */
export const ENTRIES_OFFSET = 446;
export const ENTRIES_END = ENTRIES_OFFSET + 4 * ENTRY_SIZE;
const SIGNATURE_OFFSET = 440;
/** The type of the entry that guards a GPT. */
export const PROTECTIVE = 0xee;
/** The highest start and the highest count that an entry can say. */
export const MAX_U32 = 0xffffffff;

/** What stands for positions beyond CHS in a protective MBR (UEFI 2.10 §5.2.3), and everywhere else. */
const BEYOND_PROTECTIVE = [0xff, 0xff, 0xff];
const BEYOND_CHS = [0xfe, 0xff, 0xff];

/** One entry; `start` and `count` in sectors, relative to what the format says. */
export interface MbrEntry {
  /** 0 to 3. */
  readonly slot: number;
  readonly bootFlag: number;
  readonly type: number;
  readonly start: number;
  readonly count: number;
}

export function hasBootSignature(sector: Buffer): boolean {
  return sector.length >= 512 && sector[510] === 0x55 && sector[511] === 0xaa;
}

/** All four entries, empty ones too. */
export function readEntries(sector: Buffer): MbrEntry[] {
  return [0, 1, 2, 3].map((slot) => {
    const at = entryOffset(slot);
    return {
      slot,
      bootFlag: sector.readUInt8(at),
      type: sector.readUInt8(at + 4),
      start: sector.readUInt32LE(at + 8),
      count: sector.readUInt32LE(at + 12),
    };
  });
}

/** As the kernel decides it: an entry counts if it has sectors, whatever its type. */
export function isUsed(entry: MbrEntry): boolean {
  return entry.count > 0;
}

export function isExtended(entry: MbrEntry): boolean {
  return entry.type === 0x05 || entry.type === 0x0f || entry.type === 0x85;
}

export function bootFlagsPlausible(entries: readonly MbrEntry[]): boolean {
  return entries.every(({ bootFlag }) => bootFlag === 0 || bootFlag === 0x80);
}

/** The disk signature as 8 hex digits; empty if it is zero. */
export function diskSignature(sector: Buffer): string {
  const signature = sector.readUInt32LE(SIGNATURE_OFFSET);
  return signature === 0 ? '' : signature.toString(16).padStart(8, '0');
}

/** `signature` is 8 hex digits. */
export function writeDiskSignature(sector: Buffer, signature: string): void {
  assert(/^[0-9a-f]{8}$/i.test(signature), `"${signature}" is no disk signature`);
  sector.writeUInt32LE(Number.parseInt(signature, 16), SIGNATURE_OFFSET);
}

/** A GPT's protective MBR has no signature. */
export function clearDiskSignature(sector: Buffer): void {
  sector.writeUInt32LE(0, SIGNATURE_OFFSET);
}

export function clearEntry(sector: Buffer, slot: number): void {
  sector.fill(0, entryOffset(slot), entryOffset(slot) + ENTRY_SIZE);
}

/** Writes type, range and the CHS of the end; the boot flag and the CHS of the start stay as they are. */
export function writeEntry(sector: Buffer, { slot, type, start, count }: Omit<MbrEntry, 'bootFlag'>): void {
  const at = entryOffset(slot);
  sector.writeUInt8(type, at + 4);
  cylinderHeadSector(start + count - 1).copy(sector, at + 5);
  sector.writeUInt32LE(start, at + 8);
  sector.writeUInt32LE(count, at + 12);
}

/** Writes the CHS of the start to match `lba`. */
export function writeStartChs(sector: Buffer, { slot, lba }: { slot: number; lba: number }): void {
  cylinderHeadSector(lba).copy(sector, entryOffset(slot) + 1);
}

/**
 * Writes a whole entry for a partition that has a new place. `lba` is the place of its start on the disk, from which
 * both CHS are made; beyond what CHS can say they are FE FF FF, as partitioning tools write them.
 */
export function writePlacedEntry(sector: Buffer, { lba, ...entry }: MbrEntry & { readonly lba: number }): void {
  const at = entryOffset(entry.slot);
  sector.writeUInt8(entry.bootFlag, at);
  cylinderHeadSector(lba, BEYOND_CHS).copy(sector, at + 1);
  sector.writeUInt8(entry.type, at + 4);
  cylinderHeadSector(lba + entry.count - 1, BEYOND_CHS).copy(sector, at + 5);
  sector.writeUInt32LE(entry.start, at + 8);
  sector.writeUInt32LE(entry.count, at + 12);
}

/** `lba` as CHS of 255 heads and 63 sectors; `beyond` where it cannot be said. */
function cylinderHeadSector(lba: number, beyond: readonly number[] = BEYOND_PROTECTIVE): Buffer {
  const cylinder = Math.floor(lba / (255 * 63));
  if (cylinder > 1023) return Buffer.from(beyond);
  const head = Math.floor(lba / 63) % 255;
  const sector = (lba % 63) + 1;
  return Buffer.from([head, ((cylinder >> 8) << 6) | sector, cylinder & 0xff]);
}

function entryOffset(slot: number): number {
  return ENTRIES_OFFSET + slot * ENTRY_SIZE;
}
