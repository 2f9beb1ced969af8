// What a run leaves behind that shows, next time, whether each volume of the target is still as it left it: tokens of
// both sides, and a note in the target's free space.
// Invariant: a new note is written only to an armed target, before the flush that the commit rests on.

import { statSync } from 'node:fs';
import type { PlacedVolume } from '../engine/commit.js';
import type { Tally } from '../engine/tally.js';
import type { TargetEnd } from '../location/ends.js';
import { firstFreeBlock } from '../map/free-block.js';
import { volumeToken } from '../plan/tokens.js';
import { tokenAt } from '../plan/trust.js';
import { sliceSource } from '../source/slice.js';
import type { VolumeRecord } from '../state/record.js';
import { leaveWitness, WITNESS_LENGTH } from '../state/witness.js';
import type { PreparedClone } from './clone-types.js';
import type { Evidence } from './session-record.js';

type KnownWitness = VolumeRecord['witness'];

/** What shows that the source changed under a run. */
export interface SourceState {
  /** Hex, in the plan's order; undefined for volumes without a token. Forensic copies rest on no token at all. */
  readonly tokens: readonly (string | undefined)[];
  /** When a raw file was last written; empty for devices, whose kernels keep no such thing. */
  readonly written: string;
}

export async function readSourceState({ source, layout, forensic }: PreparedClone): Promise<SourceState> {
  const tokens: (string | undefined)[] = [];
  for (const { name, sourceExtent } of layout.volumes) {
    tokens.push(forensic ? undefined : await volumeToken(sliceSource(source.medium, sourceExtent, name)));
  }
  return { tokens, written: lastWritten(source.place.path) };
}

/** Changes with each write to a raw file; empty for devices. */
export function lastWritten(path: string): string {
  const stats = statSync(path, { bigint: true });
  return stats.isFile() ? `${stats.ino} ${stats.size} ${stats.mtimeNs}` : '';
}

/** Names what changed between the two; empty if nothing did. A source that is rescued may fail to give a token. */
export function changesOf({ layout, source }: PreparedClone, before: SourceState, after: SourceState): string[] {
  const volumes = layout.volumes.filter((_, index) => {
    const [a, b] = [before.tokens[index], after.tokens[index]];
    return a !== b && !(source.medium.readAround && (a === undefined || b === undefined));
  });
  if (volumes.length > 0) return volumes.map(({ name }) => name);
  return before.written === after.written ? [] : [source.place.name];
}

/** Where the note of a volume belongs: an offset, `unneeded`, or undefined where no whole block is free. */
export type WitnessPlace = number | 'unneeded' | undefined;

/** In the plan's order. Walks each allocation map up to its first free block. */
export async function witnessPlaces(
  { layout }: PreparedClone,
  placed: readonly PlacedVolume[],
): Promise<WitnessPlace[]> {
  const places: WitnessPlace[] = [];
  for (const [index, { allocation }] of layout.volumes.entries()) {
    const volume = placed[index]?.volume;
    const needed = volume !== undefined && allocation.method === 'allocated';
    const reserved = needed ? [...volume.wiped, ...volume.held] : [];
    places.push(needed ? await firstFreeBlock(volume.allocation, volume.map.grid, reserved) : 'unneeded');
  }
  return places;
}

/** The notes that the target bears already; undefined if one is missing that could be there. */
export function heldWitnesses({ trust }: PreparedClone, places: readonly WitnessPlace[]): KnownWitness[] | undefined {
  const held = places.map((place, index) => (place === 'unneeded' ? place : trust.volumes[index]?.witness));
  return held.some((witness, index) => witness === undefined && places[index] !== undefined) ? undefined : held;
}

/** Leaves new notes. A volume without a whole free block gets none, and is compared next time. */
export async function leaveWitnesses(
  places: readonly WitnessPlace[],
  placed: readonly PlacedVolume[],
  tally: Tally,
): Promise<KnownWitness[]> {
  const witnesses: KnownWitness[] = [];
  for (const [index, place] of places.entries()) {
    const volume = placed[index]?.volume;
    if (typeof place === 'number' && volume) {
      witnesses.push(await leaveWitness(volume.target, place));
      tally.add('written', WITNESS_LENGTH);
    } else {
      witnesses.push(place === 'unneeded' ? place : undefined);
    }
  }
  return witnesses;
}

/** The evidence as it goes into the record. Reads the target's tokens. */
export async function gatherEvidence(
  { layout, forensic }: PreparedClone,
  target: TargetEnd,
  left: {
    readonly sourceTokens: readonly (string | undefined)[];
    readonly witnesses: readonly KnownWitness[];
    readonly catalogues: readonly (string | undefined)[];
  },
): Promise<Evidence[]> {
  const evidence: Evidence[] = [];
  for (const [index, { targetExtent }] of layout.volumes.entries()) {
    const place = { offset: targetExtent.offset, size: targetExtent.length };
    evidence.push({
      sourceToken: left.sourceTokens[index],
      targetToken: forensic ? undefined : await tokenAt(target.medium, place),
      witness: left.witnesses[index],
      catalogue: left.catalogues[index],
    });
  }
  return evidence;
}
