// $FILE_NAME: one name of a file and the directory it lies in. Files have one for each hard link, and one more for each
// short name.
// Invariant: bytes in, values out. Names are any 16-bit numbers, not always text.
// Format: ntfs-3g layout.h (FILE_NAME_ATTR).

import { FormatError } from '../../base/u64.js';
import { type RecordReference, readReference } from './file-record.js';

const AT = { parent: 0, nameLength: 64, namespace: 65, name: 66 } as const;
const DOS = 2;

export interface FileName {
  readonly parent: RecordReference;
  readonly name: string;
  /** A short name beside a long one: "PROGRA~1". */
  readonly isShort: boolean;
}

/** Throws FormatError. */
export function parseFileName(bytes: Buffer, what: string): FileName {
  const end = bytes.length < AT.name ? undefined : AT.name + bytes.readUInt8(AT.nameLength) * 2;
  if (end === undefined || end > bytes.length) throw new FormatError(`${what}: name outside it`);
  return {
    parent: readReference(bytes, AT.parent),
    name: bytes.toString('utf16le', AT.name, end),
    isShort: bytes.readUInt8(AT.namespace) === DOS,
  };
}

/** The names that people know: short ones only where there is no other. */
export function properNames(names: readonly FileName[]): readonly FileName[] {
  const long = names.filter(({ isShort }) => !isShort);
  return long.length > 0 ? long : names;
}
