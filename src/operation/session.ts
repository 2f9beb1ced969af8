// What a run leaves in the state folder and on the target's first sectors: begin, arm, commit.
// Invariant: at every moment the record, the maps and the marker on the disk together claim no more than is true.

import { join } from 'node:path';
import { identityChanged } from '../base/errors/safety.js';
import { identify } from '../device/identity.js';
import { type PlacedVolume, voidHeld } from '../engine/commit.js';
import type { TargetEnd } from '../location/ends.js';
import type { BlockMap, Grid } from '../map/block-map.js';
import { type Extent, overlaps } from '../map/extent.js';
import type { VolumeTrust } from '../plan/trust.js';
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
import type { CloneRecord, CommittedRun, RunStamp, VolumeRecord } from '../state/record.js';
import { rememberSource } from '../state/roles.js';
import { type Former, formerContent } from './former.js';
import {
  committedRecord,
  type Evidence,
  type Rescued,
  runningRecord,
  type SessionOptions,
  startingRecord,
  withoutEvidence,
  withoutSource,
} from './session-record.js';

export interface OpenedMap {
  readonly map: BlockMap;
  /** How its volume is copied after all: a map that turns out to be damaged is not trusted. */
  readonly trust: VolumeTrust;
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
  /**
   * While nothing can be written to the maps, what they say is not to be believed: until `trustMaps`, a next run finds
   * the marker of no run that it knows, and compares. Durable when it returns.
   */
  distrustMaps(): void;
  trustMaps(): void;
  /** Makes the run's end durable: evidence in the order of the volumes. */
  commit(evidence: readonly Evidence[], did: Omit<CommittedRun, keyof RunStamp>, rescued?: Rescued): void;
  /** After a commit: no volume stays unread because its source is what it was. Durable when it returns. */
  forgetSource(): void;
  close(): Promise<void>;
}

/** Begins a run: the record says so before any map changes. */
export async function beginSession(options: SessionOptions): Promise<Session> {
  const { folder, target, trust } = options;
  const runId = newId();
  let record = startingRecord(options);
  const fresh = trust.volumes.some(({ record: known }) => known === undefined);
  const recordRunning = (follows: readonly string[], name = runId): void => {
    record = runningRecord(record, name, follows);
    saveRecord(folder, record);
    removeOtherMaps(folder, record);
  };
  if (fresh) recordRunning(trust.markedBy);
  const maps = await openMaps(options, record);
  const { volumes, lineage } = record;
  const former = await formerOf(options, record);
  let placed: readonly PlacedVolume[] = [];
  let arming: Promise<void> | undefined;
  let armed = false;

  async function arm(): Promise<void> {
    refuseChangedIdentity(options.source);
    refuseChangedIdentity(target);
    rememberSource(options.source.identity.key, options.source.identity);
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
    distrustMaps: () => recordRunning([], newId()),
    trustMaps: () => recordRunning([]),
    commit(evidence, did, rescued) {
      const committed = { runId, at: new Date().toISOString(), ...did };
      record = committedRecord(record, options, { evidence, committed, rescued, armed });
      saveCommitted(folder, record, former);
    },
    forgetSource: () => saveRecord(folder, withoutSource(record)),
    close: () => closeAll(maps),
  };
}

function saveCommitted(folder: string, record: CloneRecord, former: Former): void {
  saveRecord(folder, record);
  removeOtherCatalogues(folder, record);
  former.remove();
}

async function closeAll(maps: readonly OpenedMap[]): Promise<void> {
  for (const { map } of maps) await map.close();
}

function formerOf({ folder: parent, target, armed, trust }: SessionOptions, { lineage }: CloneRecord): Promise<Former> {
  const folder = lineageFolder(parent, lineage);
  const running = trust.lineage?.running;
  const unfinished = running ? [running.runId, ...(running.follows ?? [])] : [];
  return formerContent({ folder, target: target.medium, armed, unfinished });
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
