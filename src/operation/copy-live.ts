// Copies a source that is in use: passes while everybody writes, and a last one while its file systems are frozen.
// Invariant: each pass begins with the records of a frozen moment: what they describe is on the disk then, and a file that
// changes, moves or goes afterwards has another record. What has the same one in the last pass was read as it is.

import { tooMuchChanges } from '../base/errors/live.js';
import { sourceChanged } from '../base/errors/run.js';
import type { PlacedVolume } from '../engine/commit.js';
import type { AllocationMap } from '../map/allocation-map.js';
import { type BufferedBlockMap, bufferedBlockMap } from '../map/buffered-block-map.js';
import { allocationOf } from '../plan/allocation.js';
import type { PlannedVolume } from '../plan/clone-plan.js';
import { patchedSource } from '../source/patched.js';
import { sliceSource } from '../source/slice.js';
import type { Source } from '../source/types.js';
import { type HeldChunks, holdChunks } from '../state/catalogue-chunks.js';
import { ChangeCollector } from './changes.js';
import type { PreparedClone } from './clone-types.js';
import { buildVolumes } from './clone-volumes.js';
import { copyAndStage, copyVolumes, countedOf } from './copy-source.js';
import { type Detection, detectChanges, type FormerState, formersOf } from './detection.js';
import { readSourceState, witnessPlaces } from './evidence.js';
import { type LiveClone, LONGEST_FREEZE_S } from './live-source.js';
import { patientMap } from './patient-map.js';
import { type Counted, reportProgress } from './progress.js';
import { type Copied, type Run, secondsSince } from './run.js';

const MOST_PASSES = 6;
/** A pass that takes no longer is short enough for the last one. */
const SHORT_PASS_S = 0.5;
/** One that takes nearly as long as the one before will not get shorter. */
const NO_SHORTER = 0.7;
/** The last pass may take longer than the one before it, and must end in time. */
const LONGEST_PASS_S = LONGEST_FREEZE_S / 3;

/** Throws ToolError; the next run goes on. */
export async function copyLive(run: Run, live: LiveClone): Promise<Copied> {
  const passes = new Passes(run, live);
  let last = Number.POSITIVE_INFINITY;
  for (let pass = 1; ; pass += 1) {
    const seconds = await passes.copyInUse(pass);
    if (seconds < SHORT_PASS_S || seconds > last * NO_SHORTER || pass === MOST_PASSES) {
      if (seconds > LONGEST_PASS_S && pass > 1) throw tooMuchChanges(seconds, LONGEST_FREEZE_S);
      if (pass > 1 || seconds < SHORT_PASS_S) return passes.copyFrozen();
    }
    last = seconds;
  }
}

class Passes {
  readonly #run: Run;
  readonly #live: LiveClone;
  readonly #changes: ChangeCollector | undefined;
  /** What the known blocks of each volume are copies of. */
  #formers: readonly FormerState[];
  #counted: Counted[] = [];

  constructor(run: Run, live: LiveClone) {
    this.#run = run;
    this.#live = live;
    this.#changes = run.options.showChanges ? new ChangeCollector() : undefined;
    this.#formers = formersOf(run.session).map((former, index) =>
      this.#isMounted(index) ? { ...former, token: undefined } : former,
    );
  }

  /** One pass while the source is in use. Returns how long it took, in seconds. */
  async copyInUse(pass: number): Promise<number> {
    const { session, target, options } = this.#run;
    const { source } = this.#live;
    const catalogues: HeldChunks[] = [];
    const { prepared, detection } = await source.frozen(async (at) => {
      const now = await this.#preparedNow(pass > 1);
      return { prepared: now, detection: await this.#detectNow(now, at, catalogues) };
    });
    for (const held of catalogues) held.release();
    const start = performance.now();
    try {
      const layout = {
        ...prepared.layout,
        volumes: prepared.layout.volumes.map((volume, index) => this.#patient(volume, index)),
      };
      const placed = buildVolumes({ ...prepared, layout }, target, { session, detection, again: pass > 1 });
      session.useVolumes(placed);
      if (pass === 1) await session.arm();
      const message = `copying while the source is in use, pass ${pass}`;
      options.report({ event: 'phase', phase: 'copy', message });
      const counted = countedOf(prepared, placed);
      this.#counted.push(...counted);
      const stop = reportProgress(counted, options.report);
      try {
        await copyVolumes({ ...this.#run, prepared }, placed, this.#changes);
      } finally {
        stop();
      }
      this.#formers = this.#formersAfter(prepared, await detection.finish());
      return secondsSince(start);
    } finally {
      await detection.settled();
    }
  }

  /** The pass that settles it. Nothing is written but to the target until the source is thawed. */
  async copyFrozen(): Promise<Copied> {
    const { session } = this.#run;
    session.distrustMaps(); // the maps' changes stay in memory for as long as their file system may be frozen
    const buffers: BufferedBlockMap[] = [];
    const catalogues: HeldChunks[] = [];
    const copied = await this.#live.source.frozen((at) => this.#copyAt(at, { buffers, catalogues }));
    for (const buffer of buffers) await buffer.release();
    for (const held of catalogues) held.release();
    session.trustMaps();
    return copied;
  }

  async #copyAt(startedAt: number, { buffers, catalogues }: Held): Promise<Copied> {
    const { session, target } = this.#run;
    const prepared = await this.#preparedNow(true);
    const detection = await this.#detectNow(prepared, startedAt, catalogues);
    try {
      const placed = buildVolumes(prepared, target, { session, detection, again: true }).map((each) =>
        withBuffer(each, buffers),
      );
      session.useVolumes(placed);
      const counted = countedOf(prepared, placed);
      this.#counted.push(...counted);
      const changes = this.#changes;
      const staged = await copyAndStage({ ...this.#run, prepared }, placed, { counted, changes });
      const places = await witnessPlaces(prepared, placed);
      const names = this.#formersAfter(prepared, await detection.finish()).map(({ catalogue }) => catalogue);
      const sourceTokens = await this.#unchangedTokens(prepared);
      const { notes } = detection;
      return {
        prepared,
        placed,
        staged,
        places,
        sourceTokens,
        catalogues: names,
        counted: this.#counted,
        changes,
        notes,
      };
    } finally {
      await detection.settled();
    }
  }

  /** The plan as of now. What is not mounted was copied by the first pass and stays as it is. */
  async #preparedNow(again: boolean): Promise<PreparedClone> {
    const { prepared } = this.#run;
    prepared.source.dropCache?.(); // what was read through it before may have changed on the medium
    const layout = await this.#live.planAgain();
    const moved = prepared.layout.volumes.filter((planned, index) => !isSame(planned, layout.volumes[index]));
    const others = layout.volumes.length !== prepared.layout.volumes.length;
    if (moved.length > 0 || others) throw sourceChanged(namesOf(moved, prepared), { armed: this.#run.session.armed });
    const volumes = layout.volumes.map((volume, index) => {
      if (this.#isMounted(index)) return this.#patched(volume);
      const viewed = prepared.layout.volumes[index] ?? volume; // as it will be at its place on the target
      return again ? { ...viewed, kept: true } : viewed;
    });
    return { ...prepared, layout: { ...layout, volumes } };
  }

  #patched(planned: PlannedVolume): PlannedVolume {
    const { patches } = planned;
    return patches.length > 0 ? { ...planned, view: patchedSource(this.#sliceOf(planned), patches) } : planned;
  }

  #sliceOf({ name, sourceExtent }: PlannedVolume): Source {
    const { medium } = this.#run.prepared.source;
    return sliceSource(medium, sourceExtent, `${medium.name} ${name}`);
  }

  /** The records of the frozen source, all of them; the catalogues stay in memory, because no file may be written. */
  async #detectNow(prepared: PreparedClone, startedAt: number, catalogues: HeldChunks[]): Promise<Detection> {
    const tokens = await this.#staticTokens(prepared);
    const openFile = (path: string): HeldChunks['writer'] => {
      const held = holdChunks(path);
      catalogues.push(held);
      return held.writer;
    };
    const { session } = this.#run;
    const detection = await detectChanges({
      prepared,
      session,
      formers: this.#formers,
      tokens,
      startedAt,
      openFile,
    });
    await detection.settled();
    return detection;
  }

  /** A map that is read while the file system changes it: opened again where it contradicts itself. */
  #patient(planned: PlannedVolume, index: number): PlannedVolume {
    if (!this.#isMounted(index)) return planned;
    const volume = this.#sliceOf(planned);
    const open = async (): Promise<AllocationMap> => (await allocationOf(volume, planned.report, PLAIN)).map;
    return { ...planned, allocation: { ...planned.allocation, map: patientMap(planned.allocation.map, open) } };
  }

  /** Of the last pass: each volume's blocks hold what its catalogue describes. */
  #formersAfter({ layout }: PreparedClone, catalogues: readonly (string | undefined)[]): FormerState[] {
    return catalogues.map((catalogue, index) => {
      const kept = layout.volumes[index]?.kept && this.#formers[index];
      return kept || { catalogue, token: undefined };
    });
  }

  #isMounted(index: number): boolean {
    const planned = this.#run.prepared.layout.volumes[index];
    return planned !== undefined && this.#live.source.isMounted(planned.sourceExtent);
  }

  /** Tokens of what is not mounted; paging may change a swap area at any time, and its content is worth nothing. */
  async #staticTokens(prepared: PreparedClone): Promise<(string | undefined)[]> {
    const { tokens } = await readSourceState(prepared);
    return tokens.map((token, index) => (this.#isStatic(index) ? token : undefined));
  }

  #isStatic(index: number): boolean {
    return !this.#isMounted(index) && this.#run.prepared.layout.volumes[index]?.report.filesystem?.kind !== 'swap';
  }

  /** Throws if something that is not mounted changed since the run began. */
  async #unchangedTokens(prepared: PreparedClone): Promise<(string | undefined)[]> {
    const tokens = await this.#staticTokens(prepared);
    const { before } = this.#run;
    const changed = prepared.layout.volumes.filter(
      (_, index) => this.#isStatic(index) && tokens[index] !== before.tokens[index],
    );
    if (changed.length > 0) throw sourceChanged(namesOf(changed, prepared), { armed: true });
    return tokens;
  }
}

/** What waits in memory until the source is thawed. */
interface Held {
  readonly buffers: BufferedBlockMap[];
  readonly catalogues: HeldChunks[];
}

const PLAIN = { forensic: false, leaveOut: false } as const;

function isSame(a: PlannedVolume, b: PlannedVolume | undefined): boolean {
  const facts = ({ name, sourceExtent, targetExtent, report: { filesystem } }: PlannedVolume): string =>
    JSON.stringify([name, sourceExtent, targetExtent, filesystem?.kind, filesystem?.uuid, filesystem?.size]);
  return b !== undefined && facts(a) === facts(b);
}

function namesOf(volumes: readonly PlannedVolume[], { source }: PreparedClone): string[] {
  return volumes.length > 0 ? volumes.map(({ name }) => name) : [source.place.name];
}

function withBuffer({ volume, offset }: PlacedVolume, buffers: BufferedBlockMap[]): PlacedVolume {
  const map = bufferedBlockMap(volume.map);
  buffers.push(map);
  return { volume: { ...volume, map }, offset };
}
