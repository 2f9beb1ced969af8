// What was decided, as plain data for people and machines.

import type { Bytes } from '../base/units.js';
import type { SourceEnd, TargetEnd } from '../location/ends.js';
import { fateOf } from '../plan/arrangement.js';
import { type CopyLayout, excludedBytes, layoutOf, plannedDisk } from '../plan/clone-plan.js';
import { excludedFacts } from '../plan/exclusions.js';
import type { TargetContent } from '../plan/target-content.js';
import type { ClonePlan, PlannedVolumeFacts, PreparedClone } from './clone-types.js';

/** Files get their key when they are made. */
export function isThere({ identity }: SourceEnd | TargetEnd): boolean {
  return identity.key !== '';
}

/** Bytes that the clone reads and writes at most. */
export function bytesOf({ volumes, pieces }: CopyLayout): Bytes {
  const used = volumes.reduce((sum, volume) => sum + volume.used, 0);
  return pieces.reduce((sum, { bytes }) => sum + bytes.length, used);
}

/** The plan of a prepared clone. */
export function describePlan(
  { source, sourceReport, layout, trust, scope, forensic, live, twin }: PreparedClone,
  { target, content, standby }: { target: SourceEnd | TargetEnd; content: TargetContent; standby: boolean },
): ClonePlan {
  const volumes = layout.volumes.map((volume, index): PlannedVolumeFacts => {
    const decided = trust.volumes[index];
    return {
      name: volume.name,
      content: volume.content,
      source: volume.sourceExtent,
      target: volume.targetExtent,
      fate: fateOf(volume.sourceExtent, volume.targetExtent),
      method: volume.allocation.method,
      methodReason: volume.allocation.reason,
      used: volume.used,
      excluded: excludedFacts(volume.allocation.excluded),
      detect: decided?.mode ?? 'first',
      detectReason: decided?.reason ?? '',
      touched: decided?.touched ?? false,
    };
  });
  return {
    source: { ...plannedDisk(source.identity), path: source.place.name, size: source.medium.size },
    target: {
      ...plannedDisk(target.identity),
      path: target.place.name,
      size: target.medium.size,
      exists: isThere(target),
      content: content.summary,
      losses: content.losses,
      blank: content.blank,
      standby: standby && volumes.every(({ touched }) => !touched),
      unfinished: content.armed,
    },
    scope,
    forensic,
    live: live !== undefined,
    twin: twin !== undefined,
    layout: { source: layoutOf(sourceReport), before: layoutOf(content.report), after: layout.parts },
    volumes,
    excludedBytes: excludedBytes(layout),
    bytesToRead: bytesOf(layout),
    lastRun: trust.lineage?.committed,
    warnings: layout.warnings,
  };
}
