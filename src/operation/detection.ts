// Finds out what of the source need not be read, and leaves a catalogue of its files for the next run.
// Invariant: a catalogue is named in the record only when the run that wrote it is committed.

import { join } from 'node:path';
import { FormatError } from '../base/u64.js';
import type { Bytes } from '../base/units.js';
import { findUnchanged, provedBy } from '../detect/changes.js';
import { startOfSystem } from '../device/system.js';
import type { Grid } from '../map/block-map.js';
import { type Extent, normalise } from '../map/extent.js';
import type { Proof } from '../map/proof.js';
import type { PlannedVolume } from '../plan/clone-plan.js';
import { filesystemId, hasRecords } from '../plan/rapid.js';
import { alteredBy } from '../source/altered.js';
import { sliceSource } from '../source/slice.js';
import { openCatalogue, writeCatalogue } from '../state/catalogue.js';
import { CatalogueDamaged, type ChunkWriter, writeChunks } from '../state/catalogue-chunks.js';
import { lineageFolder, newId } from '../state/lineages.js';
import type { PreparedClone } from './clone-types.js';
import type { SourceState } from './evidence.js';
import type { Session } from './session.js';

export interface Detection {
  /** In the plan's order; undefined: everything is read. */
  readonly proofs: readonly (Proof | undefined)[];
  /** Volumes that are what they were as a whole: nothing of them is even looked at. */
  readonly untouched: readonly boolean[];
  /** Resolves to the names of the catalogues for the record, when they are durable. */
  readonly finish: () => Promise<readonly (string | undefined)[]>;
  /** Why a volume is read whole after all. */
  readonly notes: readonly string[];
  /** Resolves when nothing of this reads the source any more. */
  settled(): Promise<void>;
}

interface Found {
  readonly isUntouched?: boolean;
  readonly proof?: Proof | undefined;
  readonly catalogue?: string | undefined;
  readonly note?: string;
}

/** What the known blocks of a volume are known to be copies of. */
export interface FormerState {
  /** Name of the catalogue that says what the files looked like; undefined: nothing is known of them. */
  readonly catalogue: string | undefined;
  /** The source's token at that moment; undefined where it proves nothing. */
  readonly token: string | undefined;
  /** Nothing is known but of a source that is untouched as a whole. */
  readonly onlyIfUntouched?: boolean;
}

export interface DetectOptions {
  readonly prepared: PreparedClone;
  readonly session: Session;
  /** In the plan's order. */
  readonly formers: readonly FormerState[];
  /** The source's tokens of now. */
  readonly tokens: SourceState['tokens'];
  /** From before anything of the source was read, ms since 1970. */
  readonly startedAt: number;
  /** Where the new catalogues go. */
  readonly openFile?: (path: string) => ChunkWriter;
}

/** What the last commit left, of volumes whose plan is to read only what changed. */
export function formersOf({ maps, volumes }: Session): FormerState[] {
  return maps.map(({ trust }, index) => {
    const { onlyIfUntouched = false } = trust;
    const { catalogue, sourceToken } = ((trust.mode === 'rapid' || onlyIfUntouched) && volumes[index]) || {};
    return { catalogue, token: sourceToken, onlyIfUntouched };
  });
}

/**
 * Reads the records of each volume: before the copy where they save reading, beside it where they are only kept for the
 * next run.
 */
export async function detectChanges(options: DetectOptions): Promise<Detection> {
  const found: Promise<Found>[] = [];
  const settled = async (): Promise<void> => void (await Promise.allSettled(found));
  const notes: string[] = [];
  const proofs: (Proof | undefined)[] = [];
  const untouched: boolean[] = [];
  try {
    for (const [index, planned] of options.prepared.layout.volumes.entries()) {
      const work = detectIn(options, planned, index);
      work.catch(() => {}); // whoever waits for it is told
      found.push(work);
      const { proof, isUntouched = false, note } = mayProve(options, index) ? await work : NOTHING;
      proofs.push(proof);
      untouched.push(isUntouched);
      if (note) notes.push(note);
    }
  } catch (error) {
    await settled();
    throw error;
  }
  return {
    proofs,
    untouched,
    notes,
    settled,
    finish: async () => (await Promise.all(found)).map(({ catalogue }) => catalogue),
  };
}

const NOTHING: Found = {};

function mayProve({ formers, tokens }: DetectOptions, index: number): boolean {
  const { catalogue, token, onlyIfUntouched } = formers[index] ?? {};
  return catalogue !== undefined && !(onlyIfUntouched && token !== tokens[index]);
}

async function detectIn(options: DetectOptions, planned: PlannedVolume, index: number): Promise<Found> {
  const { prepared, session, formers, tokens } = options;
  if (planned.kept) return { catalogue: session.volumes[index]?.catalogue };
  const map = session.maps[index]?.map;
  if (!map || !hasRecords(planned) || prepared.forensic || prepared.rescue) return {};
  const folder = lineageFolder(session.folder, session.lineage);
  const { catalogue, token } = formers[index] ?? {};
  const base = catalogue !== undefined && mayProve(options, index) ? join(folder, catalogue) : undefined;
  const altered = alteredIn(planned);
  const isSameToken = token !== undefined && token === tokens[index];
  if (base !== undefined && isSameToken && isSameAltered(base, altered)) {
    const { plugin, filesystem } = planned.report;
    if (!plugin?.tokenMissesPaging || !filesystem) return { isUntouched: true, catalogue };
    const proof = provedBy(base, { grid: map.grid, unit: filesystem.blockSize, altered });
    if (proof) return { proof, catalogue };
  }
  return compareRecords(planned, { ...options, grid: map.grid, folder, base, altered });
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

interface Comparison extends DetectOptions {
  readonly grid: Grid;
  /** Of the catalogues. */
  readonly folder: string;
  readonly base: string | undefined;
  readonly altered: readonly Extent[];
}

async function compareRecords(
  { report, sourceExtent, targetExtent, name }: PlannedVolume,
  { prepared, session, startedAt, openFile = writeChunks, grid, folder, base, altered }: Comparison,
): Promise<Found> {
  const { plugin, filesystem } = report;
  if (!plugin || !filesystem) return {};
  const catalogue = `volume-${targetExtent.offset}-${newId()}.cat`;
  const { lineage } = session;
  const { mounts } = filesystem;
  const boot = prepared.live && startOfSystem();
  const head = { lineage, startedAt, filesystem: filesystemId(filesystem), size: sourceExtent.length, mounts, boot };
  const writer = writeCatalogue(openFile(join(folder, catalogue)), head, altered);
  const { medium } = prepared.source;
  const volume = sliceSource(medium, sourceExtent, `${medium.name} ${name}`);
  try {
    const proof = await findUnchanged({ volume, plugin, info: filesystem, grid, base, writer, startedAt, altered });
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
