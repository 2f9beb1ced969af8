// Directory entries: label, bitmap and subdirectories. Files and subdirectories take several entries in a row.
// Invariant: bytes in, values out; an entry is never followed here. A set of entries may go on in the next cluster.
// Format: Microsoft "exFAT file system specification", sections 6 and 7 (directory structure and definitions).

import type { Bytes } from '../../base/units.js';

export const DIRECTORY_ENTRY_LENGTH: Bytes = 32;

const TYPE = { end: 0x00, bitmap: 0x81, label: 0x83, file: 0x85, stream: 0xc0 } as const;
const AT = {
  bitmapFlags: 1,
  labelLength: 1,
  label: 2,
  fileAttributes: 4,
  streamFlags: 1,
  firstCluster: 20,
  dataLength: 24,
} as const;
const DIRECTORY = 0x10;
const NO_FAT_CHAIN = 0x02;
const LABEL_CHARACTERS = 11;

/** Clusters that belong to something; `solid`: they follow each other and the FAT says nothing of them. */
export interface Stretch {
  readonly firstCluster: number;
  /** May be any 64-bit number: compare before use. */
  readonly length: Bytes;
  readonly solid: boolean;
}

export interface DirectoryContent {
  readonly subdirectories: readonly Stretch[];
  /** The allocation bitmaps of FAT 0 and 1; in the root directory only. */
  readonly bitmaps: ReadonlyMap<number, Stretch>;
  readonly label: string | undefined;
  /** The end mark was seen: drivers look no further. */
  readonly ended: boolean;
}

export interface DirectoryParser {
  /** Whole entries, in order. What follows the end mark is not looked at. */
  add(bytes: Buffer): void;
  readonly content: DirectoryContent;
}

export function directoryParser(): DirectoryParser {
  const subdirectories: Stretch[] = [];
  const bitmaps = new Map<number, Stretch>();
  let label: string | undefined;
  let ended = false;
  let inDirectorySet = false;
  const addEntry = (entry: Buffer): void => {
    const type = entry.readUInt8(0);
    if (type === TYPE.stream && inDirectorySet) {
      subdirectories.push(stretchOf(entry, (entry.readUInt8(AT.streamFlags) & NO_FAT_CHAIN) !== 0));
    }
    inDirectorySet = type === TYPE.file && (entry.readUInt16LE(AT.fileAttributes) & DIRECTORY) !== 0;
    if (type === TYPE.end) ended = true;
    if (type === TYPE.label) label ??= labelOf(entry);
    if (type === TYPE.bitmap) {
      const number = entry.readUInt8(AT.bitmapFlags) & 1;
      if (!bitmaps.has(number)) bitmaps.set(number, stretchOf(entry, false));
    }
  };
  return {
    add(bytes) {
      for (let at = 0; !ended && at + DIRECTORY_ENTRY_LENGTH <= bytes.length; at += DIRECTORY_ENTRY_LENGTH) {
        addEntry(bytes.subarray(at, at + DIRECTORY_ENTRY_LENGTH));
      }
    },
    get content() {
      return { subdirectories, bitmaps, label, ended };
    },
  };
}

function stretchOf(entry: Buffer, solid: boolean): Stretch {
  return {
    firstCluster: entry.readUInt32LE(AT.firstCluster),
    length: Number(entry.readBigUInt64LE(AT.dataLength)),
    solid,
  };
}

function labelOf(entry: Buffer): string {
  const length = Math.min(entry.readUInt8(AT.labelLength), LABEL_CHARACTERS);
  return entry.toString('utf16le', AT.label, AT.label + length * 2);
}
