// What the target holds from earlier runs where this one will put its marker, or where an unfinished one did.
// Invariant: bytes of a marker are never given out as content.

import { type Extent, extentEnd, gaps, intersect, overlaps } from '../map/extent.js';
import type { Source } from '../source/types.js';
import { type FormerPiece, loadFormer, removeFormer, saveFormer } from '../state/former.js';
import { looksArmed } from '../state/marker.js';

export interface FormerOptions {
  /** The lineage's own folder. */
  readonly folder: string;
  readonly target: Source;
  readonly armed: readonly Extent[];
  /** The run that was under way, and those it went on with: one of them saved what is under the marker. */
  readonly unfinished: readonly string[];
}

export interface Former {
  /** What the target holds at `extent` of its medium, from before any marker; undefined if that is lost. */
  read(extent: Extent): Promise<Buffer | undefined>;
  /** Makes it durable under the run that is about to put its marker there. */
  save(runId: string): Promise<void>;
  /** The run is committed: what was there before is of no use any more. */
  remove(): void;
}

export async function formerContent({ folder, target, armed, unfinished }: FormerOptions): Promise<Former> {
  const isArmed = await looksArmed(target);
  let saved: FormerPiece[] | undefined;
  if (isArmed) saved = loadFormer(folder, unfinished);
  let isCovered = isArmed;
  return {
    async read(extent) {
      const bytes = Buffer.alloc(extent.length);
      await target.read(bytes, extent.offset);
      if (!isCovered || !armed.some((each) => overlaps(each, extent))) return bytes;
      return saved && overlay(saved, { bytes, extent, armed });
    },
    async save(runId) {
      if (!isArmed) {
        saved = [];
        for (const { offset, length } of armed) {
          const bytes = Buffer.alloc(length);
          await target.read(bytes, offset);
          saved.push({ offset, bytes });
        }
      }
      if (saved) saveFormer(folder, runId, saved);
      isCovered = true;
    },
    remove: () => removeFormer(folder),
  };
}

/** Undefined if some armed byte of the extent is not among the saved ones. */
function overlay(
  saved: readonly FormerPiece[],
  { bytes, extent, armed }: { bytes: Buffer; extent: Extent; armed: readonly Extent[] },
): Buffer | undefined {
  const places = saved.map((piece) => ({ offset: piece.offset, length: piece.bytes.length }));
  for (const covered of armed.flatMap((each) => intersect(each, extent) ?? [])) {
    if ([...gaps(places, covered)].length > 0) return undefined;
  }
  for (const piece of saved) {
    const part = intersect({ offset: piece.offset, length: piece.bytes.length }, extent);
    if (!part) continue;
    piece.bytes.copy(bytes, part.offset - extent.offset, part.offset - piece.offset, extentEnd(part) - piece.offset);
  }
  return bytes;
}
