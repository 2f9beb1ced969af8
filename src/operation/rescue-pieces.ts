// Unreadable parts of the bytes between partitions: what the target holds of them from an earlier run stays.
// Invariant: a block of a piece is wholly old or wholly new, but for the table, which is always new.

import type { Bytes } from '../base/units.js';
import { isZero } from '../base/zeros.js';
import { BLOCK_SIZE } from '../map/block-map.js';
import { type Extent, extentEnd, intersect } from '../map/extent.js';
import type { Piece } from '../plan/surroundings.js';
import type { Former } from './former.js';

/** On the disk. */
export interface PieceHole extends Extent {
  readonly piece: string;
  readonly fate: 'zeros' | 'kept';
}

/** Completes the pieces in place. `former`: of an earlier run of the same source, if there was one. */
export async function keepPieces(pieces: readonly Piece[], former: Former | undefined): Promise<PieceHole[]> {
  const found: PieceHole[] = [];
  for (const piece of pieces) {
    for (const extent of piece.holes.length > 0 ? blocksOf(piece) : []) {
      const holes = piece.holes.flatMap((hole) => intersect(hole, extent) ?? []);
      if (holes.length === 0) continue;
      const held = await former?.read(extent);
      const isKept = held !== undefined && holes.some((hole) => !isZero(partOf(held, hole, extent.offset)));
      if (isKept) keep(piece, extent, held);
      found.push(...holes.map((hole): PieceHole => ({ ...hole, piece: piece.name, fate: isKept ? 'kept' : 'zeros' })));
    }
  }
  return found;
}

function* blocksOf({ offset, bytes }: Piece): Generator<Extent> {
  for (let at = 0; at < bytes.length; at += BLOCK_SIZE) {
    yield { offset: offset + at, length: Math.min(BLOCK_SIZE, bytes.length - at) };
  }
}

function keep(piece: Piece, extent: Extent, held: Buffer): void {
  for (const part of piece.travelling.flatMap((each) => intersect(each, extent) ?? [])) {
    partOf(held, part, extent.offset).copy(piece.bytes, part.offset - piece.offset);
  }
}

function partOf(bytes: Buffer, part: Extent, offset: Bytes): Buffer {
  return bytes.subarray(part.offset - offset, extentEnd(part) - offset);
}
