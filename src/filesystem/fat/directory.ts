// Directory entries: labels and subdirectories.
// Invariant: bytes in, values out; an entry is never followed here.
// Format: Microsoft "FAT: General Overview of On-Disk Format" 1.03, "FAT Directory Structure".

import type { Bytes } from '../../base/units.js';

const ENTRY_LENGTH: Bytes = 32;
const AT = { name: 0, attributes: 11, clusterHigh: 20, clusterLow: 26 } as const;
const END = 0x00;
const DELETED = 0xe5;
/** Stands for a name that really begins with 0xE5. */
const ESCAPED = 0x05;
const DOT = 0x2e;
const VOLUME_LABEL = 0x08;
const DIRECTORY = 0x10;
const LONG_NAME = 0x0f;
const LONG_NAME_MASK = 0x3f;

export interface DirectoryPiece {
  /** First clusters of the subdirectories; 0 is damage. */
  readonly subdirectories: readonly number[];
  readonly label: string | undefined;
  /** The end mark was seen: drivers look no further. */
  readonly ended: boolean;
}

/** Parses whole entries; `wide`: cluster numbers have a high half (FAT32). */
export function parseDirectory(bytes: Buffer, { wide }: { wide: boolean }): DirectoryPiece {
  const subdirectories: number[] = [];
  let label: string | undefined;
  for (let at = 0; at + ENTRY_LENGTH <= bytes.length; at += ENTRY_LENGTH) {
    const entry = bytes.subarray(at, at + ENTRY_LENGTH);
    const first = entry.readUInt8(AT.name);
    if (first === END) return { subdirectories, label, ended: true };
    const attributes = entry.readUInt8(AT.attributes);
    if (first === DELETED || (attributes & LONG_NAME_MASK) === LONG_NAME) continue;
    if ((attributes & VOLUME_LABEL) !== 0) {
      label ??= labelOf(entry);
    } else if ((attributes & DIRECTORY) !== 0 && first !== DOT) {
      const high = wide ? entry.readUInt16LE(AT.clusterHigh) : 0;
      subdirectories.push(high * 2 ** 16 + entry.readUInt16LE(AT.clusterLow));
    }
  }
  return { subdirectories, label, ended: false };
}

function labelOf(entry: Buffer): string {
  const name = Buffer.from(entry.subarray(AT.name, AT.attributes));
  if (name[0] === ESCAPED) name[0] = DELETED;
  return name.toString('latin1').trimEnd();
}
