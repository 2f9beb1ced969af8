// Refusals before the first write. Each one was somebody's lost disk.
// Invariant: nothing here writes, and no option switches off more than the one check it names.

import { dirname, sep } from 'node:path';
import {
  kernelNameWithYes,
  lacksRoom,
  sameDisk,
  sourceInUse,
  targetHoldsData,
  targetHoldsState,
  targetInUse,
  targetReadOnly,
  targetWasSource,
  wrongOverwriteId,
} from '../base/errors/safety.js';
import type { Bytes } from '../base/units.js';
import { blockDeviceAt, type DiskIdentity } from '../device/identity.js';
import { mediaBelow, mediumNode, usesOf } from '../device/in-use.js';
import { freeSpace, occupiedBytes } from '../device/room.js';
import { overlaps } from '../map/extent.js';
import type { CloneRecord } from '../state/record.js';
import { isKnownSource } from '../state/roles.js';
import type { TargetContent } from './target-content.js';

/** The same medium on both sides, or one inside the other: through links, partitions, loop devices, device mapper. */
export function refuseSameMedium(source: string, target: string): void {
  const sourceNode = mediumNode(source);
  const targetNode = mediumNode(target);
  if (sourceNode === undefined || targetNode === undefined) return;
  if (sourceNode === targetNode) throw sameDisk(source, target, 'both names mean the same medium');
  if (mediaBelow(source).has(targetNode)) throw sameDisk(source, target, `${source} lies on ${target}`);
  if (mediaBelow(target).has(sourceNode)) throw sameDisk(source, target, `${target} lies on ${source}`);
}

/** Mounted, swap, member of something: a source that can change is no source. */
export function refuseUsedSource(source: string): void {
  const uses = usesOf(source).filter((use) => !use.startsWith('attached as'));
  if (uses.length > 0) throw sourceInUse(source, uses);
}

/** Mounted, swap, holder of anything, read-only, or the place of our own state. */
export function refuseUsedTarget(target: string, stateFolder: string): void {
  const node = mediumNode(target);
  const folder = existingParent(stateFolder);
  if (node !== undefined && mediaBelow(folder).has(node)) throw targetHoldsState(target, stateFolder);
  const uses = usesOf(target);
  if (uses.length > 0) throw targetInUse(target, uses);
  if (blockDeviceAt(target)?.readOnly) throw targetReadOnly(target);
}

function existingParent(folder: string): string {
  for (let path = folder; path.length > 1; path = path.slice(0, path.lastIndexOf(sep)) || sep) {
    if (mediumNode(path) !== undefined) return path;
  }
  return sep;
}

export interface RoomQuestion {
  readonly source: DiskIdentity;
  readonly target: DiskIdentity;
  /** False: the target file will be made. */
  readonly exists: boolean;
  /** Bytes that the clone writes at most. */
  readonly bytes: Bytes;
}

/** A target file may have to grow. What it occupies already counts as room, and zeros of a source file stay holes. */
export function refuseLackOfRoom({ source, target, exists, bytes }: RoomQuestion): void {
  if (target.kind !== 'file') return;
  const most = source.kind === 'file' ? Math.min(bytes, occupiedBytes(source.path)) : bytes;
  const needed = most - (exists ? occupiedBytes(target.path) : 0);
  const free = freeSpace(exists ? target.path : dirname(target.path));
  if (needed > free) throw lacksRoom(target.path, { needed, free });
}

export interface OverwriteQuestion {
  readonly source: DiskIdentity;
  readonly target: DiskIdentity;
  readonly content: TargetContent;
  /** Histories of this target. */
  readonly lineages: readonly CloneRecord[];
  /** Histories of single partitions of this target, the newest first. */
  readonly parts?: readonly CloneRecord[];
  /** `--overwrite-target`, if given. */
  readonly overwriteTarget: string | undefined;
  /** `--yes`: nobody will be asked. */
  readonly assumeYes: boolean;
}

/** May this target be overwritten by this source? Throws unless a person will be asked, or everything speaks for it. */
export function refuseUnexpectedTarget(question: OverwriteQuestion): void {
  const { target, content, overwriteTarget, assumeYes } = question;
  if (overwriteTarget !== undefined) {
    // A kernel name says nothing about the disk; the path of a file or a stable name does.
    const path = target.volatileName ? '' : target.path;
    const accepted = [target.id, path, content.contentId].filter((id) => id !== '');
    if (!accepted.includes(overwriteTarget)) throw wrongOverwriteId(target.path, overwriteTarget, target.id);
    return;
  }
  if (isKnownSource(target.key)) throw targetWasSource(target.path, target.id);
  if (!assumeYes || isOurStandby(question)) return;
  if (!content.blank) throw targetHoldsData(target.path, content.summary, target.id);
  if (target.volatileName) throw kernelNameWithYes(target.path, target.id);
}

/** This source was cloned here before, and what lies here now is still that clone (or an unfinished one). */
export function isOurStandby({
  source,
  content,
  lineages,
  parts = [],
}: Pick<OverwriteQuestion, 'source' | 'content' | 'lineages' | 'parts'>): boolean {
  // An older history of a place says nothing of what somebody else put there later.
  const newest = parts.filter(
    ({ scope }, index) => !parts.slice(0, index).some((newer) => overlaps(newer.scope, scope)),
  );
  const ours = newest.filter((record) => record.source.key === source.key);
  return lineages.some((record) => {
    if (record.source.key !== source.key) return false;
    if (content.armed) return record.running !== undefined;
    return (
      content.contentId !== '' &&
      record.contentIds.includes(content.contentId) &&
      hasNothingElse(content, [record, ...ours])
    );
  });
}

/** Partitions that somebody made since hold data that no clone put there, even if the disk kept its GUID. */
function hasNothingElse({ report }: TargetContent, records: readonly CloneRecord[]): boolean {
  const partitions = report?.table?.partitions ?? [];
  const cloned = records.flatMap(({ scope, volumes }) =>
    volumes.map(({ offset, size }) => ({ offset: scope.offset + offset, length: size })),
  );
  return partitions.every(({ extent }) =>
    cloned.some(({ offset, length }) => offset === extent.offset && length === extent.length),
  );
}
