// What the records of a file say of where its data lies and of when it changed: no more than rapid detection asks.
// Invariant: never throws and never reads outside the record: what is not understood is `false`, and the file is read.
// Format: ntfs-3g layout.h (MFT_RECORD, ATTR_RECORD, STANDARD_INFORMATION, FILE_NAME_ATTR); file-record.ts reads all of it.

import { ALWAYS_READ_FROM, isAlwaysRead } from './always-read.js';
import type { BootSector } from './boot-sector.js';
import { ATTRIBUTE } from './file-record.js';
import { type GatheredStream, gatherRuns } from './gather-runs.js';

const END = 0xffffffff;
const RECORD = { first: 20, bytesInUse: 24, headerLength: 42 } as const;
const HEADER = { length: 4, nonResident: 8, nameLength: 9, nameOffset: 10, flags: 12 } as const;
const RESIDENT = { valueLength: 16, valueOffset: 20, headerLength: 24 } as const;
const NON_RESIDENT = { lowestVcn: 16, runs: 32, dataSize: 48, headerLength: 64 } as const;
const INFORMATION = { modified: 8, changed: 16, length: 48 } as const;
const NAME = { parent: 0, length: 64, text: 66 } as const;
/** Sparse and encrypted; all else is compression, or unknown. */
const UNDERSTOOD_FLAGS = 0x8000 | 0x4000;

/** What all records of one file told so far. */
export interface Gathered {
  /** Undefined until $STANDARD_INFORMATION was seen; ms since 1970. */
  changedAt: number | undefined;
  named: boolean;
  /** By its name, its place or its size. */
  alwaysRead: boolean;
  hasList: boolean;
  readonly streams: GatheredStream[];
}

/** What a record is looked at with. */
export interface Surroundings {
  readonly boot: BootSector;
  readonly systemFolders: ReadonlySet<number>;
}

export function emptyGathered(): Gathered {
  return { changedAt: undefined, named: false, alwaysRead: false, hasList: false, streams: [] };
}

/** Adds what `record` says, whose fixups were applied. False: it is not understood. */
export function gather(record: Buffer, into: Gathered, surroundings: Surroundings): boolean {
  const end = record.readUInt32LE(RECORD.bytesInUse);
  let at = record.readUInt16LE(RECORD.first);
  if (end > record.length || at < RECORD.headerLength || at % 8 !== 0) return false;
  while (at + 4 <= end) {
    const type = record.readUInt32LE(at);
    if (type === END) return true;
    if (at + RESIDENT.headerLength > end) return false;
    const length = record.readUInt32LE(at + HEADER.length);
    if (length < RESIDENT.headerLength || length % 8 !== 0 || at + length > end) return false;
    if (!gatherAttribute(record.subarray(at, at + length), into, { type, surroundings })) return false;
    at += length;
  }
  return false;
}

function gatherAttribute(
  attribute: Buffer,
  into: Gathered,
  { type, surroundings }: { type: number; surroundings: Surroundings },
): boolean {
  const resident = attribute[HEADER.nonResident] === 0;
  switch (type) {
    case ATTRIBUTE.attributeList:
      into.hasList = true;
      return true;
    case ATTRIBUTE.standardInformation:
      return resident && gatherTimes(attribute, into);
    case ATTRIBUTE.fileName:
      return resident && gatherName(attribute, into, surroundings.systemFolders);
    case ATTRIBUTE.data:
      return resident || gatherData(attribute, into, surroundings.boot);
    default:
      return true; // what it has outside the record belongs to no stream, and is read
  }
}

/** Where the value of a resident attribute begins; -1 unless it is whole and has `least` bytes. */
function valueOffset(attribute: Buffer, least: number): number {
  const length = attribute.readUInt32LE(RESIDENT.valueLength);
  const offset = attribute.readUInt16LE(RESIDENT.valueOffset);
  return length < least || offset + length > attribute.length ? -1 : offset;
}

function gatherTimes(attribute: Buffer, into: Gathered): boolean {
  const value = valueOffset(attribute, INFORMATION.length);
  if (value < 0 || into.changedAt !== undefined) return false;
  into.changedAt = Math.max(
    unixTime(attribute, value + INFORMATION.modified),
    unixTime(attribute, value + INFORMATION.changed),
  );
  return true;
}

/** Milliseconds between 1601 and 1970. */
const EPOCH_MS = 11_644_473_600_000;

/** Tenths of microseconds since 1601 as milliseconds since 1970; exact to far less than one. */
function unixTime(bytes: Buffer, at: number): number {
  return (bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at)) / 10_000 - EPOCH_MS;
}

function gatherName(attribute: Buffer, into: Gathered, systemFolders: ReadonlySet<number>): boolean {
  const value = valueOffset(attribute, NAME.text);
  if (value < 0) return false;
  const end = value + NAME.text + attribute.readUInt8(value + NAME.length) * 2;
  if (end > attribute.length) return false;
  into.named = true;
  if (systemFolders.has(attribute.readUIntLE(value + NAME.parent, 6))) into.alwaysRead = true;
  else if (isAlwaysRead(attribute.toString('utf16le', value + NAME.text, end))) into.alwaysRead = true;
  return true;
}

function gatherData(attribute: Buffer, into: Gathered, boot: BootSector): boolean {
  if (attribute.length < NON_RESIDENT.headerLength) return false;
  const nameOffset = attribute.readUInt16LE(HEADER.nameOffset);
  const nameEnd = nameOffset + attribute.readUInt8(HEADER.nameLength) * 2;
  if (nameEnd > attribute.length) return false;
  const stream = streamOf(into, attribute.toString('utf16le', nameOffset, nameEnd));
  if (readDouble(attribute, NON_RESIDENT.lowestVcn) === 0) {
    if (stream.size !== undefined) return false;
    stream.size = readDouble(attribute, NON_RESIDENT.dataSize);
    if (stream.size >= ALWAYS_READ_FROM) into.alwaysRead = true;
  }
  if ((attribute.readUInt16LE(HEADER.flags) & ~UNDERSTOOD_FLAGS) !== 0) stream.solid = false;
  const runs = attribute.readUInt16LE(NON_RESIDENT.runs);
  return runs >= NON_RESIDENT.headerLength && gatherRuns(attribute, runs, { into: stream, boot });
}

/** Most files have one. */
function streamOf({ streams }: Gathered, name: string): GatheredStream {
  for (const stream of streams) if (stream.name === name) return stream;
  const stream: GatheredStream = { name, size: undefined, clusters: 0, solid: true, extents: [] };
  streams.push(stream);
  return stream;
}

/** 64 bits; beyond 2^53 not exact, which no comparison here minds. */
function readDouble(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);
}
