// One copy of a GPT: a header and its entry array, valid as a whole or not at all.
// Invariant: nothing is allocated or read before the number that asks for it was bounded.
// Specification: UEFI 2.10 §5.3.2 (header) and §5.3.3 (entries).

import { crc32 } from '../base/checksum.js';
import { ToolError } from '../base/tool-error.js';
import { FormatError, readU64LE } from '../base/u64.js';
import type { Bytes } from '../base/units.js';
import type { Extent } from '../map/extent.js';
import type { Source } from '../source/types.js';

const SIGNATURE = Buffer.from('EFI PART');
/** Bytes of a header of revision 1.0. */
export const MIN_HEADER = 92;
const MIN_ENTRY = 128;
const MAX_ENTRY = 4096;
const MAX_ENTRIES = 16384;
const MAX_ARRAY = 4 * 1024 * 1024;

/** A valid copy. Positions are LBAs. */
export interface GptCopy {
  readonly valid: true;
  readonly headerLba: number;
  readonly alternateLba: number;
  /** The header's whole sector. */
  readonly header: Buffer;
  readonly entriesLba: number;
  /** In whole sectors. */
  readonly entries: Buffer;
  readonly entrySize: Bytes;
  readonly entryCount: number;
  readonly firstUsable: number;
  readonly lastUsable: number;
}

/** A copy that cannot be used. */
export interface BrokenCopy {
  readonly valid: false;
  /** What is wrong, as a sentence that names the copy and its place. */
  readonly problem: string;
  /** The header begins with "EFI PART". */
  readonly signature: boolean;
  /** What the header says of the rest of the table; not to be trusted. */
  readonly claims: { readonly alternateLba: number; readonly entriesLba: number } | undefined;
}

/** Where to look: `name` is "primary" or "backup". */
export interface CopyPlace {
  readonly name: 'primary' | 'backup';
  readonly lba: number;
  readonly sectorSize: Bytes;
}

/** Reads the copy at `place`. Damage and unreadable sectors make a BrokenCopy, never an exception. */
export async function readCopy(disk: Source, place: CopyPlace): Promise<GptCopy | BrokenCopy> {
  const { name, lba, sectorSize } = place;
  const what = `the ${name} GPT header at LBA ${lba}`;
  const broken = (problem: string, header?: Buffer): BrokenCopy => {
    const signature = header !== undefined && startsWithSignature(header);
    return { valid: false, problem, signature, claims: signature ? claimsOf(header) : undefined };
  };
  const sectorCount = Math.floor(disk.size / sectorSize);
  if (lba < 1 || lba >= sectorCount) {
    return broken(`${what} would be outside the disk, whose last sector is LBA ${sectorCount - 1}`);
  }
  const header = await readOr(disk, { offset: lba * sectorSize, length: sectorSize });
  if (typeof header === 'string') return broken(`${what} cannot be read (${header})`);
  const facts = parseHeader(header, { lba, sectorCount, sectorSize });
  if (typeof facts === 'string') return broken(`${what} ${facts}`, header);

  const arrayLength = facts.entrySize * facts.entryCount;
  const length = Math.ceil(arrayLength / sectorSize) * sectorSize;
  const entries = await readOr(disk, { offset: facts.entriesLba * sectorSize, length });
  const array = `the entries of the ${name} GPT at LBA ${facts.entriesLba}`;
  if (typeof entries === 'string') return broken(`${array} cannot be read (${entries})`, header);
  if (crc32(entries.subarray(0, arrayLength)) !== header.readUInt32LE(88)) {
    return broken(`${array} have a wrong checksum`, header);
  }
  return { valid: true, headerLba: lba, header, entries, ...facts };
}

/** True if a GPT header seems to start in `sector`. */
export function startsWithSignature(sector: Buffer): boolean {
  return SIGNATURE.equals(sector.subarray(0, SIGNATURE.length));
}

type HeaderFacts = Omit<GptCopy, 'valid' | 'headerLba' | 'header' | 'entries'>;

/** The header's facts, or what is wrong with it ("has a wrong checksum"). */
function parseHeader(
  header: Buffer,
  { lba, sectorCount, sectorSize }: { lba: number; sectorCount: number; sectorSize: Bytes },
): HeaderFacts | string {
  if (!startsWithSignature(header)) return 'is missing (no signature "EFI PART")';
  const headerSize = header.readUInt32LE(12);
  if (headerSize < MIN_HEADER || headerSize > sectorSize) return `has an impossible size of ${headerSize} bytes`;
  if (headerChecksum(header, headerSize) !== header.readUInt32LE(16)) return 'has a wrong checksum';
  try {
    const ownLba = readU64LE(header, 24);
    if (ownLba !== lba) return `says that it belongs to LBA ${ownLba}`;
    const facts = {
      alternateLba: readU64LE(header, 32),
      firstUsable: readU64LE(header, 40),
      lastUsable: readU64LE(header, 48),
      entriesLba: readU64LE(header, 72),
      entryCount: header.readUInt32LE(80),
      entrySize: header.readUInt32LE(84),
    };
    return limitProblem(facts, { lba, sectorCount, sectorSize }) ?? facts;
  } catch (error) {
    if (error instanceof FormatError) return 'has positions beyond any disk';
    throw error;
  }
}

function limitProblem(
  { entryCount, entrySize, entriesLba, firstUsable, lastUsable }: HeaderFacts,
  { lba, sectorCount, sectorSize }: { lba: number; sectorCount: number; sectorSize: Bytes },
): string | undefined {
  if (entrySize < MIN_ENTRY || entrySize > MAX_ENTRY || (entrySize & (entrySize - 1)) !== 0) {
    return `has entries of an impossible size of ${entrySize} bytes`;
  }
  if (entryCount < 1 || entryCount > MAX_ENTRIES || entryCount * entrySize > MAX_ARRAY) {
    return `has an implausible number of ${entryCount} entries of ${entrySize} bytes`;
  }
  const entriesEnd = entriesLba + Math.ceil((entryCount * entrySize) / sectorSize);
  if (entriesLba < 2 || entriesEnd > sectorCount || (entriesLba <= lba && lba < entriesEnd)) {
    return `places its entries at LBA ${entriesLba} to ${entriesEnd - 1}, where they cannot be`;
  }
  if (firstUsable > lastUsable) return `calls LBA ${firstUsable} to ${lastUsable} usable, which is nothing`;
  return undefined;
}

/** CRC-32 of the first `headerSize` bytes with the checksum's own field zero. */
export function headerChecksum(header: Buffer, headerSize: number): number {
  const bytes = Buffer.from(header.subarray(0, headerSize));
  bytes.writeUInt32LE(0, 16);
  return crc32(bytes);
}

function claimsOf(header: Buffer): BrokenCopy['claims'] {
  try {
    return { alternateLba: readU64LE(header, 32), entriesLba: readU64LE(header, 72) };
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/** The bytes, or why the device does not give them: one bad sector must not cost the other copy. */
export async function readOr(disk: Source, { offset, length }: Extent): Promise<Buffer | string> {
  const bytes = Buffer.alloc(length);
  try {
    await disk.read(bytes, offset);
    return bytes;
  } catch (error) {
    if (error instanceof ToolError && error.family === 'device') return error.message;
    throw error;
  }
}
