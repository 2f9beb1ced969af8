// Does the target still hold what its block maps say? Decided volume by volume, from tokens and the marker.
// Invariant: a map is trusted only on evidence; without it both sides are read.

import { BLOCK_SIZE } from '../map/block-map.js';
import type { Extent } from '../map/extent.js';
import { sliceSource } from '../source/slice.js';
import type { Source } from '../source/types.js';
import { looksArmed, readMarker } from '../state/marker.js';
import type { CloneRecord, VolumeRecord } from '../state/record.js';
import { volumeToken } from './tokens.js';

/** How a volume is copied: blindly for the first time, by digests, or by reading both sides. */
export type DetectMode = 'first' | 'hash' | 'compare';

export interface VolumeTrust {
  readonly mode: DetectMode;
  readonly reason: string;
  /** The target's own token says that it was written to since the last run. */
  readonly touched: boolean;
  /** Block map of an earlier run that still holds; only with `hash`. */
  readonly record: VolumeRecord | undefined;
  /** What is known of the volume from earlier runs, even if its map is not trusted any more. */
  readonly former?: VolumeRecord | undefined;
}

export interface Trust {
  /** The history that goes on; undefined starts a new one. */
  readonly lineage: CloneRecord | undefined;
  /** True if a run of that history did not end: unknown blocks may be on the target already. */
  readonly unfinished: boolean;
  /** The run whose marker the target bears, if it is one of that history: it goes on under its id. */
  readonly markedBy: string | undefined;
  readonly volumes: readonly VolumeTrust[];
}

/** Where a wanted volume lies on the target. */
export interface Place {
  readonly offset: number;
  readonly size: number;
}

export interface TrustOptions {
  readonly lineages: readonly CloneRecord[];
  /** What the runs write to: the disk, or the volume. */
  readonly target: Source;
  readonly armed: readonly Extent[];
  readonly places: readonly Place[];
  /** `compare` was asked for. */
  readonly alwaysCompare: boolean;
}

/** Chooses the history of this medium and the mode of each volume. Reads tokens from the target. */
export async function decideTrust(options: TrustOptions): Promise<Trust> {
  const { lineages, target, places } = options;
  const marker = await readMarker(target, options.armed);
  const unfinished = marker === undefined ? undefined : lineages.find(({ running }) => running?.runId === marker);
  const chosen = unfinished
    ? { record: unfinished, holding: new Set(unfinished.volumes) }
    : await bestMatch(lineages, target);
  const armed = await looksArmed(target);
  const volumes = places.map((place) => trustOf(place, { options, chosen, armed }));
  return {
    lineage: chosen?.record,
    unfinished: chosen?.record.running !== undefined,
    markedBy: unfinished && marker,
    volumes,
  };
}

interface Chosen {
  readonly record: CloneRecord;
  /** Volumes of which the target still holds what the record says. */
  readonly holding: ReadonlySet<VolumeRecord>;
}

function trustOf(
  place: Place,
  { options, chosen, armed }: { options: TrustOptions; chosen: Chosen | undefined; armed: boolean },
): VolumeTrust {
  const { lineages, alwaysCompare } = options;
  const undecided = { record: undefined, touched: false };
  if (lineages.length === 0) {
    return alwaysCompare
      ? { ...undecided, mode: 'compare', reason: 'asked for' }
      : { ...undecided, mode: 'first', reason: 'never cloned to this target before' };
  }
  const known = (chosen ? [chosen.record] : lineages)
    .flatMap(({ volumes }) => volumes)
    .filter((v) => sameGrid(v, place));
  const record = known.find((volume) => chosen?.holding.has(volume));
  const former = record ?? known.find(({ origin }) => origin !== undefined);
  const touched = !armed && !record && known.some(({ targetToken }) => targetToken !== undefined);
  if (alwaysCompare) return { ...undecided, mode: 'compare', reason: 'asked for', touched, former };
  if (record) return { ...undecided, mode: 'hash', reason: '', record, former };
  if (chosen && known.length === 0) return { ...undecided, mode: 'first', reason: 'new on this target' };
  if (armed) return { ...undecided, mode: 'compare', reason: 'another run left the target unfinished', former };
  const tokenless = known.length > 0 && !touched;
  const reason = tokenless
    ? 'its content has no token that would show a change'
    : 'the target was used or changed since the last run';
  return { mode: 'compare', reason, record: undefined, touched, former };
}

function sameGrid(volume: VolumeRecord, { offset, size }: Place): boolean {
  return volume.offset === offset && volume.size === size && volume.blockSize === BLOCK_SIZE;
}

/** The history whose tokens agree with most of what the target holds now; undefined if none agrees anywhere. */
async function bestMatch(lineages: readonly CloneRecord[], target: Source): Promise<Chosen | undefined> {
  const tokens = new Map<string, string | undefined>();
  let best: Chosen | undefined;
  for (const record of lineages) {
    const holding = new Set<VolumeRecord>();
    for (const volume of record.volumes) {
      const place = `${volume.offset}+${volume.size}`;
      if (!tokens.has(place)) tokens.set(place, await tokenAt(target, volume));
      if (volume.targetToken !== undefined && tokens.get(place) === volume.targetToken) holding.add(volume);
    }
    if (holding.size > (best?.holding.size ?? 0)) best = { record, holding };
  }
  return best;
}

/** The token of what lies at a volume's place on the target now. */
export async function tokenAt(target: Source, { offset, size }: Place): Promise<string | undefined> {
  if (offset + size > target.size) return undefined;
  return volumeToken(sliceSource(target, { offset, length: size }, `${target.name} at ${offset}`));
}
