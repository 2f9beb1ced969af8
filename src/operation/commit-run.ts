// The end of a run: what the marker covers is written, and the record says what the target holds.
// Invariant: everything else is durable before the first byte under the marker is written.

import { disarm, fillHeld, type PlacedVolume, type Staged } from '../engine/commit.js';
import { createTally, type Tally } from '../engine/tally.js';
import type { TargetEnd } from '../location/ends.js';
import { excludedBytes } from '../plan/clone-plan.js';
import { inspectDisk, inspectSingle } from '../plan/inspect.js';
import { equalIds } from '../reshape/identity/equal-ids.js';
import type { CloneRunResult, PreparedClone } from './clone-types.js';
import { gatherEvidence, heldWitnesses, leaveWitnesses } from './evidence.js';
import { type Counted, eachOf, sumOf } from './progress.js';
import { readBackSample, verifyAgainstMaps } from './read-back.js';
import { type Copied, type Run, secondsSince } from './run.js';

/** Throws ToolError of the medium; then the next run goes on. */
export async function commitRun(run: Run, copied: Copied): Promise<CloneRunResult> {
  const { target, options, session, rescue, start } = run;
  const { prepared, placed, staged, places, sourceTokens, catalogues } = copied;
  const commit: Counted = { name: 'commit', total: 0, tally: createTally() };
  const counted = [...copied.counted, commit];
  let witnesses = heldWitnesses(prepared, places) ?? [];
  if (session.armed) {
    options.report({ event: 'phase', phase: 'commit', message: 'writing the partition table and boot code' });
    witnesses = await leaveWitnesses(places, placed, commit.tally);
    await complete(run, { placed, staged, tally: commit.tally });
  }
  const { done, written } = sumOf(counted);
  const evidence = await gatherEvidence(prepared, target, { sourceTokens, witnesses, catalogues });
  session.commit(evidence, { seconds: secondsSince(start), done, written }, rescue?.rescued());
  const verified = options.verify
    ? await verifyAgainstMaps(placed, target, { ...run, workers: prepared.workers })
    : undefined;
  const busy = session.armed && prepared.scope === 'disk' ? target.medium.rereadTable() : undefined;
  const warnings = [...run.notes, ...copied.notes];
  if (busy !== undefined) warnings.push(`the kernel still shows the old partitions of ${target.place.name} (${busy})`);
  warnings.push(...(await sharedIds(prepared, target)));
  const unreadable = await rescue?.finish(warnings);
  return {
    seconds: secondsSince(start),
    amounts: sumOf(counted),
    volumes: eachOf(copied.counted.filter(({ name }) => isVolume(name, prepared))),
    changes: await copied.changes?.ofAll(prepared.layout.volumes, placed),
    frozen: prepared.live?.source.times,
    changed: session.armed,
    excludedBytes: excludedBytes(prepared.layout),
    verified,
    warnings,
    references: run.references,
    boot: undefined,
    unreadable,
  };
}

/** A source in use was counted once for each pass; what is no volume are pieces between them, and free space. */
function isVolume(name: string, { layout }: PreparedClone): boolean {
  return layout.volumes.some((volume) => volume.name === name);
}

/** All data is durable before anything makes it count. */
async function complete(
  { prepared, target }: Run,
  { placed, staged, tally }: { placed: readonly PlacedVolume[]; staged: Staged; tally: Tally },
): Promise<void> {
  await target.medium.flush();
  await readBackSample(placed, target);
  await disarm(target.medium, { armed: prepared.armed, pieces: staged.pieces, tally });
  await fillHeld(staged);
}

/** Of a twin: what still makes it look like its source, by the IDs that both disks show now. */
async function sharedIds(
  { twin, sourceReport }: PreparedClone,
  { medium, identity, place }: TargetEnd,
): Promise<string[]> {
  if (!twin) return [];
  const inspectTarget =
    place.scope === 'disk' ? inspectDisk(medium, identity) : inspectSingle(medium, identity, place.name);
  return equalIds(sourceReport, await inspectTarget).map(
    ({ what, id, first }) =>
      `source and target still share an ID (${first || what}: ${id}): do not attach both to one computer`,
  );
}
