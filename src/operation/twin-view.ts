// What a view of a twin's volume shows besides its size: its own new ID, and new IDs wherever its files name old ones.
// Invariant: file systems whose ID is nothing but bytes of a header are patched; only the others need their own tools.

import { identify } from '../filesystem/registry.js';
import { type NewIds, WITHOUT_TABLE } from '../plan/arrangement.js';
import type { PlannedVolume } from '../plan/clone-plan.js';
import { idPatches } from '../reshape/identity/id-patches.js';
import { newIdStep } from '../reshape/identity/new-id.js';
import { NO_REFERENCES, type References, referencePatches } from '../reshape/identity/references.js';
import type { Rename } from '../reshape/identity/renames.js';
import { rewriteReferences } from '../reshape/identity/rewrite.js';
import type { Step } from '../reshape/view.js';
import { patchedSource } from '../source/patched.js';
import type { Source } from '../source/types.js';

/** The IDs of a twin, by partition number, and everything that is renamed. */
export interface Twin {
  readonly ids: NewIds;
  readonly renames: readonly Rename[];
}

const BY_TOOL = ['ext2', 'ext3', 'ext4', 'xfs', 'btrfs'];

/** True if the new ID, or the references to others, take more than patches. */
export function changesByTool({ report: { filesystem } }: PlannedVolume): boolean {
  return filesystem !== undefined && BY_TOOL.includes(filesystem.kind);
}

/** The ID that the volume gets; undefined: it keeps its own, or has none. */
export function newIdOf({ report: { partition } }: PlannedVolume, { ids }: Twin): string | undefined {
  return ids.volumes[partition?.number ?? WITHOUT_TABLE];
}

/** For a view that is made anyway; `report` gets what was found when they have run. */
export function twinSteps(planned: PlannedVolume, twin: Twin, report: (found: References) => void): Step[] {
  const newId = newIdOf(planned, twin);
  const { filesystem } = planned.report;
  const own = newId !== undefined && filesystem ? [newIdStep(filesystem.kind, newId)] : [];
  return [...own, rewriteReferences(twin.renames, report)];
}

export interface Patched {
  readonly source: Source;
  readonly references: References;
}

/** The same by patches over `volume`, which may have its ID already. */
export async function patchedTwin(
  planned: PlannedVolume,
  volume: Source,
  { twin, hasNewId }: { twin: Twin; hasNewId: boolean },
): Promise<Patched> {
  const { recognised } = await identify(volume);
  const newId = newIdOf(planned, twin);
  const own = recognised && newId !== undefined && !hasNewId;
  const ids = own ? await idPatches(volume, recognised.info.kind, newId) : [];
  const found = recognised && (await referencePatches(volume, { recognised, name: planned.name }, twin.renames));
  const patches = [...(ids ?? []), ...(found?.patches ?? [])];
  return {
    source: patches.length > 0 ? patchedSource(volume, patches) : volume,
    references: found?.references ?? NO_REFERENCES,
  };
}
