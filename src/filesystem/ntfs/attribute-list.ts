// $ATTRIBUTE_LIST: which record holds which part of an attribute, for files that outgrew one record.
// Invariant: entries lie inside the list, and the list is never longer than NTFS allows.
// Format: ntfs-3g layout.h (ATTR_LIST_ENTRY).

import { FormatError, readU64LE } from '../../base/u64.js';
import { type Bytes, KiB } from '../../base/units.js';
import { type RecordReference, readReference } from './file-record.js';

/** NTFS refuses to grow a list beyond this. */
export const MAX_ATTRIBUTE_LIST: Bytes = 256 * KiB;

const AT = { type: 0, length: 4, nameLength: 6, nameOffset: 7, lowestVcn: 8, reference: 16, headerLength: 26 } as const;

export interface AttributeListEntry {
  readonly type: number;
  readonly name: string;
  readonly lowestVcn: number;
  readonly holder: RecordReference;
}

/** Throws FormatError. */
export function parseAttributeList(bytes: Buffer, what: string): AttributeListEntry[] {
  const entries: AttributeListEntry[] = [];
  let at = 0;
  while (at < bytes.length) {
    const left = bytes.length - at;
    const length = left < AT.headerLength ? 0 : bytes.readUInt16LE(at + AT.length);
    if (length < AT.headerLength || length > left) throw new FormatError(`${what}: impossible entry at ${at}`);
    const entry = bytes.subarray(at, at + length);
    const nameOffset = entry.readUInt8(AT.nameOffset);
    const nameEnd = nameOffset + entry.readUInt8(AT.nameLength) * 2;
    if (nameEnd > length && nameEnd !== nameOffset) throw new FormatError(`${what}: name outside entry at ${at}`);
    entries.push({
      type: entry.readUInt32LE(AT.type),
      name: entry.toString('utf16le', nameOffset, nameEnd),
      lowestVcn: readU64LE(entry, AT.lowestVcn),
      holder: readReference(entry, AT.reference),
    });
    at += length;
  }
  return entries;
}
