// Twins: which IDs a clone gets that may stay attached beside its source.
// Invariant: IDs are drawn once; as long as the record is there, all later runs find the same.

import { randomBytes, randomUUID } from 'node:crypto';
import { identityUnknown } from '../base/errors/identity.js';
import type { Arrangement, NewIds } from '../plan/arrangement.js';
import type { DiskReport } from '../plan/inspect.js';
import { whyNoNewId } from '../reshape/identity/new-id.js';
import { renamesOf } from '../reshape/identity/renames.js';
import { type Drawn, drawIdentity, parseTwinIdentity, type TwinIdentity } from '../reshape/identity/twin-identity.js';
import { refuseWindows } from '../reshape/identity/windows.js';
import { sliceSource } from '../source/slice.js';
import type { Source } from '../source/types.js';
import type { CloneRecord } from '../state/record.js';
import type { Twin } from './twin-view.js';

export type IdentityMode = 'keep' | 'new';

export interface TwinOptions {
  readonly source: Source;
  readonly report: DiskReport;
  readonly lineages: readonly CloneRecord[];
  /** False: only a twin that exists is of use (verification). */
  readonly mayDraw: boolean;
}

/** Throws `safety.twin-of-windows`, and `usage.identity-unknown` if none may be drawn and none is known. */
export async function twinIdentity({ source, report, lineages, mayDraw }: TwinOptions): Promise<Drawn> {
  await refuseWindows(source, report.volumes);
  const known = knownIdentity(lineages);
  if (!known && !mayDraw) throw identityUnknown(source.name);
  const fixed: Record<number, string> = {};
  for (const { name, extent, partition, filesystem } of report.volumes) {
    if (!filesystem?.uuid) continue;
    const volume = sliceSource(source, extent, `${source.name} ${name}`);
    const why = await whyNoNewId(volume, filesystem.kind);
    if (why !== undefined) fixed[partition?.number ?? 0] = why;
  }
  return drawIdentity(report, { random: randomBytes, known, fixed });
}

/** For the GPT that takes the place of an MBR. */
export function drawGuids({ table }: DiskReport): Omit<NewIds, 'volumes'> {
  const numbers = (table?.partitions ?? []).map(({ number }) => number);
  return {
    diskId: randomUUID(),
    partitionIds: Object.fromEntries(numbers.map((number) => [number, randomUUID()])),
  };
}

/** What views need to know of a twin; undefined: the clone keeps the IDs of its source. */
export function twinOf(report: DiskReport, { identity }: Arrangement): Twin | undefined {
  return identity && { ids: identity, renames: renamesOf(report, identity) };
}

function knownIdentity(lineages: readonly CloneRecord[]): TwinIdentity | undefined {
  for (const { arrangement } of lineages) {
    const identity = parseTwinIdentity(arrangement?.identity);
    if (identity) return identity;
  }
  return undefined;
}
