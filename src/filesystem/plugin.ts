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
  /** When it was made, in its own words, if it says so: tells it from another one that was given the same UUID. */
  readonly made?: string;
  /** Number of its last commit, if it is written in commits. */
  readonly commit?: number;
  /** Grows by one each time it is mounted for writing, and by more than that if that may go unseen; if it counts that. */
  readonly mounts?: number;
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

/** A file whose content is worth nothing once its system has been shut down. */
export interface ExcludedFile {
  /** From the root of its file system. */
  readonly path: string;
  readonly kind: 'page file' | 'hibernation file' | 'swap file';
  /** Whole blocks of the volume that belong to this file alone and may read as zeros. */
  readonly extents: readonly Extent[];
}

/** A file of a Linux file system, as far as it takes to read it and to judge whether it is a swap file. */
export interface FoundFile {
  readonly size: Bytes;
  /** User number. */
  readonly owner: number;
  readonly permissions: number;
  /** Other files may use the same blocks. */
  readonly shared: boolean;
  /** Ascending by their place in the file, without overlaps; what is missing are holes. */
  readonly extents: readonly FileExtent[];
}

export interface FileExtent extends Extent {
  /** Where in the file it begins. */
  readonly position: Bytes;
  /** Allocated, but never written: it reads as zeros, whatever lies there. */
  readonly unwritten: boolean;
}

/** There is no map, and that is no damage: what it needs lies on other volumes. The volume is copied whole. */
export class OutOfReach extends FormatError {}

/** What a file system says of one regular file, as far as it shows whether the file's bytes may have changed. */
export interface FileRecord {
  /** Inode, MFT record, address: ascending within a scan; not below its group's, and less than 2^32 above it. */
  readonly id: number;
  /** 16 bytes, of all that changes with the file's content or its place; not of when it was last read. */
  readonly digest: Buffer;
  /**
   * Bytes of the volume that hold its data and nothing else. Two records may have the same ones (reflinks): they are
   * taken as unchanged only if all records that have them are.
   */
  readonly extents: readonly Extent[];
  /**
   * When the file last changed by its own stamps (the newest of change and modification), in milliseconds since 1970.
   * Infinity: its bytes can change without a trace, so it is read each time.
   */
  readonly changedAt: number;
  /** Of the file; only where it might be a swap area, to which kernels write without a trace. */
  readonly size?: Bytes;
}

/** Records that lie next to each other: an unchanged group need not be parsed again. */
export interface RecordGroup {
  /** Ascending within a scan, and the same for the same place on the volume. */
  readonly id: number;
  /** 16 bytes, of the raw bytes that the records are made of. */
  readonly digest: Buffer;
  /** Parses the group; only until the next one is asked for. */
  read(): Promise<GroupContent>;
}

export interface GroupContent {
  readonly records: readonly FileRecord[];
  /** True if the group's digest covers all that the records were made of: no tree blocks elsewhere. */
  readonly complete: boolean;
}

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
  /** 16 bytes that differ after everything that was written to the volume by way of the file system, or by a repair. */
  token(volume: Source, info: FilesystemInfo): Promise<Buffer>;
  /** The token may stay the same while a kernel pages to a swap file: what changes no metadata, even a mount, commits nothing. */
  readonly tokenMissesPaging?: boolean;
  /** Programs in common use change a file's data and none of its metadata: the token stays the same, and so do the records. */
  readonly tokenMissesTools?: boolean;
  /**
   * The records of all regular files whose data may stay unread while their records stay the same. Whatever is in no
   * record is read: directories, the file system's own files, files that others write to than the file system.
   * Throws FormatError if the metadata contradicts itself, or has features that are not understood here.
   */
  records?(volume: Source, info: FilesystemInfo): AsyncIterable<RecordGroup>;
  /** Names what lies in `extents` (ascending). Best effort on a failing disk: never throws on unreadable or hostile metadata. */
  ownersOf?(volume: Source, info: FilesystemInfo, extents: readonly Extent[]): Promise<readonly Owner[]>;
  /** Files that are known by their names, whose content may be left out; asked of clean volumes only. FormatError: none. */
  excludable?(volume: Source, info: FilesystemInfo): Promise<readonly ExcludedFile[]>;
  /**
   * A regular file by its path from the root ("/etc/fstab"), through no symbolic link. Undefined: there is none, or
   * not in a form that is understood. Throws FormatError if the metadata contradicts itself.
   */
  findFile?(volume: Source, info: FilesystemInfo, path: string): Promise<FoundFile | undefined>;
  /**
   * The names in a folder, through no symbolic link; "." and ".." may be among them. Undefined: there is none, or it is not
   * in a form that is understood. Throws FormatError if the metadata contradicts itself.
   */
  listFolder?(volume: Source, info: FilesystemInfo, path: string): Promise<readonly string[] | undefined>;
}
