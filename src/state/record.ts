// What is known of a target: which volumes were copied to it, what their maps and tokens are, whether a run is unfinished.
// Invariant: a record that does not parse exactly is no record; then nothing is known, and both sides are compared.

import type { Bytes } from '../base/units.js';
import type { Grid } from '../map/block-map.js';
import type { Extent } from '../map/extent.js';
import type { Witness } from './witness.js';

export const RECORD_VERSION = 1;

export interface MediumRecord {
  readonly key: string;
  readonly id: string;
  readonly path: string;
}

/** A volume on the target. The map is bound to the target's offset, size and block size, not to the partition's number. */
export interface VolumeRecord extends Grid {
  readonly name: string;
  /** Of the volume's first byte on the target medium. */
  readonly offset: Bytes;
  /** File name beside the record. */
  readonly map: string;
  /** File name beside the record: what the source's files looked like at the last commit. Absent while a run writes. */
  readonly catalogue?: string;
  /** Hex; absent where the volume has no token. */
  readonly sourceToken?: string;
  readonly targetToken?: string;
  /** The note in the target's free space; `unneeded` where all of the volume is copied. Without one no map is trusted. */
  readonly witness?: Witness | 'unneeded';
  /** Whose content all digests of the map describe; absent while it is that of two sources. */
  readonly origin?: Origin;
  /** What a rescue could not read and kept from older runs than the last. */
  readonly kept?: readonly KeptExtent[];
}

/** A source as far as its content matters: the medium, or what lies on it, wherever it is attached. */
export interface Origin {
  readonly key: string;
  readonly contentId: string;
  /** ISO 8601: when a run of it was committed last; absent if none was. */
  readonly at?: string;
}

/** Volume offsets, and the run whose content it is; empty if that was forgotten. */
export interface KeptExtent extends Extent {
  readonly at: string;
}

export interface RunStamp {
  readonly runId: string;
  /** ISO 8601. */
  readonly at: string;
}

/** A run under way. Each run has an id of its own: a record from before it must not be taken for its record. */
export interface RunningStamp extends RunStamp {
  /** The interrupted run it goes on with: whose marker the target bore when it began. Two if that marker was cut off. */
  readonly follows?: readonly string[];
}

/** What a committed run did, for the next plan: how long it may take. */
export interface CommittedRun extends RunStamp {
  readonly seconds: number;
  /** Used bytes that were dealt with in that time. */
  readonly done: Bytes;
  readonly written: Bytes;
}

/** One history of runs onto one target: the record of its last commit, and of the run under way, if any. */
export interface CloneRecord {
  readonly version: typeof RECORD_VERSION;
  /** 16 hex digits; also in the header of each of its maps. */
  readonly lineage: string;
  /** Bytes of the target medium that the runs own: all of a disk, or one volume. */
  readonly scope: { readonly offset: Bytes; readonly length: Bytes };
  readonly source: MediumRecord;
  readonly target: MediumRecord;
  readonly volumes: readonly VolumeRecord[];
  /** What may identify the target's content now (table GUID, file system UUID): of the last commit, and of the run under way. */
  readonly contentIds: readonly string[];
  readonly committed?: CommittedRun;
  /** Runs that wrote something since both sides were read; absent: none. */
  readonly runsSinceCheck?: number;
  /** A run that has begun to change maps or target and has not committed. */
  readonly running?: RunningStamp;
  /** Where the volumes went, for the same wish to have the same outcome next time. Absent: they stay where they are. */
  readonly arrangement?: KeptArrangement;
}

export interface KeptArrangement {
  /** Digest of everything that was wished and known when it was decided; hex. */
  readonly wish: string;
  /** Digest of the page, hibernation and swap files that are left out of the volumes; hex. */
  readonly leftOut?: string;
  /** By the partitions' numbers on the source; 0 for a volume without a table. */
  readonly places: readonly (Extent & { readonly number: number })[];
  readonly container?: Extent;
  /** The IDs that were drawn for a twin; whoever uses them checks them. */
  readonly identity?: object;
  /** GUIDs of the GPT in place of an MBR. */
  readonly converted?: { readonly diskId: string; readonly partitionIds: Readonly<Record<number, string>> };
}

/** The record in `value`, or undefined if it is not exactly one. */
export function parseRecord(value: unknown): CloneRecord | undefined {
  const record = fieldsOf(value);
  if (record?.['version'] !== RECORD_VERSION || !isId(record['lineage'])) return undefined;
  const scope = fieldsOf(record['scope']);
  if (!scope || !isBytes(scope['offset']) || !isBytes(scope['length'])) return undefined;
  if (!isTexts(record['contentIds']) || !isMedium(record['source']) || !isMedium(record['target'])) return undefined;
  if (!Array.isArray(record['volumes']) || !record['volumes'].every(isVolume)) return undefined;
  if (record['runsSinceCheck'] !== undefined && !isBytes(record['runsSinceCheck'])) return undefined;
  if (!isRunningOrAbsent(record['running']) || !isCommittedOrAbsent(record['committed'])) return undefined;
  if (!isArrangementOrAbsent(record['arrangement'])) return undefined;
  return value as CloneRecord;
}

function fieldsOf(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
}

function isBytes(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isId(value: unknown): boolean {
  return typeof value === 'string' && /^[0-9A-F]{16}$/.test(value);
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}

function isMedium(value: unknown): boolean {
  const medium = fieldsOf(value);
  return medium !== undefined && ['key', 'id', 'path'].every((name) => typeof medium[name] === 'string');
}

function isStampOrAbsent(value: unknown): boolean {
  const stamp = fieldsOf(value);
  return value === undefined || (isId(stamp?.['runId']) && typeof stamp?.['at'] === 'string');
}

function isRunningOrAbsent(value: unknown): boolean {
  const follows = fieldsOf(value)?.['follows'];
  return isStampOrAbsent(value) && (follows === undefined || (Array.isArray(follows) && follows.every(isId)));
}

function isCommittedOrAbsent(value: unknown): boolean {
  const run = fieldsOf(value);
  if (value === undefined) return true;
  const seconds = run?.['seconds'];
  return (
    isStampOrAbsent(value) &&
    typeof seconds === 'number' &&
    seconds >= 0 &&
    isBytes(run?.['done']) &&
    isBytes(run?.['written'])
  );
}

function isExtent(value: unknown): boolean {
  const extent = fieldsOf(value);
  return isBytes(extent?.['offset']) && isBytes(extent?.['length']);
}

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function isConversion(value: unknown): boolean {
  const { diskId, partitionIds } = fieldsOf(value) ?? {};
  const isGuid = (each: unknown): boolean => typeof each === 'string' && GUID.test(each);
  return isGuid(diskId) && Object.values(fieldsOf(partitionIds) ?? { missing: '' }).every(isGuid);
}

function isDigest(value: unknown): boolean {
  return typeof value === 'string' && /^[0-9a-f]{32}$/.test(value);
}

function isArrangementOrAbsent(value: unknown): boolean {
  const arrangement = fieldsOf(value);
  if (value === undefined) return true;
  const { wish, leftOut, places, container, identity, converted } = arrangement ?? {};
  if (converted !== undefined && !isConversion(converted)) return false;
  const isPlace = (each: unknown): boolean => isExtent(each) && isBytes(fieldsOf(each)?.['number']);
  if (container !== undefined && !isExtent(container)) return false;
  if (identity !== undefined && fieldsOf(identity) === undefined) return false;
  if (leftOut !== undefined && !isDigest(leftOut)) return false;
  return isDigest(wish) && Array.isArray(places) && places.every(isPlace);
}

function isVolume(value: unknown): boolean {
  const volume = fieldsOf(value);
  if (!volume || typeof volume['name'] !== 'string') return false;
  if (typeof volume['map'] !== 'string' || !/^[\w-]+\.map$/.test(volume['map'])) return false;
  const sizes = ['offset', 'size', 'blockSize'].every((name) => isBytes(volume[name]));
  const tokens = ['sourceToken', 'targetToken'].every(
    (name) => volume[name] === undefined || (typeof volume[name] === 'string' && /^[0-9a-f]{32}$/.test(volume[name])),
  );
  const catalogue = volume['catalogue'];
  if (catalogue !== undefined && (typeof catalogue !== 'string' || !/^[\w-]+\.cat$/.test(catalogue))) return false;
  const evidence = tokens && isWitnessOrAbsent(volume['witness']);
  const origins = isOriginOrAbsent(volume['origin']) && isKeptOrAbsent(volume['kept']);
  return sizes && evidence && origins && (volume['blockSize'] as number) > 0;
}

function isWitnessOrAbsent(value: unknown): boolean {
  if (value === undefined || value === 'unneeded') return true;
  const witness = fieldsOf(value);
  const id = witness?.['id'];
  return isBytes(witness?.['offset']) && typeof id === 'string' && /^[0-9a-f]{32}$/.test(id);
}

function isOriginOrAbsent(value: unknown): boolean {
  const origin = fieldsOf(value);
  if (value === undefined) return true;
  const at = origin?.['at'];
  return isTexts([origin?.['key'], origin?.['contentId']]) && (at === undefined || typeof at === 'string');
}

function isKeptOrAbsent(value: unknown): boolean {
  return value === undefined || (Array.isArray(value) && value.every(isKept));
}

function isKept(value: unknown): boolean {
  const kept = fieldsOf(value);
  return isBytes(kept?.['offset']) && isBytes(kept?.['length']) && typeof kept?.['at'] === 'string';
}
