// What the steps of one run share, and what copying hands to committing.

import type { PlacedVolume, Staged } from '../engine/commit.js';
import type { Executor } from '../engine/executor.js';
import type { TargetEnd } from '../location/ends.js';
import type { References } from '../reshape/identity/references.js';
import type { ChangeCollector } from './changes.js';
import type { CloneOptions, PreparedClone } from './clone-types.js';
import type { SourceState, WitnessPlace } from './evidence.js';
import type { Counted } from './progress.js';
import type { Rescue } from './rescue.js';
import type { Session } from './session.js';

export interface Run {
  /** What is copied: views in place of volumes that change on their way. */
  readonly prepared: PreparedClone;
  readonly before: SourceState;
  /** What is worth knowing about the views. */
  readonly notes: readonly string[];
  readonly references: References | undefined;
  readonly target: TargetEnd;
  readonly options: CloneOptions;
  readonly session: Session;
  readonly inline: Executor;
  readonly rescue: Rescue | undefined;
  /** Of the clock that `secondsSince` asks. */
  readonly start: number;
}

/** The target holds everything but what lies under the marker, and the source is known to have stayed as it was. */
export interface Copied {
  /** Of the moment that the copy is of. */
  readonly prepared: PreparedClone;
  /** The plan's volumes in their order, then all else. */
  readonly placed: readonly PlacedVolume[];
  readonly staged: Staged;
  /** Where each volume has room for a witness. */
  readonly places: readonly WitnessPlace[];
  /** In the plan's order; undefined where none will show that a volume is untouched. */
  readonly sourceTokens: readonly (string | undefined)[];
  /** Names of the files that say what the source's files look like. */
  readonly catalogues: readonly (string | undefined)[];
  /** What was counted for each volume and piece, once for each pass over it. */
  readonly counted: readonly Counted[];
  readonly changes: ChangeCollector | undefined;
  readonly notes: readonly string[];
}

export function secondsSince(start: number): number {
  return (performance.now() - start) / 1000;
}
