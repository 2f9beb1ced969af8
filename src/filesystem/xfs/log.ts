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
/**
 * Writes in flight when the power failed may be torn: up to eight records around the head, behind one that is whole.
 */
const TORN_BEFORE: Bytes = 4 * MiB;
const TORN_BEHIND: Bytes = 2 * MiB;

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
  const before = Math.min(TORN_BEFORE / BASIC_BLOCK, log.blocks);
  const behind = Math.min(TORN_BEHIND / BASIC_BLOCK, log.blocks - before);
  const last = await lastRecord(log, { first: (edge - before + log.blocks) % log.blocks, count: before + behind });
  return last && { header: last.header, unmounted: await isUnmount(log, last) };
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
  const cycle = cycleOf(await readBlock(log, 0));
  let low = 0;
  let high = log.blocks;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (cycleOf(await readBlock(log, middle)) === cycle) low = middle;
    else high = middle;
  }
  return high;
}

/** The record with the greatest sequence number among `count` blocks from `first` on; the log is a ring. */
async function lastRecord(
  log: Log,
  { first, count }: { first: number; count: number },
): Promise<LogRecord | undefined> {
  const most = MiB / BASIC_BLOCK;
  const piece = Buffer.alloc(Math.min(most, count) * BASIC_BLOCK);
  let best: LogRecord | undefined;
  for (let done = 0, blocks = 0; done < count; done += blocks) {
    const from = (first + done) % log.blocks;
    blocks = Math.min(most, count - done, log.blocks - from);
    const bytes = piece.subarray(0, blocks * BASIC_BLOCK);
    await log.volume.read(bytes, log.offset + from * BASIC_BLOCK);
    for (let index = 0; index < blocks; index += 1) {
      if (bytes.readUInt32BE(index * BASIC_BLOCK) !== MAGIC) continue;
      const header = bytes.subarray(index * BASIC_BLOCK, index * BASIC_BLOCK + HEADER_LENGTH);
      if (isRecord(log, header, from + index) && (!best || isLater(header, best.header))) {
        best = { block: from + index, header: Buffer.from(header) };
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
async function isUnmount(log: Log, { block, header }: LogRecord): Promise<boolean> {
  if (header.readUInt32BE(At.operationCount) !== 1 || header.readUInt32BE(At.length) === 0) return false;
  const largest = header.readUInt32BE(At.largest);
  const wide = (header.readUInt32BE(At.version) & 2) !== 0 && largest > CYCLES_PER_HEADER;
  if (wide && largest > LARGEST_RECORD) return false;
  const headers = wide ? Math.ceil(largest / CYCLES_PER_HEADER) : 1;
  const cycle = header.readUInt32BE(At.cycle);
  const body = block + headers;
  const bytes = await readBlock(log, body % log.blocks);
  return (
    cycleOf(bytes) === (body < log.blocks ? cycle : cycle + 1) && (bytes.readUInt8(OPERATION_FLAGS_AT) & UNMOUNT) !== 0
  );
}

async function readBlock({ volume, offset }: Log, block: number): Promise<Buffer> {
  const bytes = Buffer.alloc(BASIC_BLOCK);
  await volume.read(bytes, offset + block * BASIC_BLOCK);
  return bytes;
}

/** Every block begins with the number of the round that wrote it; a record's first block with the magic before it. */
function cycleOf(block: Buffer): number {
  const first = block.readUInt32BE(0);
  return first === MAGIC ? block.readUInt32BE(At.cycle) : first;
}
