// Which volumes need not be read whole: those of whose files it is known what they were at the last commit.
// Invariant: reads and decides only. In doubt a volume is read whole, and the plan says why.

import { join } from 'node:path';
import { digestOf } from '../base/digest.js';
import type { FilesystemInfo } from '../filesystem/plugin.js';
import { type CatalogueHead, openCatalogue } from '../state/catalogue.js';
import { CatalogueDamaged } from '../state/catalogue-chunks.js';
import type { PlannedVolume } from './clone-plan.js';
import { excludesCrash } from './crash.js';
import type { Trust, VolumeTrust } from './trust.js';

export interface RapidOptions {
  readonly volumes: readonly PlannedVolume[];
  /** Folder of the history that goes on. */
  readonly folder: string | undefined;
  /** Key of the source's identity. */
  readonly sourceKey: string;
  /** Why nothing of this run may stay unread; empty: what may, does. */
  readonly forbidden: string;
  /** The user vouches that no system with the source crashed since. */
  readonly trustsSource: boolean;
  /** Of a source in use: which start of this system it is. */
  readonly boot: string | undefined;
  /** Ms since 1970. */
  readonly now: number;
}

/** The trust with `rapid` in place of `hash` where only changed files need to be read, and the reason where not. */
export function withRapid(trust: Trust, options: RapidOptions): Trust {
  const volumes = trust.volumes.map((volume, index): VolumeTrust => {
    const planned = options.volumes[index];
    if (volume.mode !== 'hash' || !planned) return volume;
    const reason = whyNotRapid(planned, { ...options, trust, catalogue: volume.record?.catalogue });
    if (reason === undefined) return { ...volume, mode: 'rapid' };
    if (reason !== MAYBE_CRASHED) return { ...volume, reason };
    if (planned.report.plugin?.tokenMissesTools) return { ...volume, reason: MAYBE_WRITTEN_BELOW };
    return { ...volume, reason, onlyIfUntouched: true };
  });
  return { ...trust, volumes };
}

/** Undefined: nothing stands against it. Empty: the file system has nothing to go by, and never had. */
function whyNotRapid(
  { report, allocation }: PlannedVolume,
  {
    trust,
    catalogue,
    folder,
    sourceKey,
    forbidden,
    trustsSource,
    boot,
    now,
  }: RapidOptions & { readonly trust: Trust; readonly catalogue: string | undefined },
): string | undefined {
  const { plugin, filesystem } = report;
  if (!filesystem || !plugin?.records || allocation.method !== 'allocated') return '';
  if (forbidden) return forbidden;
  if (trust.unfinished) return 'the last run did not end';
  if (trust.lineage?.source.key !== sourceKey) return 'the source is another medium than last time';
  const head = catalogue === undefined || folder === undefined ? undefined : headOf(join(folder, catalogue));
  if (!head || head.lineage !== trust.lineage.lineage) return 'nothing is known of its files yet';
  if (head.filesystem !== filesystemId(filesystem)) return 'its file system was made anew';
  if (head.startedAt > now) return 'the clock was set back';
  return trustsSource || excludesCrash({ head, filesystem, boot }) ? undefined : MAYBE_CRASHED;
}

const MAYBE_CRASHED =
  'unless it is untouched, because a crash since the last run could have left changes without a trace (--detect rapid trusts that there was none)';

const MAYBE_WRITTEN_BELOW =
  'a crash, or a program that writes below the file system, could have left changes without a trace (--detect rapid trusts that there was none)';

function headOf(path: string): CatalogueHead | undefined {
  try {
    const { head, close } = openCatalogue(path);
    close();
    return head;
  } catch (error) {
    if (error instanceof CatalogueDamaged) return undefined;
    throw error;
  }
}

/** True if the files of such a volume can be catalogued. */
export function hasRecords({ report, allocation }: PlannedVolume): boolean {
  return report.filesystem !== undefined && report.plugin?.records !== undefined && allocation.method === 'allocated';
}

/** Hex; tells a file system from one that was made in its place, or grew or shrank. */
export function filesystemId({ kind, uuid, made = '', size, blockSize }: FilesystemInfo): string {
  return digestOf(Buffer.from(JSON.stringify([kind, uuid, made, size, blockSize]))).toString('hex');
}
