// Does the target still hold what its block maps say? Decided volume by volume, from tokens and the marker.
// Invariant: a map is trusted only on evidence (the marker, or token and witness); without it both sides are read.

import { BLOCK_SIZE } from '../map/block-map.js';
import { type Extent, extentEnd } from '../map/extent.js';
import { sliceSource } from '../source/slice.js';
import type { Source } from '../source/types.js';
import { looksArmed, readMarker } from '../state/marker.js';
import type { CloneRecord, VolumeRecord } from '../state/record.js';
import { bearsWitness, type Witness } from '../state/witness.js';
import { volumeToken } from './tokens.js';

/**
 * How a volume is copied: blindly for the first time, by digests of all that changed files and the file system's own
 * structures hold, by digests of everything, or by reading both sides.
 */
export type DetectMode = 'first' | 'rapid' | 'hash' | 'compare';

export interface VolumeTrust {
  readonly mode: DetectMode;
  readonly reason: string;
  /** The target's own token says that it was written to since the last run. */
  readonly touched: boolean;
  /** Block map of an earlier run that still holds; only with `rapid` and `hash`. */
  readonly record: VolumeRecord | undefined;
  /** What is known of the source's files proves nothing, unless the source is untouched as a whole. */
  readonly onlyIfUntouched?: boolean;
  /** The note of an earlier run that the volume still bears on the target. */
  readonly witness: Witness | undefined;
  /** What is known of the volume from earlier runs, even if its map is not trusted any more. */
  readonly former?: VolumeRecord | undefined;
}

export interface Trust {
  /** The history that goes on; undefined starts a new one. */
  readonly lineage: CloneRecord | undefined;
  /** True if a run of that history did not end: unknown blocks may be on the target already. */
  readonly unfinished: boolean;
  /** The interrupted run of that history whose marker the target bears: the one to come goes on with it. */
  readonly markedBy: readonly string[];
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
  /** What the target itself calls its volumes now, disjoint: its partitions, else all of it; nothing while it is armed. */
  readonly shown: readonly Extent[];
  /** `compare` was asked for. */
  readonly alwaysCompare: boolean;
  /** Both sides are read again when that many runs wrote something without; undefined: never. */
  readonly fullCheckEvery?: number | undefined;
}

/** Chooses the history of this medium and the mode of each volume. Reads tokens from the target. */
export async function decideTrust(options: TrustOptions): Promise<Trust> {
  const { lineages, target, places, shown } = options;
  const marker = await readMarker(target, options.armed);
  const unfinished = marker === undefined ? undefined : lineages.find(({ running }) => wrote(running, marker));
  const chosen = unfinished
    ? { record: unfinished, holding: new Set(unfinished.volumes), unproven: new Set<VolumeRecord>() }
    : await bestMatch(lineages, target, shown);
  const armed = await looksArmed(target);
  const check = checkReason(options, chosen);
  const volumes: VolumeTrust[] = [];
  for (const place of places) {
    const witness = await findWitness(target, place, lineages);
    volumes.push({ ...trustOf(place, { options, chosen, armed, check }), witness });
  }
  return {
    lineage: chosen?.record,
    unfinished: chosen?.record.running !== undefined,
    markedBy: unfinished && marker ? [...marker] : [],
    volumes,
  };
}

/** Why both sides are read although the block map may hold; empty: no reason. An unfinished run is finished first. */
function checkReason({ alwaysCompare, fullCheckEvery }: TrustOptions, chosen: Chosen | undefined): string {
  if (alwaysCompare) return 'asked for';
  if (fullCheckEvery === undefined || !chosen || chosen.record.running) return '';
  const runs = (chosen.record.runsSinceCheck ?? 0) + 1;
  return runs < fullCheckEvery ? '' : `a full check after ${runs - 1} runs without one (--full-check-every)`;
}

/** All of the marker is the run's own, or that of the run it goes on with: either way nothing else was written since. */
function wrote(running: CloneRecord['running'], marker: ReadonlySet<string>): boolean {
  return running !== undefined && [...marker].every((id) => id === running.runId || running.follows?.includes(id));
}

interface Chosen {
  readonly record: CloneRecord;
  /** Volumes of which the target still holds what the record says. */
  readonly holding: ReadonlySet<VolumeRecord>;
  /** Volumes whose token agrees, but which had no room for a witness. */
  readonly unproven: ReadonlySet<VolumeRecord>;
}

function trustOf(
  place: Place,
  {
    options,
    chosen,
    armed,
    check,
  }: { options: TrustOptions; chosen: Chosen | undefined; armed: boolean; check: string },
): Omit<VolumeTrust, 'witness'> {
  const { lineages } = options;
  const undecided = { record: undefined, touched: false };
  if (lineages.length === 0) {
    return check
      ? { ...undecided, mode: 'compare', reason: check }
      : { ...undecided, mode: 'first', reason: 'never cloned to this target before' };
  }
  const known = (chosen ? [chosen.record] : lineages)
    .flatMap(({ volumes }) => volumes)
    .filter((v) => sameGrid(v, place));
  const record = known.find((volume) => chosen?.holding.has(volume));
  const former = record ?? known.find(({ origin }) => origin !== undefined);
  const unproven = known.some((volume) => chosen?.unproven.has(volume));
  const touched = !armed && !record && !unproven && known.some(({ targetToken }) => targetToken !== undefined);
  if (check) return { ...undecided, mode: 'compare', reason: check, touched, former };
  if (record) return { ...undecided, mode: 'hash', reason: '', record, former };
  if (chosen && known.length === 0) return { ...undecided, mode: 'first', reason: 'new on this target' };
  if (armed) return { ...undecided, mode: 'compare', reason: 'another run left the target unfinished', former };
  if (unproven)
    return { ...undecided, mode: 'compare', reason: 'it is too full to tell the clone from a raw copy', former };
  const tokenless = known.length > 0 && !touched;
  const reason = tokenless
    ? 'its content has no token that would show a change'
    : 'the target was used or changed since the last run';
  return { mode: 'compare', reason, record: undefined, touched, former };
}

function sameGrid(volume: VolumeRecord, { offset, size }: Place): boolean {
  return volume.offset === offset && volume.size === size && volume.blockSize === BLOCK_SIZE;
}

/**
 * True if the target's table, too, says that the volume lies there. A partition that somebody made over the middle of
 * it, or the unfinished run of another computer, may have left superblock and witness as they were.
 */
function stands({ offset, size }: Place, shown: readonly Extent[]): boolean {
  return shown.some((extent) => extent.offset === offset && extentEnd(extent) >= offset + size);
}

/** The history whose tokens and witnesses agree with most of what the target holds now; undefined if none agrees anywhere. */
async function bestMatch(
  lineages: readonly CloneRecord[],
  target: Source,
  shown: readonly Extent[],
): Promise<Chosen | undefined> {
  const tokens = new Map<string, string | undefined>();
  let best: Chosen | undefined;
  for (const record of lineages) {
    const holding = new Set<VolumeRecord>();
    const unproven = new Set<VolumeRecord>();
    for (const volume of record.volumes) {
      if (!stands(volume, shown)) continue;
      const place = `${volume.offset}+${volume.size}`;
      if (!tokens.has(place)) tokens.set(place, await tokenAt(target, volume));
      if (volume.targetToken === undefined || tokens.get(place) !== volume.targetToken) continue;
      if (volume.witness === undefined) unproven.add(volume);
      else if (volume.witness === 'unneeded' || (await findWitness(target, volume, [record]))) holding.add(volume);
    }
    if (holding.size + unproven.size > (best ? best.holding.size + best.unproven.size : 0))
      best = { record, holding, unproven };
  }
  return best;
}

/** The note that one of the histories left in the volume at `place`, if the target bears it. */
async function findWitness(
  target: Source,
  place: Place,
  lineages: readonly CloneRecord[],
): Promise<Witness | undefined> {
  const { offset, size } = place;
  if (offset + size > target.size) return undefined;
  const volume = sliceSource(target, { offset, length: size }, `${target.name} at ${offset}`);
  for (const known of lineages.flatMap(({ volumes }) => volumes)) {
    const { witness } = known;
    if (!sameGrid(known, place) || witness === undefined || witness === 'unneeded') continue;
    if (await bearsWitness(volume, witness)) return witness;
  }
  return undefined;
}

/** The token of what lies at a volume's place on the target now. */
export async function tokenAt(target: Source, { offset, size }: Place): Promise<string | undefined> {
  if (offset + size > target.size) return undefined;
  return volumeToken(sliceSource(target, { offset, length: size }, `${target.name} at ${offset}`));
}
