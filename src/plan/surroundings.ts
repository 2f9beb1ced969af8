// Everything on a disk that is no partition but must travel: the table, boot code, the gap before the first partition,
// the records of logical partitions. Composed in memory for the target; a few MiB at most.
// Invariant: pieces never overlap a partition of the target, nor each other.

import { type Bytes, MiB } from '../base/units.js';
import { type Extent, extentEnd, gaps, intersect, normalise } from '../map/extent.js';
import { structures } from '../partition/layout.js';
import type { PartitionTable, TableImage } from '../partition/table.js';
import { readAround } from '../source/around.js';
import type { Source } from '../source/types.js';

/** The gap before the first partition travels up to this length: boot loaders keep their core image there. */
const FIRST_GAP = 16 * MiB;

/** At the end of a disk RAID, ZFS and old GPTs keep signatures: free parts of it are zeroed. */
const TAIL = MiB;

/** A logical partition's record and the gap behind it travel up to this length. */
const RECORD_GAP = MiB;

/** Bytes for the target's `offset`. */
export interface Piece {
  readonly name: string;
  readonly offset: Bytes;
  readonly bytes: Buffer;
  /** What of it the source gives, on the disk; the rest is composed. */
  readonly travelling: readonly Extent[];
  /** What of that could not be read; zeros stand there. */
  readonly holes: readonly Extent[];
}

export interface SurroundingsOptions {
  /** The source's table. */
  readonly table: PartitionTable;
  /** The target's. */
  readonly kind: PartitionTable['kind'];
  readonly image: TableImage;
  readonly targetSize: Bytes;
  /** The target's end is cleared of old signatures from here on, at most its last MiB. */
  readonly clearFrom: Bytes;
}

/** The pieces for a target of `targetSize` bytes that gets `image`. */
export async function composeSurroundings(
  source: Source,
  { table, kind, image, targetSize, clearFrom }: SurroundingsOptions,
): Promise<Piece[]> {
  const whole = { offset: 0, length: targetSize };
  const taken = normalise(image.partitions.map(({ extent }) => extent));
  const first = taken[0]?.offset ?? FIRST_GAP;
  const tail = Math.max(clearFrom, targetSize - TAIL, 0);
  const wanted: Extent[] = [
    { offset: 0, length: Math.min(first, FIRST_GAP) },
    ...(tail < targetSize ? [{ offset: tail, length: targetSize - tail }] : []),
    ...image.writes.map(({ offset, bytes }) => ({
      offset,
      length: isRecord(kind, offset) ? RECORD_GAP : bytes.length,
    })),
  ];
  const pieces: Piece[] = [];
  const room = [...gaps(taken, whole)];
  for (const extent of normalise(wanted)) {
    for (const free of room) {
      const part = intersect(extent, free);
      if (part) pieces.push(await compose(source, part, { table, image }));
    }
  }
  return pieces;
}

/** A target without a table that is longer than its file system: its end is cleared of old signatures. */
export function clearedEnd({ size, targetSize }: { size: Bytes; targetSize: Bytes }): Piece[] {
  const offset = Math.max(size, targetSize - TAIL);
  if (offset >= targetSize) return [];
  return [{ name: 'end of the target', offset, bytes: Buffer.alloc(targetSize - offset), travelling: [], holes: [] }];
}

/** An EBR lies behind the first sector of an MBR disk; the loader code in its gap travels with it. */
function isRecord(kind: PartitionTable['kind'], offset: Bytes): boolean {
  return kind === 'mbr' && offset > 0;
}

/** The source's gap bytes at the same place, without its table, and the target's table over them. */
async function compose(
  source: Source,
  extent: Extent,
  { table, image }: { table: PartitionTable; image: TableImage },
): Promise<Piece> {
  const bytes = Buffer.alloc(extent.length);
  const own = normalise(image.writes.map((write) => ({ offset: write.offset, length: write.bytes.length })));
  const parts = travelling(source, extent, table);
  const holes: Extent[] = [];
  for (const part of parts) {
    const into = bytes.subarray(part.offset - extent.offset, extentEnd(part) - extent.offset);
    holes.push(...(await readAround(source, into, part.offset)));
  }
  for (const write of image.writes) {
    const part = intersect({ offset: write.offset, length: write.bytes.length }, extent);
    if (part)
      write.bytes.copy(bytes, part.offset - extent.offset, part.offset - write.offset, extentEnd(part) - write.offset);
  }
  return {
    name: extent.offset === 0 ? 'boot code and partition table' : 'partition table',
    offset: extent.offset,
    bytes,
    travelling: parts.flatMap((part) => [...gaps(own, part)]),
    holes: holes.flatMap((hole) => [...gaps(own, hole)]),
  };
}

/** Boot code travels in the sector of the MBR; of a GPT that sector is made anew, but not the code. */
const BOOT_CODE: Extent = { offset: 0, length: 440 };

/** The pieces for a table whose first sector could not be read: the boot code in it is a hole too. */
export function withLostBootCode(pieces: readonly Piece[], hole: Extent | undefined): Piece[] {
  return pieces.map((piece) => {
    if (!hole || piece.offset > 0) return piece;
    return { ...piece, travelling: [BOOT_CODE, ...piece.travelling], holes: [hole, ...piece.holes] };
  });
}

/** Unreadable sectors of the table itself. The target gets them anew from what else is known of the table. */
export async function tableHoles(source: Source, table: PartitionTable): Promise<Extent[]> {
  const holes: Extent[] = [];
  for (const extent of structures(table)) {
    const inside = intersect(extent, { offset: 0, length: source.size });
    if (inside) holes.push(...(await readAround(source, Buffer.alloc(inside.length), inside.offset)));
  }
  return holes;
}

/** What of the extent is a gap on the source too, and not its unallocated tail. */
function travelling(source: Source, extent: Extent, table: PartitionTable): Extent[] {
  const inside = intersect(extent, { offset: 0, length: source.size });
  if (!inside) return [];
  const partitions = normalise(table.partitions.map(({ extent: each }) => each));
  const last = partitions.at(-1);
  const taken = normalise([...structures(table), ...partitions]);
  return [...gaps(taken, inside)].filter(({ offset }) => last === undefined || offset < last.offset);
}
