// What ectype asks of a file system. One folder a file system; registry.ts is the only file that names them all.
// Invariant: a plugin reads through the Source it is given and nothing else; it never writes and never prints.

import { FormatError } from '../base/u64.js';
import type { Bytes } from '../base/units.js';
import type { AllocationMap } from '../map/allocation-map.js';
import type { Extent } from '../map/extent.js';
import type { Source } from '../source/types.js';

/** What the superblock says. */
export interface FilesystemInfo {
  /** As blkid calls it: `ext4`, `ntfs`, `vfat` …; FAT says `fat12`, `fat16`, `fat32`. */
  readonly kind: string;
  readonly label: string;
  /** As blkid prints it; empty if the file system has none. */
  readonly uuid: string;
  /** Bytes the file system spans from the volume's first byte; never more than the volume. */
  readonly size: Bytes;
  /** Its allocation unit (cluster). */
  readonly blockSize: Bytes;
  /** Used bytes by its own counters; undefined if it keeps none. */
  readonly used: Bytes | undefined;
  /** When it was last mounted or written, if it says so. */
  readonly lastWritten: Date | undefined;
}

/** Whether a block copy of the volume, as it lies there, is a consistent file system. */
export interface FilesystemState {
  /**
   * `clean`: yes. `needs-replay`: a journal must be replayed first. `dirty`: not unmounted, or marked damaged.
   * `hibernated`: another system sleeps on it. `incomplete`: part of it lies elsewhere. `unsupported`: unknown features.
   */
  readonly kind: 'clean' | 'needs-replay' | 'dirty' | 'hibernated' | 'incomplete' | 'unsupported';
  /** What was seen, in the user's words: "the journal was not replayed (needs_recovery is set)". Empty if clean. */
  readonly reason: string;
  /** What to do, one imperative sentence. Empty if clean. */
  readonly advice: string;
}

export const CLEAN: FilesystemState = { kind: 'clean', reason: '', advice: '' };

/** There is no map, and that is no damage: what it needs lies on other volumes. The volume is copied whole. */
export class OutOfReach extends FormatError {}

/** What lies in a damaged stretch. */
export interface Owner {
  /** The part of the asked extents it owns; volume offsets. */
  readonly extent: Extent;
  readonly kind: 'file' | 'structure' | 'free';
  /** All paths of the file (hard links too), or what the structure is called: "inode table of group 3". Empty: unknown. */
  readonly names: readonly string[];
}

export interface FilesystemPlugin {
  readonly name: string;
  /** Reads the superblock only. Undefined: not mine, or too damaged to be anybody's. Never throws on hostile content. */
  probe(volume: Source): Promise<FilesystemInfo | undefined>;
  /** Looks deeper: journal, dirty flags, hibernation. */
  readState(volume: Source, info: FilesystemInfo): Promise<FilesystemState>;
  /**
   * Which bytes are used; in doubt, used. Checks what can be checked first (checksums, counters).
   * Throws FormatError if the metadata contradicts itself; the volume is then copied whole, with a warning.
   */
  openAllocationMap(volume: Source, info: FilesystemInfo): Promise<AllocationMap>;
  /** 16 bytes that differ after every writing mount or repair of the volume. */
  token(volume: Source, info: FilesystemInfo): Promise<Buffer>;
  /** Names what lies in `extents` (ascending). Best effort on a failing disk: never throws on unreadable or hostile metadata. */
  ownersOf?(volume: Source, info: FilesystemInfo, extents: readonly Extent[]): Promise<readonly Owner[]>;
}
