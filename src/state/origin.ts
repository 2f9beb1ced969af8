// Does what a target holds stem from the source at hand? Only then may it stay where that source cannot be read.
// Invariant: in doubt it does not: zeros say that something is missing, the content of another disk does not.

import { type Extent, overlaps } from '../map/extent.js';
import type { KeptExtent, Origin, VolumeRecord } from './record.js';

/** How much of what was kept is remembered with its date, a volume. */
const REMEMBERED = 1000;

/** The same medium, or the same content on another: a dying disk is often moved to another adapter. */
export function isSameOrigin(origin: Origin | undefined, { key, contentId }: Origin): boolean {
  if (!origin) return false;
  const isNamed = contentId !== '' && !contentId.startsWith('head ');
  return origin.key === key || (isNamed && origin.contentId === contentId);
}

/** A volume's origin while a run from `source` is under way; `record` if its map goes on, `former` if it starts anew. */
export function originDuring(
  source: Origin,
  { record, former }: { record: VolumeRecord | undefined; former: VolumeRecord | undefined },
): Origin | undefined {
  const known = record ?? former;
  const at = known && isSameOrigin(known.origin, source) ? known.origin?.at : undefined;
  // A map that goes on keeps digests of the other source until the run is committed.
  if (record && !isSameOrigin(record.origin, source)) return undefined;
  return at === undefined ? bare(source) : { ...bare(source), at };
}

function bare({ key, contentId }: Origin): Origin {
  return { key, contentId };
}

/** The run whose content the target holds at `extent`, if something there was kept; ISO 8601. */
export function keptSince({ origin, kept = [] }: Pick<VolumeRecord, 'origin' | 'kept'>, extent: Extent): string {
  return kept.find((each) => overlaps(each, extent))?.at ?? origin?.at ?? '';
}

/** What of a run's kept extents is remembered; the date of what is beyond that is forgotten, not guessed. */
export function remembered(kept: readonly KeptExtent[]): KeptExtent[] {
  const rest = kept[REMEMBERED];
  const last = kept.at(-1);
  if (!rest || !last) return [...kept];
  const length = last.offset + last.length - rest.offset;
  return [...kept.slice(0, REMEMBERED), { offset: rest.offset, length, at: '' }];
}
