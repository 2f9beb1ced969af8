// What a volume's files looked like when it was copied: each record's digest and where its data lies, in groups.
// Invariant: a record without a digest is unknown: it says whose bytes lie where, and proves nothing about them.
// docs/BLOCK_MAP_FORMAT.md describes the bytes.

import { DIGEST_LENGTH, isUnknown } from '../base/digest.js';
import { type Bytes, MiB } from '../base/units.js';
import type { Extent } from '../map/extent.js';
import { CatalogueDamaged, type ChunkReader, type ChunkWriter, readChunks } from './catalogue-chunks.js';

const VERSION = 1;
const Kind = { header: 0x31544143, altered: 0x32544143, groups: 0x33544143, end: 0x34544143 } as const;
/** Groups are gathered up to this length. */
const CHUNK_LENGTH = MiB;

/** Of a group: id, digest, number of records, number of extents. */
const GROUP_HEAD = 32;
const GroupAt = { id: 0, digest: 8, records: 24, extents: 28 } as const;
/** Of a record: its id less the group's, number of extents, digest. */
const RECORD_LENGTH = 24;
const RecordAt = { id: 0, extents: 4, digest: 8 } as const;
/** Offset and length as doubles. */
const EXTENT_LENGTH = 16;

export const UNKNOWN_DIGEST: Buffer = Buffer.alloc(DIGEST_LENGTH);

/** What must be the same for a catalogue to say anything about a volume. */
export interface CatalogueHead {
  /** Of the history whose map it belongs to. */
  readonly lineage: string;
  /** When its records were begun to be read, ms since 1970. */
  readonly startedAt: number;
  /** Hex; digest of what tells the file system from all others. */
  readonly filesystem: string;
  readonly size: Bytes;
  /** How often the file system had been mounted for writing, if it counts that. */
  readonly mounts?: number | undefined;
  /** Of a source in use: which start of this system it was. */
  readonly boot?: string | undefined;
}

export interface CataloguedRecord {
  readonly id: number;
  /** 16 zero bytes: unknown. */
  readonly digest: Buffer;
  readonly extents: readonly Extent[];
}

export interface CatalogueWriter {
  /** 16 zero bytes as `digest`: the group must be parsed again next time. */
  append(group: { id: number; digest: Buffer; records: readonly CataloguedRecord[] }): void;
  /** A group as another catalogue has it. */
  appendCopy(group: CataloguedGroup): void;
  /** Durable when it returns. */
  finish(): void;
  /** Nothing more is written; the file is good for nothing. */
  abandon(): void;
}

/** `altered`: where the target holds something else than the source's bytes: files left out, and what views changed. */
export function writeCatalogue(chunks: ChunkWriter, head: CatalogueHead, altered: readonly Extent[]): CatalogueWriter {
  let pending: Buffer[] = [];
  let length = 0;
  let count = 0;
  const flush = (): void => {
    if (length > 0) chunks.append({ kind: Kind.groups, payload: Buffer.concat(pending, length) });
    pending = [];
    length = 0;
  };
  const add = (bytes: Buffer): void => {
    pending.push(bytes);
    length += bytes.length;
    count += 1;
    if (length >= CHUNK_LENGTH) flush();
  };
  chunks.append({ kind: Kind.header, payload: Buffer.from(JSON.stringify({ version: VERSION, ...head })) });
  chunks.append({ kind: Kind.altered, payload: encodeExtents(altered) });
  return {
    append: (group) => add(encodeGroup(group)),
    appendCopy: ({ bytes }) => add(bytes),
    finish() {
      flush();
      const payload = Buffer.alloc(8);
      payload.writeDoubleLE(count);
      chunks.append({ kind: Kind.end, payload });
      chunks.finish();
    },
    abandon: () => chunks.abandon(),
  };
}

function encodeExtents(extents: readonly Extent[]): Buffer {
  const bytes = Buffer.alloc(extents.length * EXTENT_LENGTH);
  extents.forEach(({ offset, length }, index) => {
    bytes.writeDoubleLE(offset, index * EXTENT_LENGTH);
    bytes.writeDoubleLE(length, index * EXTENT_LENGTH + 8);
  });
  return bytes;
}

type NewGroup = Parameters<CatalogueWriter['append']>[0];

function encodeGroup({ id, digest, records }: NewGroup): Buffer {
  let extentCount = 0;
  for (const { extents } of records) extentCount += extents.length;
  const bytes = Buffer.allocUnsafe(GROUP_HEAD + records.length * RECORD_LENGTH + extentCount * EXTENT_LENGTH);
  bytes.writeDoubleLE(id, GroupAt.id);
  bytes.set(digest, GroupAt.digest);
  bytes.writeUInt32LE(records.length, GroupAt.records);
  bytes.writeUInt32LE(extentCount, GroupAt.extents);
  let at = GROUP_HEAD;
  for (const record of records) {
    bytes.writeUInt32LE(record.id - id, at + RecordAt.id);
    bytes.writeUInt32LE(record.extents.length, at + RecordAt.extents);
    bytes.set(record.digest, at + RecordAt.digest);
    at += RECORD_LENGTH;
  }
  for (const { extents } of records) {
    for (const { offset, length } of extents) {
      bytes.writeDoubleLE(offset, at);
      bytes.writeDoubleLE(length, at + 8);
      at += EXTENT_LENGTH;
    }
  }
  return bytes;
}

/** A group as it lies in a catalogue; decoded only where somebody asks. */
export class CataloguedGroup {
  readonly id: number;
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.id = bytes.readDoubleLE(GroupAt.id);
  }

  /** True if it need not be parsed again while its raw bytes have this digest. */
  hasDigest(digest: Buffer): boolean {
    if (isUnknown(this.bytes, GroupAt.digest)) return false;
    return digest.compare(this.bytes, GroupAt.digest, GroupAt.digest + DIGEST_LENGTH) === 0;
  }

  /** All extents, and whether the record of each is known: for groups that are taken over as they are, nearly all. */
  forEachExtent(act: (isKnown: boolean, offset: Bytes, length: Bytes) => void): void {
    const { bytes } = this;
    const end = GROUP_HEAD + bytes.readUInt32LE(GroupAt.records) * RECORD_LENGTH;
    let extentAt = end;
    for (let at = GROUP_HEAD; at < end; at += RECORD_LENGTH) {
      const isKnown = !isUnknown(bytes, at + RecordAt.digest);
      for (let left = bytes.readUInt32LE(at + RecordAt.extents); left > 0; left -= 1) {
        act(isKnown, bytes.readDoubleLE(extentAt), bytes.readDoubleLE(extentAt + 8));
        extentAt += EXTENT_LENGTH;
      }
    }
  }

  /** Ascending by id. */
  *records(): Generator<CataloguedRecord> {
    const { bytes } = this;
    const count = bytes.readUInt32LE(GroupAt.records);
    let extentAt = GROUP_HEAD + count * RECORD_LENGTH;
    for (let at = GROUP_HEAD; at < GROUP_HEAD + count * RECORD_LENGTH; at += RECORD_LENGTH) {
      const extents: Extent[] = [];
      for (let left = bytes.readUInt32LE(at + RecordAt.extents); left > 0; left -= 1) {
        extents.push({ offset: bytes.readDoubleLE(extentAt), length: bytes.readDoubleLE(extentAt + 8) });
        extentAt += EXTENT_LENGTH;
      }
      const digest = bytes.subarray(at + RecordAt.digest, at + RecordAt.digest + DIGEST_LENGTH);
      yield { id: this.id + bytes.readUInt32LE(at + RecordAt.id), digest, extents };
    }
  }
}

export interface CatalogueReader {
  readonly head: CatalogueHead;
  readonly altered: readonly Extent[];
  /** The next group, in ascending order of ids; undefined after the last. Throws CatalogueDamaged. */
  next(): CataloguedGroup | undefined;
  close(): void;
}

/** Throws CatalogueDamaged. */
export function openCatalogue(path: string): CatalogueReader {
  const chunks = readChunks(path);
  try {
    const head = parseHead(demand(chunks, Kind.header, path), path);
    const altered = decodeExtents(demand(chunks, Kind.altered, path));
    const groups = readGroups(chunks, path);
    return {
      head,
      altered,
      next() {
        const { value, done } = groups.next();
        return done ? undefined : value;
      },
      close: () => chunks.close(),
    };
  } catch (error) {
    chunks.close();
    throw error;
  }
}

function demand(chunks: ChunkReader, kind: number, path: string): Buffer {
  const chunk = chunks.next();
  if (chunk?.kind !== kind) throw new CatalogueDamaged(`${path} has another order than it should`);
  return chunk.payload;
}

function parseHead(payload: Buffer, path: string): CatalogueHead {
  const fields = JSON.parse(payload.toString()) as Record<string, unknown>;
  const { version, lineage, startedAt, filesystem, size, mounts, boot } = fields;
  const numbers = typeof startedAt === 'number' && typeof size === 'number';
  if (version === VERSION && typeof lineage === 'string' && typeof filesystem === 'string' && numbers) {
    const more = { ...(typeof mounts === 'number' && { mounts }), ...(typeof boot === 'string' && { boot }) };
    return { lineage, startedAt, filesystem, size, ...more };
  }
  throw new CatalogueDamaged(`${path} is of another version`);
}

function decodeExtents(bytes: Buffer): Extent[] {
  return Array.from({ length: bytes.length / EXTENT_LENGTH }, (_, index) => ({
    offset: bytes.readDoubleLE(index * EXTENT_LENGTH),
    length: bytes.readDoubleLE(index * EXTENT_LENGTH + 8),
  }));
}

function* readGroups(chunks: ChunkReader, path: string): Generator<CataloguedGroup> {
  let count = 0;
  let chunk = chunks.next();
  for (; chunk?.kind === Kind.groups; chunk = chunks.next()) {
    const { payload } = chunk;
    for (let at = 0; at < payload.length; ) {
      const records = payload.readUInt32LE(at + GroupAt.records);
      const extents = payload.readUInt32LE(at + GroupAt.extents);
      const end = at + GROUP_HEAD + records * RECORD_LENGTH + extents * EXTENT_LENGTH;
      yield new CataloguedGroup(payload.subarray(at, end));
      count += 1;
      at = end;
    }
  }
  const isWhole = chunk?.kind === Kind.end && chunk.payload.readDoubleLE(0) === count;
  if (!isWhole) throw new CatalogueDamaged(`${path} was never finished`);
}
