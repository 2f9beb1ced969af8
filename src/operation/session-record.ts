// What the record says of a run: when it begins, while it writes, and when it is committed.
// Invariant: pure data; a record never claims more than what was known when the target's bytes were written.

import type { SourceEnd, TargetEnd } from '../location/ends.js';
import { BLOCK_SIZE } from '../map/block-map.js';
import type { Extent } from '../map/extent.js';
import type { Trust } from '../plan/trust.js';
import { newId } from '../state/lineages.js';
import { originDuring, remembered } from '../state/origin.js';
import {
  type CloneRecord,
  type CommittedRun,
  type KeptArrangement,
  type KeptExtent,
  type Origin,
  RECORD_VERSION,
  type VolumeRecord,
} from '../state/record.js';

export interface SessionOptions {
  /** State folder of the target. */
  readonly folder: string;
  readonly source: SourceEnd;
  readonly target: TargetEnd;
  readonly trust: Trust;
  /** Volumes in the order of `trust.volumes`: name, place on the target medium, size. */
  readonly volumes: readonly { readonly name: string; readonly offset: number; readonly size: number }[];
  readonly armed: readonly Extent[];
  /** Identifies the content that the target will have. */
  readonly contentId: string;
  /** Where the volumes go, if not to their own places. */
  readonly arrangement: KeptArrangement | undefined;
}

/** What shows later whether a volume of the target is still what the run left there. */
export interface Evidence {
  readonly sourceToken: string | undefined;
  readonly targetToken: string | undefined;
  readonly witness: VolumeRecord['witness'];
  /** Name of the file that says what the source's files look like; undefined where that cannot be told. */
  readonly catalogue: string | undefined;
}

/** What a rescue could not read. */
export interface Rescued {
  /** In the order of the volumes. */
  readonly kept: readonly (readonly KeptExtent[])[];
}

/** Never a name that was used before: a map that some killed run left behind must not be taken for a new one. */
function mapName(offset: number): string {
  return `volume-${offset}-${newId()}.map`;
}

/** Volumes whose map is used keep their token: it goes on saying what the target holds. All others start without one. */
export function startingRecord(options: SessionOptions): CloneRecord {
  const { source, target, trust, volumes, contentId, arrangement } = options;
  const { key, id, path } = source.identity;
  const medium = target.identity;
  const scope = { offset: target.place.offsetOnDisk, length: target.medium.size };
  const { lineage } = trust;
  return {
    version: RECORD_VERSION,
    lineage: lineage?.lineage ?? newId(),
    scope,
    source: { key, id, path },
    target: { key: medium.key, id: medium.id, path: medium.path },
    contentIds: [...new Set([...(lineage?.contentIds ?? []), contentId])],
    volumes: volumes.map(({ name, offset, size }, index) => {
      const { record, former } = trust.volumes[index] ?? {};
      const volume = record ?? { name, offset, size, blockSize: BLOCK_SIZE, map: mapName(offset) };
      const { origin: _, ...bare } = withKept(volume, former?.kept);
      const origin = originDuring(originOf({ source, contentId }), { record, former });
      return origin ? { ...bare, origin } : bare;
    }),
    ...(lineage?.committed ? { committed: lineage.committed } : {}),
    ...(lineage?.runsSinceCheck ? { runsSinceCheck: lineage.runsSinceCheck } : {}),
    ...(arrangement ? { arrangement } : {}),
  };
}

/** `follows`: the interrupted run whose marker the target bears. */
export function runningRecord(record: CloneRecord, runId: string, follows: readonly string[]): CloneRecord {
  return { ...record, running: { runId, at: new Date().toISOString(), ...(follows.length > 0 && { follows }) } };
}

interface Commit {
  readonly evidence: readonly Evidence[];
  readonly committed: CommittedRun;
  readonly rescued: Rescued | undefined;
  /** Something was written. */
  readonly armed: boolean;
}

export function committedRecord(
  { running: _, runsSinceCheck = 0, ...rest }: CloneRecord,
  options: SessionOptions,
  { evidence, committed, rescued, armed }: Commit,
): CloneRecord {
  const origin: Origin = { ...originOf(options), at: committed.at };
  const volumes = rest.volumes.map((volume, index) => ({
    ...withKept(withEvidence(volume, evidence[index]), rescued?.kept[index]),
    origin,
  }));
  // Where something was kept, the target may still go by the older of its names.
  const contentIds = rescued ? rest.contentIds : [options.contentId];
  const isCheck = options.trust.volumes.every(({ mode }) => mode === 'first' || mode === 'compare');
  const runs = isCheck ? 0 : runsSinceCheck + (armed ? 1 : 0);
  return { ...rest, volumes, contentIds, committed, ...(runs > 0 ? { runsSinceCheck: runs } : {}) };
}

function originOf({ source, contentId }: Pick<SessionOptions, 'source' | 'contentId'>): Origin {
  return { key: source.identity.key, contentId };
}

function withKept({ kept: _, ...bare }: VolumeRecord, kept: readonly KeptExtent[] | undefined): VolumeRecord {
  return kept && kept.length > 0 ? { ...bare, kept: remembered(kept) } : bare;
}

/**
 * From the first write on the maps follow the target away from what tokens and catalogues describe; only the marker
 * vouches for them. Blocks may come to hold what the source held for a moment only, and no catalogue would ever tell.
 */
export function withoutEvidence(record: CloneRecord): CloneRecord {
  return { ...record, volumes: record.volumes.map((volume) => withEvidence(volume, undefined)) };
}

/** The maps stay, and what shows that the target is as they say; all of the source is read by the next run. */
export function withoutSource(record: CloneRecord): CloneRecord {
  return { ...record, volumes: record.volumes.map(({ sourceToken: _token, catalogue: _catalogue, ...rest }) => rest) };
}

function withEvidence(volume: VolumeRecord, evidence: Evidence | undefined): VolumeRecord {
  const { sourceToken: _source, targetToken: _target, witness: _witness, catalogue: _catalogue, ...bare } = volume;
  const { sourceToken, targetToken, witness, catalogue } = evidence ?? {};
  return {
    ...bare,
    ...(sourceToken === undefined ? {} : { sourceToken }),
    ...(targetToken === undefined ? {} : { targetToken }),
    ...(witness === undefined ? {} : { witness }),
    ...(catalogue === undefined ? {} : { catalogue }),
  };
}
