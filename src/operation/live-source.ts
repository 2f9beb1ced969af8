// A source whose file systems are in use: they are frozen for as long as it takes to look at them as of one moment.
// Invariant: while they are frozen a watchdog counts, and nothing of this process is written but to the target.

import { cannotHoldStill, targetOnFrozen } from '../base/errors/live.js';
import { sourceInUse } from '../base/errors/safety.js';
import type { Report, ReportEvent } from '../base/report.js';
import type { ToolError } from '../base/tool-error.js';
import { type Freezer, freezer } from '../device/freeze.js';
import { usesOf } from '../device/in-use.js';
import { filesystemsBelow, type MountedFilesystem, mountsOf } from '../device/mounts.js';
import { startWatchdog, type Watchdog } from '../device/watchdog.js';
import { CLEAN } from '../filesystem/plugin.js';
import type { Place } from '../location/ends.js';
import type { Extent } from '../map/extent.js';
import type { CopyLayout } from '../plan/clone-plan.js';
import type { DiskReport, VolumeReport } from '../plan/inspect.js';

/** No freeze lasts longer, whatever happens. */
export const LONGEST_FREEZE_S = 60;
/** Without a sign of life for so long the watchdog thaws. */
const SILENCE_MS = 10_000;
const BEAT_MS = 500;

export interface FrozenTimes {
  /** The longest one, and all together; ms. */
  readonly longest: number;
  readonly total: number;
  /** When the last one began, ms since 1970: the moment that the copy is of. */
  readonly last: number;
}

export interface LiveOptions {
  readonly source: Place;
  /** Path of the target, there or not. */
  readonly target: string;
  readonly report: Report;
}

/** Undefined if nothing of the source is mounted for writing: it is like any other then. Throws ToolError. */
export async function openLiveSource({ source, target, report }: LiveOptions): Promise<LiveSource | undefined> {
  const mounted = mountsOf(source.path).filter((each) => !each.readOnly && liesIn(each, source));
  const uses = usesOf(source.path).filter((use) => !/^(attached as|mounted|swap space)/.test(use));
  if (uses.length > 0) throw sourceInUse(source.name, uses);
  if (mounted.length === 0) return undefined;
  const able = freezer(mounted);
  try {
    for (const { type, points } of able.cannotFreeze) throw cannotHoldStill(source.name, type, points);
    const below = filesystemsBelow(target);
    const own = mounted.find(({ device }) => below.has(device));
    if (own) throw targetOnFrozen(target, own.points[0] ?? own.device);
    return new LiveSource({ source, mounted, able, watchdog: await startWatchdog(mounted), report });
  } catch (error) {
    able.close();
    throw error;
  }
}

/** File systems on other partitions of the disk are nobody's business here. */
function liesIn({ places }: MountedFilesystem, { extent }: Place): boolean {
  if (!extent || places.length === 0) return true;
  return places.some(
    ({ offset, direct }) => !direct || (offset >= extent.offset && offset < extent.offset + extent.length),
  );
}

/** How to look at the source again. */
export interface LiveClone {
  readonly source: LiveSource;
  /** The plan as of now; only while the source is frozen. */
  readonly planAgain: () => Promise<CopyLayout>;
}

interface Parts {
  readonly source: Place;
  readonly mounted: readonly MountedFilesystem[];
  readonly able: Freezer;
  readonly watchdog: Watchdog;
  readonly report: Report;
}

export class LiveSource {
  readonly #parts: Parts;
  #held: ReportEvent[] | undefined;
  #times: FrozenTimes = { longest: 0, total: 0, last: 0 };

  #trouble: ToolError | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    parts.watchdog.onTrouble((trouble) => {
      this.#trouble ??= trouble;
      this.#thawWhatever(); // nobody watches any more
    });
  }

  /** Tells nothing while anything is frozen: what it is told to may be written to a frozen file system. */
  readonly report: Report = (event) => {
    if (this.#held) this.#held.push(event);
    else this.#parts.report(event);
  };

  get times(): FrozenTimes {
    return this.#times;
  }

  /**
   * Does `work` while all file systems are frozen; `at` is from just before that, ms since 1970. Throws if one of them
   * was thawed meanwhile: then what was read is of no one moment.
   */
  async frozen<T>(work: (at: number) => Promise<T>): Promise<T> {
    const { able, watchdog } = this.#parts;
    this.report({ event: 'phase', phase: 'freeze', message: 'freezing the file systems of the source' });
    able.sync(); // most of what is dirty goes to the disk while everybody can still write
    await watchdog.arm(SILENCE_MS, { totalMs: LONGEST_FREEZE_S * 1000 });
    const beat = setInterval(() => watchdog.beat(), BEAT_MS);
    this.#held = [];
    const at = Date.now();
    try {
      able.freeze();
      const result = await work(at);
      this.#note(able.thaw(), at);
      if (this.#trouble) throw this.#trouble;
      return result;
    } catch (error) {
      this.#thawWhatever();
      throw this.#trouble ?? error;
    } finally {
      clearInterval(beat);
      this.#tellHeld();
      await watchdog.disarm().catch(() => {}); // it died: the next freeze will not begin without it
    }
  }

  /** The report with what is frozen called clean: the log of XFS looks dirty then, and everything is on the disk. */
  atRest(report: DiskReport): DiskReport {
    const rest = (volume: VolumeReport): VolumeReport =>
      volume.filesystem?.kind === 'xfs' && this.isMounted(volume.extent) ? { ...volume, state: CLEAN } : volume;
    return { ...report, volumes: report.volumes.map(rest) };
  }

  /** True for a volume, by its place on what is cloned, that is mounted for writing. */
  isMounted({ offset }: Extent): boolean {
    const { source, mounted } = this.#parts;
    const start = source.extent?.offset ?? 0;
    return mounted.some(({ places }) => places.some((place) => place.direct && place.offset === start + offset));
  }

  async close(): Promise<void> {
    this.#parts.able.close();
    await this.#parts.watchdog.close();
  }

  #note(times: readonly { readonly ms: number }[], at: number): void {
    const ms = Math.max(...times.map((each) => each.ms));
    const { longest, total } = this.#times;
    this.#times = { longest: Math.max(longest, ms), total: total + ms, last: at };
  }

  #thawWhatever(): void {
    try {
      this.#parts.able.thaw();
    } catch {
      // The error that led here is the one to tell; `close` and the watchdog try again.
    }
  }

  #tellHeld(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const event of held) this.#parts.report(event);
  }
}
