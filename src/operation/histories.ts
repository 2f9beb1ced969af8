// What is known of a target from earlier runs.

import type { SourceEnd, TargetEnd } from '../location/ends.js';
import { loadLineages, targetFolderPath } from '../state/lineages.js';
import type { CloneRecord } from '../state/record.js';
import { sameScope } from './session.js';

export interface Histories {
  /** Of what is written to now, the newest first. */
  readonly lineages: readonly CloneRecord[];
  /** Of parts of it, or of the disk around it. */
  readonly parts: readonly CloneRecord[];
}

/** Nothing is known of a file that is not there yet. */
export function historiesOf({ identity, place, medium }: SourceEnd | TargetEnd): Histories {
  const all = identity.key === '' ? [] : loadLineages(targetFolderPath(identity.key));
  const scope = { offset: place.offsetOnDisk, length: medium.size };
  const lineages = all.filter((record) => sameScope(record.scope, scope));
  return { lineages, parts: all.filter((record) => !lineages.includes(record)) };
}
