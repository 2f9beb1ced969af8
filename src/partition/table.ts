// What a partition table says, as plain data, together with the raw bytes needed to write it again exactly.
// Invariant: a table that was read is consistent - every partition lies inside the disk and inside its limits,
// and no partition touches another one or the table itself.
// Specifications: UEFI 2.10 §5 (GPT, protective MBR); for MBR and EBR the behaviour of the Linux kernel.

import type { Bytes } from '../base/units.js';
import type { Extent } from '../map/extent.js';

/** A data partition: what a volume is made of. The extended container of an MBR is none. */
export interface Partition {
  /** As Linux numbers it: GPT entry index + 1; MBR primaries 1-4 by slot, logicals from 5 in chain order. */
  readonly number: number;
  /** Bytes on the disk. */
  readonly extent: Extent;
  /** GPT type GUID in upper case, or the MBR type as `0x83`. */
  readonly type: string;
  /** The type in words: "EFI system", "Linux" …; "unknown" for types that we have no name for. */
  readonly typeName: string;
  /** The name in the GPT entry; may hold any characters. Empty for MBR. */
  readonly name: string;
  /** PARTUUID as blkid prints it; empty for an MBR without a signature. */
  readonly id: string;
  /** MBR boot flag, or GPT attribute 2 (legacy BIOS bootable). */
  readonly bootable: boolean;
  /** GPT attributes as 16 hex digits; empty for MBR. */
  readonly attributes: string;
  readonly role: 'primary' | 'logical' | 'gpt';
}

/** Something odd that was seen and dealt with; what the table says is reliable nevertheless. */
export interface TableWarning {
  readonly code:
    | 'primary-damaged'
    | 'backup-damaged'
    | 'copies-differ'
    | 'backup-not-at-end'
    | 'made-for-larger-disk'
    | 'protective-mbr-missing'
    | 'hybrid-mbr'
    | 'stale-gpt'
    | 'extended-empty';
  /** In the user's words, without the disk's name. */
  readonly message: string;
}

interface TableFacts {
  readonly sectorSize: Bytes;
  /** PTUUID as blkid prints it: disk GUID or MBR signature; empty for an MBR without a signature. */
  readonly id: string;
  /** Ascending by number. */
  readonly partitions: readonly Partition[];
  readonly warnings: readonly TableWarning[];
}

/** Raw parts of a GPT. Positions are LBAs. */
export interface GptRaw {
  /** Sector 0: boot code, protective or hybrid entries. */
  readonly mbr: Buffer;
  /** The header's sector of the copy in use. */
  readonly header: Buffer;
  /** The entry array of the copy in use, in whole sectors. */
  readonly entries: Buffer;
  readonly entrySize: Bytes;
  readonly entryCount: number;
  readonly firstUsable: number;
  readonly lastUsable: number;
  readonly primaryEntriesLba: number;
  /** Where the backup is, or belongs if it is damaged; undefined if that place is not on the disk. */
  readonly backup: { readonly headerLba: number; readonly entriesLba: number } | undefined;
  /** Sectors of the disk it was read from. */
  readonly sectorCount: number;
  /** Both copies are valid and agree, and the backup is in the last sector. */
  readonly intact: boolean;
}

/** One extended boot record of an MBR: a link of the chain of logical partitions. */
export interface Ebr {
  readonly lba: number;
  readonly sector: Buffer;
  /** Its data partitions: usually one. */
  readonly logicals: readonly { readonly number: number; readonly slot: number }[];
  /** Slot of the link to the next record; undefined at the end of the chain. */
  readonly linkSlot: number | undefined;
}

/** An extended partition: a slot of the MBR and the chain in it. The chain is empty if the container was never set up. */
export interface ExtendedContainer {
  readonly slot: number;
  readonly extent: Extent;
  readonly chain: readonly Ebr[];
}

/** Raw parts of an MBR. */
export interface MbrRaw {
  /** Sector 0. */
  readonly mbr: Buffer;
  readonly containers: readonly ExtendedContainer[];
}

export interface GptTable extends TableFacts {
  readonly kind: 'gpt';
  readonly raw: GptRaw;
}

export interface MbrTable extends TableFacts {
  readonly kind: 'mbr';
  readonly raw: MbrRaw;
}

export type PartitionTable = GptTable | MbrTable;

/** What a table is to be fitted to. */
export interface FitOptions {
  readonly targetSize: Bytes;
  /** The target's logical sector size; undefined for a raw file, which takes the table's own. */
  readonly sectorSize: Bytes | undefined;
  /** Numbers of the partitions to keep; all if missing. */
  readonly only?: readonly number[] | undefined;
  /**
   * Where partitions go, by their numbers on the source; those it does not name stay. Given, even empty, the target's
   * sectors may have another size than the table's.
   */
  readonly places?: ReadonlyMap<number, Extent> | undefined;
  /** The extended partition that holds the logical ones of an MBR; computed if missing and if something moves. */
  readonly container?: Extent | undefined;
  /** The table's identity is kept if missing. */
  readonly identity?: NewIdentity | undefined;
}

/** Other identifiers than the source's, so that both disks can be attached at once. */
export interface NewIdentity {
  /** A GUID for a GPT, 8 hex digits for the signature of an MBR. */
  readonly diskId: string;
  /** GUIDs by the partitions' numbers on the source. Those of an MBR follow from its signature. */
  readonly partitionIds: ReadonlyMap<number, string>;
}

/** A partition on the target. `number` is the target's: logical partitions move up when others are dropped. */
export interface FittedPartition extends Partition {
  readonly sourceNumber: number;
}

/** The bytes of a table for one target. */
export interface TableImage {
  /** Whole sectors, in the order in which they should be written: sector 0 last. */
  readonly writes: readonly { readonly offset: Bytes; readonly bytes: Buffer }[];
  readonly partitions: readonly FittedPartition[];
}

/** How messages call a partition: `partition 3 "Basic data"`. Control characters in names are left out. */
export function partitionLabel({ number, name }: { number: number; name: string }): string {
  const printable = name.replace(/[\p{Cc}\p{Cf}\p{Cs}"]/gu, '');
  return printable === '' ? `partition ${number}` : `partition ${number} "${printable}"`;
}
