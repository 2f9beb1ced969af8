// Finds out what of the source need not be read, and leaves a catalogue of its files for the next run.
// Invariant: a catalogue is named in the record only when the run that wrote it is committed.

import { join } from 'node:path';
import { FormatError } from '../base/u64.js';
import type { Bytes } from '../base/units.js';
import { type ChangeOptions, findUnchanged } from '../detect/changes.js';
import { type Extent, normalise } from '../map/extent.js';
import { Proof } from '../map/proof.js';
import type { PlannedVolume } from '../plan/clone-plan.js';
import { filesystemId, hasRecords } from '../plan/rapid.js';
import { alteredBy } from '../source/altered.js';
import { sliceSource } from '../source/slice.js';
import { openCatalogue, writeCatalogue } from '../state/catalogue.js';
import { CatalogueDamaged } from '../state/catalogue-chunks.js';
import { lineageFolder, newId } from '../state/lineages.js';
import type { PreparedClone } from './clone-types.js';
import type { SourceState } from './evidence.js';
import type { Session } from './session.js';

export interface Detection {
  /** In the plan's order; undefined: everything is read. */
  readonly proofs: readonly (Proof | undefined)[];
  /** Resolves to the names of the catalogues for the record, when they are durable. */
  readonly finish: () => Promise<readonly (string | undefined)[]>;
  /** Why a volume is read whole after all. */
  readonly notes: readonly string[];
  /** Resolves when nothing of this reads the source any more. */
  settled(): Promise<void>;
}

interface Found {
  readonly proof?: Proof | undefined;
  readonly catalogue?: string | undefined;
  readonly note?: string;
}

/**
 * Reads the records of each volume: before the copy where they save reading, beside it where they are only kept for the
 * next run.
 */
export async function detectChanges(
  prepared: PreparedClone,
  before: SourceState,
  session: Session,
): Promise<Detection> {
  const startedAt = Date.now(); // before anything of the source is read
  const found: Promise<Found>[] = [];
  const settled = async (): Promise<void> => void (await Promise.allSettled(found));
  const notes: string[] = [];
  const proofs: (Proof | undefined)[] = [];
  try {
    for (const [index, planned] of prepared.layout.volumes.entries()) {
      const isRapid = session.maps[index]?.trust.mode === 'rapid';
      const work = detectIn({ prepared, planned, session, index, startedAt }, before.tokens[index]);
      work.catch(() => {}); // whoever waits for it is told
      found.push(work);
      const { proof, note } = isRapid ? await work : NOTHING;
      proofs.push(proof);
      if (note) notes.push(note);
    }
  } catch (error) {
    await settled();
    throw error;
  }
  return { proofs, notes, settled, finish: async () => (await Promise.all(found)).map(({ catalogue }) => catalogue) };
}

const NOTHING: Found = {};

interface DetectedVolume {
  readonly prepared: PreparedClone;
  readonly planned: PlannedVolume;
  readonly session: Session;
  readonly index: number;
  readonly startedAt: number;
}

/** `token`: the source's of now; a volume may stay unread if it is that of the last commit. */
async function detectIn(volume: DetectedVolume, token: string | undefined): Promise<Found> {
  const { prepared, planned, session, index } = volume;
  const known = session.volumes[index];
  if (planned.kept) return { catalogue: known?.catalogue };
  if (!hasRecords(planned) || prepared.forensic || prepared.rescue) return {};
  const isRapid = session.maps[index]?.trust.mode === 'rapid';
  const folder = lineageFolder(session.folder, session.lineage);
  const base = isRapid && known?.catalogue !== undefined ? join(folder, known.catalogue) : undefined;
  const altered = alteredIn(planned);
  if (base !== undefined && token !== undefined && token === known?.sourceToken && isSameAltered(base, altered)) {
    const proof = new Proof({ size: planned.targetExtent.length, blockSize: known.blockSize }, 512);
    proof.proveEverything();
    for (const extent of altered) proof.spoil(extent);
    return { proof, catalogue: known.catalogue };
  }
  return compareRecords(volume, { folder, base, altered });
}

/** Then the base stays the catalogue of the next run. */
function isSameAltered(path: string, altered: readonly Extent[]): boolean {
  try {
    const reader = openCatalogue(path);
    reader.close();
    return JSON.stringify(reader.altered) === JSON.stringify(altered);
  } catch (error) {
    if (error instanceof CatalogueDamaged) return false;
    throw error;
  }
}

async function compareRecords(
  { prepared, planned, session, index, startedAt }: DetectedVolume,
  { folder, base, altered }: { folder: string; base: string | undefined; altered: readonly Extent[] },
): Promise<Found> {
  const { plugin, filesystem } = planned.report;
  const opened = session.maps[index];
  if (!plugin || !filesystem || !opened) return {};
  const { sourceExtent, targetExtent, name } = planned;
  const catalogue = `volume-${targetExtent.offset}-${newId()}.cat`;
  const head = {
    lineage: session.lineage,
    startedAt,
    filesystem: filesystemId(filesystem),
    size: sourceExtent.length,
  };
  const writer = writeCatalogue(join(folder, catalogue), head, altered);
  try {
    const options: ChangeOptions = {
      volume: sliceSource(prepared.source.medium, sourceExtent, `${prepared.source.medium.name} ${name}`),
      plugin,
      info: filesystem,
      grid: opened.map.grid,
      base,
      writer,
      startedAt,
      altered,
    };
    const proof = await findUnchanged(options);
    writer.finish();
    return { proof: base === undefined ? undefined : proof, catalogue };
  } catch (error) {
    writer.abandon();
    if (!(error instanceof FormatError)) throw error;
    return { note: `${name} is read whole: ${error.message}` };
  }
}

/** Where the target gets something else than what the source's volume holds. */
function alteredIn({ allocation, view, sourceExtent }: PlannedVolume): Extent[] {
  const size: Bytes = sourceExtent.length;
  return normalise([...allocation.wiped, ...(view ? alteredBy(view, size) : [])]);
}
