// Finds the last record of an XFS log: whether it says "unmounted", and how far the log got.
// Invariant: bounded work (a search by halves and 6 MiB around what it finds), and a record is believed only in its own
// place: no content can pretend to be one, for the log replaces the first word of each of its blocks.
// Source: "XFS Algorithms & Data Structures", journaling log; kernel fs/xfs/xfs_log_recover.c (xlog_find_head).

import type { Bytes } from '../../base/units.js';
import { KiB, MiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { blockOffset } from './group-headers.js';
import type { Superblock } from './superblock.js';

const MAGIC = 0xfeedbabe;
/** The log counts in these, whatever the sectors are. */
const BASIC_BLOCK = 512;
const CYCLES_PER_HEADER: Bytes = 32 * KiB;
const LARGEST_RECORD: Bytes = 256 * KiB;
/** A power failure tears at most the last eight records that were written. */
const IN_FLIGHT: Bytes = 8 * LARGEST_RECORD;
/** Around the log's edge: what was in flight, and before it a record that is whole. */
const BEFORE_EDGE: Bytes = 2 * IN_FLIGHT;
const BEHIND_EDGE: Bytes = IN_FLIGHT;

const At = {
  magic: 0,
  cycle: 4,
  version: 8,
  length: 12,
  sequenceCycle: 16,
  sequenceBlock: 20,
  operationCount: 40,
  uuid: 304,
  largest: 320,
} as const;
const HEADER_LENGTH = 328;
const OPERATION_FLAGS_AT = 9;
const UNMOUNT = 0x20;

export interface LogHead {
  /** Header of the last record: its sequence number, and that of the oldest record still needed. */
  readonly header: Buffer;
  /** The last record is the one that an unmount writes when everything before it is in its place. */
  readonly unmounted: boolean;
}

/** Undefined if no record of this file system can be found. The log must lie inside the volume. */
export async function readLogHead(
  volume: Source,
  superblock: Superblock,
  { group, start, blocks }: { group: number; start: number; blocks: number },
): Promise<LogHead | undefined> {
  const log: Log = {
    volume,
    offset: blockOffset(superblock, group, start),
    blocks: Math.floor((blocks * superblock.blockSize) / BASIC_BLOCK),
    uuid: superblock.uuid,
  };
  const edge = await findEdge(log);
  const before = Math.min(BEFORE_EDGE / BASIC_BLOCK, log.blocks);
  const behind = Math.min(BEHIND_EDGE / BASIC_BLOCK, log.blocks - before);
  const last = await lastRecord(log, { first: (edge - before + log.blocks) % log.blocks, count: before + behind });
  return last && { header: last.header, unmounted: (await isUnmount(log, last)) && (await isWhole(log, last)) };
}

interface Log {
  readonly volume: Source;
  readonly offset: Bytes;
  /** Basic blocks. */
  readonly blocks: number;
  readonly uuid: Buffer;
}

interface LogRecord {
  readonly block: number;
  readonly header: Buffer;
}

/** Where the log's latest round ended: the first block of an older round than block 0's, or the end. */
async function findEdge(log: Log): Promise<number> {
  const cycle = cycleAt(await readBlock(log, 0), 0);
  let low = 0;
  let high = log.blocks;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (cycleAt(await readBlock(log, middle), 0) === cycle) low = middle;
    else high = middle;
  }
  return high;
}

/** `count` blocks from `first` on, a MiB at a time; the log is a ring. */
async function* piecesOf(
  log: Log,
  { first, count }: { first: number; count: number },
): AsyncGenerator<{ readonly from: number; readonly bytes: Buffer }> {
  const most = MiB / BASIC_BLOCK;
  const piece = Buffer.alloc(Math.min(most, count) * BASIC_BLOCK);
  for (let done = 0, blocks = 0; done < count; done += blocks) {
    const from = (first + done) % log.blocks;
    blocks = Math.min(most, count - done, log.blocks - from);
    const bytes = piece.subarray(0, blocks * BASIC_BLOCK);
    await log.volume.read(bytes, log.offset + from * BASIC_BLOCK);
    yield { from, bytes };
  }
}

/** The record with the greatest sequence number among some blocks. */
async function lastRecord(log: Log, within: { first: number; count: number }): Promise<LogRecord | undefined> {
  let best: LogRecord | undefined;
  for await (const { from, bytes } of piecesOf(log, within)) {
    for (let at = 0; at < bytes.length; at += BASIC_BLOCK) {
      if (bytes.readUInt32BE(at) !== MAGIC) continue;
      const header = bytes.subarray(at, at + HEADER_LENGTH);
      const block = from + at / BASIC_BLOCK;
      if (isRecord(log, header, block) && (!best || isLater(header, best.header))) {
        best = { block, header: Buffer.from(header) };
      }
    }
  }
  return best;
}

/** A header begins with the magic, and names its own place. */
function isRecord({ uuid }: Log, header: Buffer, block: number): boolean {
  return (
    header.readUInt32BE(At.sequenceBlock) === block &&
    header.readUInt32BE(At.sequenceCycle) === header.readUInt32BE(At.cycle) &&
    header.subarray(At.uuid, At.uuid + 16).equals(uuid)
  );
}

function isLater(header: Buffer, than: Buffer): boolean {
  const cycle = header.readUInt32BE(At.sequenceCycle) - than.readUInt32BE(At.sequenceCycle);
  return cycle > 0 || (cycle === 0 && header.readUInt32BE(At.sequenceBlock) > than.readUInt32BE(At.sequenceBlock));
}

/** One operation, marked as unmount, in a body that was written together with its header. */
async function isUnmount(log: Log, record: LogRecord): Promise<boolean> {
  const { block, header } = record;
  if (header.readUInt32BE(At.operationCount) !== 1 || header.readUInt32BE(At.length) === 0) return false;
  const body = block + headersOf(record);
  const bytes = await readBlock(log, body % log.blocks);
  const cycle = header.readUInt32BE(At.cycle) + (body < log.blocks ? 0 : 1);
  return cycleAt(bytes, 0) === cycle && (bytes.readUInt8(OPERATION_FLAGS_AT) & UNMOUNT) !== 0;
}

/** Blocks before a record's body: one for every 32 KiB that the largest record may have. */
function headersOf({ header }: LogRecord): number {
  const isVersion2 = (header.readUInt32BE(At.version) & 2) !== 0;
  const largest = isVersion2 ? header.readUInt32BE(At.largest) : 0;
  return Math.max(1, Math.ceil(Math.min(largest, LARGEST_RECORD) / CYCLES_PER_HEADER));
}

/** Nothing is missing before the record: every block there is of its round. */
async function isWhole(log: Log, record: LogRecord): Promise<boolean> {
  const { block, header } = record;
  const cycle = header.readUInt32BE(At.cycle);
  const own = headersOf(record) + Math.ceil(header.readUInt32BE(At.length) / BASIC_BLOCK);
  const count = Math.max(0, Math.min(IN_FLIGHT / BASIC_BLOCK, log.blocks - own));
  for await (const { from, bytes } of piecesOf(log, { first: (block - count + log.blocks) % log.blocks, count })) {
    for (let at = 0; at < bytes.length; at += BASIC_BLOCK) {
      const round = from + at / BASIC_BLOCK < block ? cycle : cycle - 1;
      if (cycleAt(bytes, at) !== round) return false;
    }
  }
  return true;
}

async function readBlock({ volume, offset }: Log, block: number): Promise<Buffer> {
  const bytes = Buffer.alloc(BASIC_BLOCK);
  await volume.read(bytes, offset + block * BASIC_BLOCK);
  return bytes;
}

/** Every block begins with the number of the round that wrote it; a record's first block with the magic before it. */
function cycleAt(bytes: Buffer, at: number): number {
  const first = bytes.readUInt32BE(at);
  return first === MAGIC ? bytes.readUInt32BE(at + At.cycle) : first;
}
