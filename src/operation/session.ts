// What a run leaves in the state folder and on the target's first sectors: begin, arm, commit.
// Invariant: at every moment the record, the maps and the marker on the disk together claim no more than is true.

import { join } from 'node:path';
import { identityChanged } from '../base/errors/safety.js';
import { identify } from '../device/identity.js';
import { type PlacedVolume, voidHeld } from '../engine/commit.js';
import type { SourceEnd, TargetEnd } from '../location/ends.js';
import { BLOCK_SIZE, type BlockMap, type Grid } from '../map/block-map.js';
import { type Extent, overlaps } from '../map/extent.js';
import type { Trust, VolumeTrust } from '../plan/trust.js';
import { createBlockMap, openBlockMap } from '../state/block-map-file.js';
import { makeFolder } from '../state/folder.js';
import {
  lineageFolder,
  loadLineages,
  newId,
  removeOtherCatalogues,
  removeOtherMaps,
  saveRecord,
} from '../state/lineages.js';
import { writeMarker } from '../state/marker.js';
import { originDuring, remembered } from '../state/origin.js';
import {
  type CloneRecord,
  type CommittedRun,
  type KeptArrangement,
  type KeptExtent,
  type Origin,
  RECORD_VERSION,
  type RunStamp,
  type VolumeRecord,
} from '../state/record.js';
import { rememberSource } from '../state/roles.js';
import { type Former, formerContent } from './former.js';

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

export interface OpenedMap {
  readonly map: BlockMap;
  /** How its volume is copied after all: a map that turns out to be damaged is not trusted. */
  readonly trust: VolumeTrust;
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

export interface Session {
  readonly maps: readonly OpenedMap[];
  /** What was known of each volume when the run began, its origin as of now. */
  readonly volumes: readonly VolumeRecord[];
  readonly former: Former;
  /** State folder of the target. */
  readonly folder: string;
  /** 16 hex digits: the history that this run goes on with, or begins. */
  readonly lineage: string;
  readonly armed: boolean;
  /** Told of the volumes before the first `arm`, because arming voids the digests of what the marker replaces. */
  useVolumes(volumes: readonly PlacedVolume[]): void;
  /** Marks the target as unfinished; called again it does nothing. Resolves when that is durable. */
  arm(): Promise<void>;
  /** Makes the run's end durable: evidence in the order of the volumes. */
  commit(evidence: readonly Evidence[], did: Omit<CommittedRun, keyof RunStamp>, rescued?: Rescued): void;
  close(): Promise<void>;
}

/** Begins a run: the record says so before any map changes. */
export async function beginSession(options: SessionOptions): Promise<Session> {
  const { folder, target, trust } = options;
  const runId = newId();
  let record = startingRecord(options);
  const fresh = trust.volumes.some(({ record: known }) => known === undefined);
  const recordRunning = (follows: readonly string[]): void => {
    record = { ...record, running: { runId, at: new Date().toISOString(), ...(follows.length > 0 && { follows }) } };
    saveRecord(folder, record);
    removeOtherMaps(folder, record);
  };
  if (fresh) recordRunning(trust.markedBy);
  const maps = await openMaps(options, record);
  const { volumes, lineage } = record;
  const former = await formerOf(options, lineageFolder(folder, lineage));
  let placed: readonly PlacedVolume[] = [];
  let arming: Promise<void> | undefined;
  let armed = false;

  async function arm(): Promise<void> {
    refuseChangedIdentity(options.source);
    refuseChangedIdentity(target);
    const { key, id, path } = options.source.identity;
    rememberSource(key, { id, path });
    record = withoutEvidence(record);
    recordRunning(trust.markedBy);
    strikeOthers(options, record.lineage);
    await voidHeld(placed);
    if (volumes.some(({ origin }) => origin?.at !== undefined)) await former.save(runId);
    armed = true; // from here on the target is not what it was
    await writeMarker(target.medium, runId, options.armed);
    // The former marker is gone. A target that bears it again is an older copy, of which the maps will say too much.
    if (trust.markedBy.length > 0) recordRunning([]);
  }

  return {
    maps,
    volumes,
    former,
    folder,
    lineage,
    get armed() {
      return armed;
    },
    useVolumes(volumes) {
      placed = volumes;
    },
    arm() {
      arming ??= arm();
      return arming;
    },
    commit(evidence, did, rescued) {
      const committed = { runId, at: new Date().toISOString(), ...did };
      record = committedRecord(record, options, { evidence, committed, rescued, armed });
      saveRecord(folder, record);
      removeOtherCatalogues(folder, record);
      former.remove();
    },
    close: () => closeAll(maps),
  };
}

async function closeAll(maps: readonly OpenedMap[]): Promise<void> {
  for (const { map } of maps) await map.close();
}

function formerOf({ target, armed, trust }: SessionOptions, folder: string): Promise<Former> {
  const running = trust.lineage?.running;
  const unfinished = running ? [running.runId, ...(running.follows ?? [])] : [];
  return formerContent({ folder, target: target.medium, armed, unfinished });
}

/** Never a name that was used before: a map that some killed run left behind must not be taken for a new one. */
function mapName(offset: number): string {
  return `volume-${offset}-${newId()}.map`;
}

/** Volumes whose map is used keep their token: it goes on saying what the target holds. All others start without one. */
function startingRecord(options: SessionOptions): CloneRecord {
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

interface Commit {
  readonly evidence: readonly Evidence[];
  readonly committed: CommittedRun;
  readonly rescued: Rescued | undefined;
  /** Something was written. */
  readonly armed: boolean;
}

function committedRecord(
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
function withoutEvidence(record: CloneRecord): CloneRecord {
  return { ...record, volumes: record.volumes.map((volume) => withEvidence(volume, undefined)) };
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

async function openMaps({ folder, trust }: SessionOptions, record: CloneRecord): Promise<OpenedMap[]> {
  const own = lineageFolder(folder, record.lineage);
  makeFolder(own);
  const maps: OpenedMap[] = [];
  for (const [index, volume] of record.volumes.entries()) {
    const decided = trust.volumes[index];
    if (!decided) throw new Error(`internal error: nothing was decided on ${volume.name}`);
    const grid: Grid = { size: volume.size, blockSize: volume.blockSize };
    const path = join(own, volume.map);
    const known = decided.record ? await openBlockMap(path, grid, record.lineage) : undefined;
    if (known) {
      maps.push({ map: known, trust: decided });
    } else {
      const map = await createBlockMap(path, grid, record.lineage);
      const lost: VolumeTrust = { ...decided, mode: 'compare', reason: 'its block map is damaged', record: undefined };
      maps.push({ map, trust: decided.record ? lost : decided });
    }
  }
  return maps;
}

/**
 * Other histories of this target that describe parts of what is about to change: a whole-disk history when a single
 * partition is cloned, and the other way round. Their volumes there are struck, so that their maps claim nothing.
 */
function strikeOthers({ folder, target }: SessionOptions, own: string): void {
  const scope = { offset: target.place.offsetOnDisk, length: target.medium.size };
  for (const other of loadLineages(folder)) {
    if (other.lineage === own || sameScope(other.scope, scope)) continue;
    const volumes = other.volumes.filter(
      (volume) => !overlaps({ offset: other.scope.offset + volume.offset, length: volume.size }, scope),
    );
    if (volumes.length < other.volumes.length) saveRecord(folder, { ...other, volumes });
  }
}

/** Histories of the same scope stay: they belong to other media behind the same identity, and tokens tell them apart. */
export function sameScope(a: Extent, b: Extent): boolean {
  return a.offset === b.offset && a.length === b.length;
}

/** Throws `safety.identity-changed` if the path means another medium by now. */
export function refuseChangedIdentity({ place, identity }: Pick<TargetEnd, 'place' | 'identity'>): void {
  const now = identify(place.path, identity.size);
  if (now.key !== identity.key) throw identityChanged(place.name, identity.id, now.id);
}
