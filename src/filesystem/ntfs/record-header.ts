// The head of an MFT record, looked at before anything else of it.
// Invariant: never throws: records are at least 512 bytes long. Format: ntfs-3g layout.h (MFT_RECORD).

import type { RecordReference } from './file-record.js';

const AT = { magic: 0, sequence: 16, flags: 22, base: 32 } as const;
const MAGIC_FILE = Buffer.from('FILE', 'latin1').readUInt32LE(0);
/** Further bits mark directories, views, and what lies in $Extend. */
const IN_USE_ONLY = 1;

/** In use, of no directory, and not the continuation of another record. Good for raw records as well. */
export function isFileBase(record: Buffer): boolean {
  return (
    record.readUInt32LE(AT.magic) === MAGIC_FILE &&
    record.readUInt16LE(AT.flags) === IN_USE_ONLY &&
    record.readUInt32LE(AT.base) === 0 &&
    record.readUInt32LE(AT.base + 4) === 0
  );
}

/** In use with that sequence number, and the continuation of `base`. */
export function isPartOf(record: Buffer, base: RecordHead, sequence: RecordReference['sequence']): boolean {
  return (
    (record.readUInt16LE(AT.flags) & IN_USE_ONLY) !== 0 &&
    record.readUInt16LE(AT.sequence) === sequence &&
    record.readUIntLE(AT.base, 6) === base.number &&
    record.readUInt16LE(AT.base + 6) === base.sequence
  );
}

interface RecordHead {
  readonly number: number;
  readonly sequence: number;
}
