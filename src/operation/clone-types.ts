// What a clone takes, decides and tells. The library's users see these types.

import type { Amounts, Report, VolumeAmounts } from '../base/report.js';
import type { Bytes } from '../base/units.js';
import type { Workers } from '../engine/workers.js';
import type { Owner } from '../filesystem/plugin.js';
import type { SourceEnd } from '../location/ends.js';
import type { Extent } from '../map/extent.js';
import type { Fate } from '../plan/arrangement.js';
import type { CopyLayout, LayoutPart, PlannedDisk } from '../plan/clone-plan.js';
import type { ExcludedFacts } from '../plan/exclusions.js';
import type { DiskReport } from '../plan/inspect.js';
import type { LayoutMode, WantedSize } from '../plan/layout/types.js';
import type { DetectMode, Trust } from '../plan/trust.js';
import type { References } from '../reshape/identity/references.js';
import type { CommittedRun, KeptArrangement } from '../state/record.js';
import type { TableMode } from './arrange.js';
import type { BootProof } from './boot.js';
import type { VolumeChanges } from './changes.js';
import type { IdentityMode } from './identity.js';
import type { FrozenTimes, LiveClone } from './live-source.js';
import type { Twin } from './twin-view.js';

export interface CloneOptions {
  /** A disk, a raw image file, or a partition ("/dev/sda#2", "/dev/sda2"). */
  readonly source: string;
  readonly target: string;
  /** Numbers of the partitions that the target gets; all if missing. */
  readonly only?: readonly number[] | undefined;
  readonly forensic?: boolean;
  /** Page, hibernation and swap files are copied too; by default they read as zeros on the target. */
  readonly keepExcluded?: boolean;
  /** They are left out of a forensic copy too. */
  readonly excludePageFiles?: boolean;
  /**
   * By default only what changed files and the file systems' own structures hold is read, where file systems tell which
   * files changed and a crash of the source's system since the last run is excluded; `rapid`: the caller excludes it.
   * `hash` reads all of the source; all of these trust the block map where it can be trusted. `compare` reads both sides.
   */
  readonly detect?: 'rapid' | 'hash' | 'compare' | undefined;
  /** Both sides are read once so many runs wrote something; 0: never. Default 10. */
  readonly fullCheckEvery?: number | undefined;
  /** Tells which folders and files changed, where a file system can tell; not of first copies. */
  readonly showChanges?: boolean;
  /** Reads the target again at the end and checks every digest. */
  readonly verify?: boolean;
  /** How volumes change their size; default: not at all where that fits, and only as far as it must otherwise. */
  readonly layout?: LayoutMode | undefined;
  /** Sizes of single partitions, by their numbers. */
  readonly sizes?: ReadonlyMap<number, WantedSize> | undefined;
  /** `keep` (default): the target replaces the source. `new`: a twin with IDs of its own, which may stay attached. */
  readonly identity?: IdentityMode | undefined;
  /** `gpt` makes a GPT of an MBR, for targets beyond 2 TiB; default `same`. */
  readonly table?: TableMode | undefined;
  /** Folder for what the resizing of file systems moves; default: in the state folder. */
  readonly scratch?: string | undefined;
  /** Starts the target in a virtual machine at the end, behind an overlay: see boot. For whole disks. */
  readonly proveBoot?: BootWish | undefined;
  /** Goes on over unreadable sectors of the source. */
  readonly rescue?: RescueWish | undefined;
  /** The source may stay mounted: it is copied in passes, and its file systems are frozen for the last one. */
  readonly live?: boolean;
  /** Serial number, path or GUID of the disk that may be overwritten whatever it holds. */
  readonly overwriteTarget?: string | undefined;
  /** Sector size to assume for a target file. */
  readonly sectorSize?: Bytes | undefined;
  /** Return the plan and touch nothing. */
  readonly dryRun?: boolean;
  /** Nobody will be asked: refuse whatever a person would have to decide. */
  readonly assumeYes?: boolean;
  /** Shown the plan before the first write; false ends the run. */
  readonly confirm: (plan: ClonePlan) => Promise<boolean>;
  readonly report: Report;
  readonly signal: AbortSignal;
}

export interface BootWish {
  /** How long to wait for a login prompt. Default five minutes. */
  readonly timeoutMs?: number | undefined;
}

export interface RescueWish {
  /** Passes over what is still bad after everything was tried. Default 1. */
  readonly retries?: number | undefined;
  /** For all passes after the first together. Default: as long as it takes. */
  readonly seconds?: number | undefined;
  /** Where the mapfile goes; default: into the state folder, if anything was unreadable. */
  readonly mapfile?: string | undefined;
}

/** The plan as plain data: what `--dry-run --json` prints. */
export interface ClonePlan {
  readonly source: PlannedDisk;
  readonly target: PlannedDisk & {
    readonly exists: boolean;
    readonly content: string;
    readonly losses: readonly string[];
    readonly blank: boolean;
    /** It holds the clone of an earlier run of this source, finished or not, and nobody wrote to it since. */
    readonly standby: boolean;
    /** A run left it unfinished. */
    readonly unfinished: boolean;
  };
  readonly scope: 'disk' | 'volume';
  readonly forensic: boolean;
  /** The source is in use. */
  readonly live: boolean;
  /** It gets IDs of its own. */
  readonly twin: boolean;
  readonly layout: {
    readonly source: readonly LayoutPart[];
    readonly before: readonly LayoutPart[];
    readonly after: readonly LayoutPart[];
  };
  readonly volumes: readonly PlannedVolumeFacts[];
  /** Bytes of page, hibernation and swap files that are left out, in all volumes. */
  readonly excludedBytes: Bytes;
  /** Bytes that are read from the source at most. */
  readonly bytesToRead: Bytes;
  /** The last committed run onto this target, if there was one: what it did and how long it took. */
  readonly lastRun: CommittedRun | undefined;
  readonly warnings: readonly string[];
}

export interface PlannedVolumeFacts {
  readonly name: string;
  readonly content: string;
  readonly source: Extent;
  readonly target: Extent;
  /** What becomes of it on its way to the target. */
  readonly fate: Fate;
  readonly method: 'allocated' | 'whole';
  readonly methodReason: string;
  readonly used: Bytes;
  /** Files whose content reads as zeros on the target. */
  readonly excluded: readonly ExcludedFacts[];
  readonly detect: DetectMode;
  readonly detectReason: string;
  /** Somebody wrote to it on the target since the last run. */
  readonly touched: boolean;
}

export interface CloneResult {
  readonly plan: ClonePlan;
  /** Undefined for a dry run. */
  readonly run: CloneRunResult | undefined;
}

export interface CloneRunResult {
  readonly seconds: number;
  readonly amounts: Amounts;
  /** Of each partition or file system. */
  readonly volumes: readonly VolumeAmounts[];
  /** What changed, by name; undefined unless that was asked for. */
  readonly changes: readonly VolumeChanges[] | undefined;
  /** Of a source in use: how long its file systems were frozen. */
  readonly frozen: FrozenTimes | undefined;
  /** False: nothing differed, so nothing at all was written to the target. */
  readonly changed: boolean;
  /** Bytes of the source's page, hibernation and swap files, which are zeros on the target. */
  readonly excludedBytes: Bytes;
  /** Bytes read again and found right; undefined unless verification was asked for. */
  readonly verified: Bytes | undefined;
  readonly warnings: readonly string[];
  /** Of a twin: what names old IDs and what of it was changed; undefined for others, and where no view had to be made. */
  readonly references: References | undefined;
  /** What was seen when the target was started; undefined unless that was asked for. */
  readonly boot: BootProof | undefined;
  /** What could not be read of the source; undefined if there is nothing of that kind. The exit status is then 8. */
  readonly unreadable: Unreadable | undefined;
}

/** An unreadable part of the source disk, and what the target holds there. */
export interface UnreadableExtent extends Extent {
  /** `kept`: the content of an earlier run. `rebuilt`: part of the partition table, made anew. */
  readonly fate: 'zeros' | 'kept' | 'rebuilt';
  /** When the run was committed whose content was kept, if that is known; ISO 8601. */
  readonly run?: string;
  /** False: time was up before it was gone over sector by sector, so more of it may be readable. */
  readonly tried: boolean;
}

/** What lies there; its extent is on the source disk. */
export type DamageOwner = Owner;

export interface UnreadableVolume {
  readonly name: string;
  readonly bytes: Bytes;
  readonly zeros: Bytes;
  readonly kept: Bytes;
  readonly rebuilt: Bytes;
  /** Of all; `extents` and `owners` are the first thousand. */
  readonly count: number;
  readonly extents: readonly UnreadableExtent[];
  readonly ownerCount: number;
  readonly owners: readonly DamageOwner[];
}

export interface Unreadable {
  readonly bytes: Bytes;
  readonly zeros: Bytes;
  readonly kept: Bytes;
  readonly rebuilt: Bytes;
  readonly volumes: readonly UnreadableVolume[];
  /** Empty if it could not be written. */
  readonly mapfile: string;
}

/** Everything that was looked at and decided before the first write. */
export interface PreparedClone {
  readonly source: SourceEnd;
  readonly sourceReport: DiskReport;
  /** Of a raw source file, from before anything was read of it: what was planned holds only while it stays. */
  readonly sourceWritten: string;
  /** The same of a raw target file, which trust rests on; undefined if there was none yet. */
  readonly targetWritten: string | undefined;
  /** Of a source in use. */
  readonly live: LiveClone | undefined;
  readonly layout: CopyLayout;
  readonly trust: Trust;
  readonly armed: readonly Extent[];
  readonly scope: 'disk' | 'volume';
  readonly forensic: boolean;
  /** Files that may be left out are. */
  readonly leaveOut: boolean;
  readonly rescue: RescueWish | undefined;
  /** Undefined if every volume keeps its place. */
  readonly arrangement: KeptArrangement | undefined;
  readonly sourceSectorSize: Bytes;
  readonly twin: Twin | undefined;
  /** Folder for what views change. */
  readonly scratch: string;
  /** Undefined for small sources. Whoever prepared it closes them. */
  readonly workers: Workers | undefined;
}
