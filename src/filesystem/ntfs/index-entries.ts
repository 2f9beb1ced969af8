// All entries of a directory index ($I30), by walking its tree.
// Invariant: every index block is visited at most once, so a tree that loops ends.
// Format: ntfs-3g layout.h (INDEX_ROOT, INDEX_BLOCK, INDEX_ENTRY, FILE_NAME_ATTR).

import { FormatError, readU64LE } from '../../base/u64.js';
import { attempt, parsed } from '../best-effort.js';
import { parseFileName } from './file-name.js';
import { ATTRIBUTE, type FileRecord, type RecordReference, readReference } from './file-record.js';
import { applyFixups } from './fixups.js';
import { type MasterFileTable, openStream } from './master-file-table.js';
import { readStream, type Stream } from './stream.js';

const INDEX_NAME = '$I30';
/** Offset of the index header in an index root and in an index block. */
const ROOT_HEADER = 16;
const BLOCK_HEADER = 24;
const BLOCK_VCN = 16;
const HEADER = { firstEntry: 0, length: 4, headerLength: 16 } as const;
const ENTRY = { record: 0, length: 8, keyLength: 10, flags: 12, key: 16 } as const;
const HAS_CHILD = 1;
const LAST = 2;
/** Index blocks smaller than a cluster are numbered in units of 512 bytes. */
const SMALL_BLOCK_UNIT = 512;
/** A million blocks of 4 KiB: more names than a root directory ever had. */
const MAX_BLOCKS = 2 ** 20;

export interface IndexEntry extends RecordReference {
  /** Undefined for the entry that ends a node. */
  readonly name: string | undefined;
  /** The $FILE_NAME that the entry is sorted by; empty in the entry that ends a node. */
  readonly key: Buffer;
  readonly child: number | undefined;
}

export interface WalkOptions {
  /** Leave out what cannot be read instead of throwing FormatError, and read so many blocks at most. */
  readonly bestEffort?: { left: number };
}

/** Throws FormatError, unless it is told to do what it can. */
export async function* indexEntries(
  mft: MasterFileTable,
  directory: FileRecord,
  { bestEffort }: WalkOptions = {},
): AsyncGenerator<IndexEntry> {
  const what = `MFT record ${directory.number}, directory index`;
  const root = await openStream(mft, directory, { type: ATTRIBUTE.indexRoot, name: INDEX_NAME });
  if (!root?.resident) throw new FormatError(`${what}: no root`);
  const blocks = await openStream(mft, directory, { type: ATTRIBUTE.indexAllocation, name: INDEX_NAME });
  const unit = mft.boot.indexBlockSize < mft.boot.clusterSize ? SMALL_BLOCK_UNIT : mft.boot.clusterSize;
  const visited = new Set<number>();
  const pending: number[] = [];
  let node: Buffer | undefined = root.resident.subarray(Math.min(ROOT_HEADER, root.size));
  for (;;) {
    for (const entry of bestEffort ? readableEntries(node, what) : entriesOf(node ?? NOTHING, what)) {
      if (entry.child !== undefined && !visited.has(entry.child)) {
        visited.add(entry.child);
        pending.push(entry.child);
      }
      yield entry;
    }
    const next = pending.pop();
    if (next === undefined) return;
    if (!blocks || visited.size > MAX_BLOCKS) throw new FormatError(`${what}: impossible tree`);
    if (bestEffort) {
      if (bestEffort.left <= 0) return;
      bestEffort.left -= 1;
      node = await attempt(() => readBlock(mft, blocks, { vcn: next, unit, what }));
    } else {
      node = await readBlock(mft, blocks, { vcn: next, unit, what });
    }
  }
}

const NOTHING = Buffer.alloc(0);

function readableEntries(node: Buffer | undefined, what: string): IndexEntry[] {
  return (node && parsed(() => [...entriesOf(node, what)])) ?? [];
}

async function readBlock(
  mft: MasterFileTable,
  blocks: Stream,
  { vcn, unit, what }: { vcn: number; unit: number; what: string },
): Promise<Buffer> {
  const bytes = Buffer.alloc(mft.boot.indexBlockSize);
  await readStream(mft, blocks, bytes, vcn * unit);
  applyFixups(bytes, ['INDX'], `${what}, block ${vcn}`);
  if (readU64LE(bytes, BLOCK_VCN) !== vcn) throw new FormatError(`${what}: block ${vcn} belongs elsewhere`);
  return bytes.subarray(BLOCK_HEADER);
}

/** Entries of one node; `node` begins at its index header. */
function* entriesOf(node: Buffer, what: string): Generator<IndexEntry> {
  const end = node.length < HEADER.headerLength ? 0 : node.readUInt32LE(HEADER.length);
  let at = end === 0 ? 0 : node.readUInt32LE(HEADER.firstEntry);
  if (end > node.length || at < HEADER.headerLength) throw new FormatError(`${what}: impossible node`);
  while (at + ENTRY.key <= end) {
    const length = node.readUInt16LE(at + ENTRY.length);
    if (length < ENTRY.key || length % 8 !== 0 || at + length > end) break;
    const entry = node.subarray(at, at + length);
    const flags = entry.readUInt16LE(ENTRY.flags);
    const key = (flags & LAST) === 0 ? entry.subarray(ENTRY.key) : NOTHING;
    yield {
      name: (flags & LAST) === 0 ? parseFileName(key, `${what}, entry`).name : undefined,
      key,
      ...readReference(entry, ENTRY.record),
      child: (flags & HAS_CHILD) === 0 ? undefined : childOf(entry, what),
    };
    if ((flags & LAST) !== 0) return;
    at += length;
  }
  throw new FormatError(`${what}: entries do not end inside their node`);
}

/** The block number stands in the entry's last eight bytes. */
function childOf(entry: Buffer, what: string): number {
  if (entry.length < ENTRY.key + 8) throw new FormatError(`${what}: entry too short for its child`);
  return readU64LE(entry, entry.length - 8);
}
