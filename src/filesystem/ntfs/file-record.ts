// One MFT record: its header and the attributes in it.
// Invariant: every attribute of a parsed record lies inside the record, and so does its name and value.
// Format: ntfs-3g layout.h (MFT_RECORD, ATTR_RECORD).

import { FormatError, readU64LE } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import { applyFixups } from './fixups.js';

export const ATTRIBUTE = {
  standardInformation: 0x10,
  attributeList: 0x20,
  fileName: 0x30,
  volumeName: 0x60,
  volumeInformation: 0x70,
  data: 0x80,
  indexRoot: 0x90,
  indexAllocation: 0xa0,
  bitmap: 0xb0,
} as const;

const END = 0xffffffff;
const RECORD = {
  sequence: 16,
  firstAttribute: 20,
  flags: 22,
  bytesInUse: 24,
  baseRecord: 32,
  headerLength: 42,
} as const;
const HEADER = { type: 0, length: 4, nonResident: 8, nameLength: 9, nameOffset: 10, flags: 12 } as const;
const RESIDENT = { valueLength: 16, valueOffset: 20, headerLength: 24 } as const;
const NON_RESIDENT = {
  lowestVcn: 16,
  highestVcn: 24,
  runsOffset: 32,
  allocatedSize: 40,
  dataSize: 48,
  initializedSize: 56,
  headerLength: 64,
} as const;
const IN_USE = 1;
const DIRECTORY = 2;
const COMPRESSED_MASK = 0x00ff;
const ENCRYPTED = 0x4000;
const MINUS_ONE = 0xffffffffffffffffn;

/** A record number and the sequence number that the record had when the reference was made. */
export interface RecordReference {
  readonly record: number;
  readonly sequence: number;
}

interface AttributeHeader {
  readonly type: number;
  readonly name: string;
  /** Neither compressed nor encrypted: its clusters hold its bytes. */
  readonly plain: boolean;
}

export interface ResidentAttribute extends AttributeHeader {
  readonly resident: true;
  readonly value: Buffer;
}

export interface NonResidentAttribute extends AttributeHeader {
  readonly resident: false;
  readonly lowestVcn: number;
  /** One less than `lowestVcn` if it has no clusters. */
  readonly highestVcn: number;
  /** Undecoded mapping pairs. */
  readonly runs: Buffer;
  /** Sizes stand in the first extent only (lowestVcn 0). */
  readonly sizes: { readonly data: Bytes; readonly initialized: Bytes } | undefined;
}

export type Attribute = ResidentAttribute | NonResidentAttribute;

export interface FileRecord {
  readonly number: number;
  readonly sequence: number;
  /** Record 0 with sequence 0: it is a base record itself. */
  readonly base: RecordReference;
  readonly isDirectory: boolean;
  readonly attributes: readonly Attribute[];
}

/** Parses a record that is in use; `bytes` is changed by the fixups. Throws FormatError. */
export function parseFileRecord(bytes: Buffer, number: number): FileRecord {
  const what = `MFT record ${number}`;
  applyFixups(bytes, ['FILE'], what);
  const inUse = bytes.readUInt32LE(RECORD.bytesInUse);
  const first = bytes.readUInt16LE(RECORD.firstAttribute);
  if ((bytes.readUInt16LE(RECORD.flags) & IN_USE) === 0) throw new FormatError(`${what}: not in use`);
  if (inUse > bytes.length || first < RECORD.headerLength || first % 8 !== 0 || first + 4 > inUse) {
    throw new FormatError(`${what}: impossible header`);
  }
  return {
    number,
    sequence: bytes.readUInt16LE(RECORD.sequence),
    base: readReference(bytes, RECORD.baseRecord),
    isDirectory: (bytes.readUInt16LE(RECORD.flags) & DIRECTORY) !== 0,
    attributes: [...attributesOf(bytes.subarray(0, inUse), first, what)],
  };
}

/** Nothing is stored in it: never written, or its file was deleted. What is neither this nor parses is damaged. */
export function isUnused(bytes: Buffer): boolean {
  const magic = bytes.toString('latin1', 0, 4);
  if (magic === 'FILE') return (bytes.readUInt16LE(RECORD.flags) & IN_USE) === 0;
  return magic === '\0\0\0\0' && bytes.every((byte) => byte === 0);
}

/** Number of the record that stands for the file: its own, unless it only holds what did not fit there. */
export function baseNumber({ number, base }: FileRecord): number {
  return base.record === 0 && base.sequence === 0 ? number : base.record;
}

/** The eight bytes at `offset`: 48 bits of record number, 16 of sequence. */
export function readReference(bytes: Buffer, offset: number): RecordReference {
  return { record: bytes.readUIntLE(offset, 6), sequence: bytes.readUInt16LE(offset + 6) };
}

function* attributesOf(bytes: Buffer, first: number, what: string): Generator<Attribute> {
  let at = first;
  while (at + 4 <= bytes.length) {
    if (bytes.readUInt32LE(at) === END) return;
    if (at + RESIDENT.headerLength > bytes.length) break;
    const length = bytes.readUInt32LE(at + HEADER.length);
    if (length < RESIDENT.headerLength || length % 8 !== 0 || at + length > bytes.length) break;
    yield parseAttribute(bytes.subarray(at, at + length), what);
    at += length;
  }
  throw new FormatError(`${what}: attributes do not end inside it`);
}

function parseAttribute(bytes: Buffer, what: string): Attribute {
  const type = bytes.readUInt32LE(HEADER.type);
  const nameLength = bytes.readUInt8(HEADER.nameLength) * 2;
  const nameOffset = bytes.readUInt16LE(HEADER.nameOffset);
  const flags = bytes.readUInt16LE(HEADER.flags);
  const label = `${what}: attribute 0x${type.toString(16)}`;
  if (nameLength > 0 && nameOffset + nameLength > bytes.length) throw new FormatError(`${label}: name outside`);
  const name = nameLength === 0 ? '' : bytes.toString('utf16le', nameOffset, nameOffset + nameLength);
  const header = { type, name, plain: (flags & (COMPRESSED_MASK | ENCRYPTED)) === 0 };
  if (bytes.readUInt8(HEADER.nonResident) !== 0) return parseNonResident(bytes, header, label);
  const length = bytes.readUInt32LE(RESIDENT.valueLength);
  const offset = bytes.readUInt16LE(RESIDENT.valueOffset);
  if (offset + length > bytes.length) throw new FormatError(`${label}: value outside`);
  return { ...header, resident: true, value: bytes.subarray(offset, offset + length) };
}

function parseNonResident(bytes: Buffer, header: AttributeHeader, label: string): NonResidentAttribute {
  if (bytes.length < NON_RESIDENT.headerLength) throw new FormatError(`${label}: header outside`);
  const runsOffset = bytes.readUInt16LE(NON_RESIDENT.runsOffset);
  if (runsOffset < NON_RESIDENT.headerLength || runsOffset >= bytes.length) {
    throw new FormatError(`${label}: run list outside`);
  }
  const lowestVcn = readU64LE(bytes, NON_RESIDENT.lowestVcn);
  const empty = bytes.readBigUInt64LE(NON_RESIDENT.highestVcn) === MINUS_ONE;
  const highestVcn = empty ? -1 : readU64LE(bytes, NON_RESIDENT.highestVcn);
  const runs = bytes.subarray(runsOffset);
  if (lowestVcn !== 0) return { ...header, resident: false, lowestVcn, highestVcn, runs, sizes: undefined };
  const allocated = readU64LE(bytes, NON_RESIDENT.allocatedSize);
  const data = readU64LE(bytes, NON_RESIDENT.dataSize);
  const initialized = readU64LE(bytes, NON_RESIDENT.initializedSize);
  if (data > allocated || initialized > data) throw new FormatError(`${label}: sizes contradict each other`);
  return { ...header, resident: false, lowestVcn, highestVcn, runs, sizes: { data, initialized } };
}
