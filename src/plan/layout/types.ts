// What the layout planner is asked and what it answers, as plain data: where partitions lie on a target of another size.
// Invariant: places on the disk keep their order; numbers are always those of the source.

import type { Bytes } from '../../base/units.js';
import type { Extent } from '../../map/extent.js';
import type { Partition } from '../../partition/table.js';

/** How the room of the target is used. */
export type LayoutMode = 'same' | 'fill' | 'proportional';

/** The value of `--size N=...`: bytes, as small as its content can become, or a share of what the others leave. */
export type WantedSize = Bytes | 'min' | 'rest';

/** Why a partition keeps its size whatever happens. The first four are what a machine starts from. */
export type FixedReason =
  | 'efi-system'
  | 'bios-boot'
  | 'boot-loader'
  | 'microsoft-reserved'
  | 'recovery'
  | 'foreign'
  | 'unrecognised';

/** A partition of the source that the target gets. */
export interface LayoutPartition {
  readonly number: number;
  /** On the source. */
  readonly extent: Extent;
  readonly role: Partition['role'];
  readonly fixed: FixedReason | undefined;
  /** The smallest that its content can become; its length where it cannot shrink. */
  readonly minimum: Bytes;
  readonly growable: boolean;
  /** The largest that its content can become; no limit if undefined. */
  readonly maximum?: Bytes | undefined;
}

export interface LayoutRequest {
  /** The table that the target gets; `gpt` for an MBR source converts it, and logical partitions become plain ones. */
  readonly table: 'gpt' | 'mbr';
  /** In any order; they do not overlap. */
  readonly partitions: readonly LayoutPartition[];
  /** The extended partitions of an MBR source; every logical partition lies in one. */
  readonly containers: readonly Extent[];
  /** Where the first partition of the source starts, if that one is left out: what lies before it is boot code. */
  readonly firstStart?: Bytes | undefined;
  readonly sourceSize: Bytes;
  /** The sectors are a power of two from 512 bytes to 1 MiB; a rest of less than a sector is not used. */
  readonly target: { readonly size: Bytes; readonly sectorSize: Bytes };
  /** What a GPT takes: its entry array (16 KiB if undefined), and the first byte that partitions may use, if larger. */
  readonly gpt?: { readonly entryArray: Bytes; readonly firstUsable: Bytes } | undefined;
  readonly mode: LayoutMode;
  /** By number: what `--size` says. */
  readonly sizes: ReadonlyMap<number, WantedSize>;
}

/** A partition on the target. */
export interface Placement {
  /** Its number on the source. */
  readonly number: number;
  /** On the target. */
  readonly extent: Extent;
  readonly moved: boolean;
  /** Compared with the source; rounding up to the target's sectors is `grown`. */
  readonly size: 'same' | 'grown' | 'shrunk';
}

/** An extended partition on the target. Those without logical partitions are not in the answer. */
export interface PlacedContainer {
  /** Its extent on the source. */
  readonly source: Extent;
  /** From the record of its first logical partition on. */
  readonly extent: Extent;
}

/** Something about a layout that is worth telling. */
export interface LayoutNote {
  readonly code: 'beyond-mbr' | 'other-sectors' | 'at-maximum' | 'nothing-grows';
  /** In the user's words. */
  readonly message: string;
}

export interface Layout {
  readonly fits: true;
  /** In the order in which they lie on the disk. */
  readonly placements: readonly Placement[];
  readonly containers: readonly PlacedContainer[];
  /**
   * Bytes that no partition takes, from where partitions may begin to the end of the target; the end of a GPT is not
   * counted, gaps for alignment and the records of logical partitions are.
   */
  readonly unused: Bytes;
  readonly notes: readonly LayoutNote[];
}

/** Changes of the request each of which alone would be enough. */
export interface Remedies {
  /** `--layout fill`. */
  readonly fill: boolean;
  /** `--table gpt`. */
  readonly gpt: boolean;
  /** `--size number=size`, which is `by` less than it would have: the largest whole MiB that fits, or its minimum. */
  readonly reduce: readonly { readonly number: number; readonly size: Bytes | 'min'; readonly by: Bytes }[];
  /** Leaving this partition out with `--only`. None that a machine starts from is named. */
  readonly drop: readonly number[];
}

/** No place for everything; nothing would be written. */
export interface LayoutRefusal {
  readonly fits: false;
  /** `beyond-mbr`: a larger target is of no use, because an MBR cannot say where the last partitions end. */
  readonly reason: 'too-small' | 'beyond-mbr';
  /** The smallest target for the request: with one sector less it does not fit. */
  readonly needed: Bytes;
  /** `needed` less the target's size, or less what an MBR can describe. */
  readonly missing: Bytes;
  readonly remedies: Remedies;
}

export type LayoutDecision = Layout | LayoutRefusal;
