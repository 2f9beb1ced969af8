// Whether a program for EFI is signed: then not a byte of it may change.
// Invariant: whatever cannot be read as an unsigned program counts as signed.
// Format: Microsoft "PE Format", optional header and data directories (the certificate table is the fifth).

import type { Bytes } from '../../base/units.js';
import { readFromFile } from '../../filesystem/file.js';
import type { FoundFile } from '../../filesystem/plugin.js';
import type { Source } from '../../source/types.js';

const HEAD_LENGTH: Bytes = 4096;
const AT = { headerOffset: 0x3c, optionalHeader: 24 } as const;
const SIGNATURE = 'PE\0\0';
/** Where the data directories begin in the optional header, by its magic number; their count lies before them. */
const DIRECTORIES: Readonly<Record<number, Bytes>> = { 267: 96, 523: 112 };
const CERTIFICATES = 4;
const DIRECTORY_LENGTH: Bytes = 8;

export async function isSigned(volume: Source, file: FoundFile): Promise<boolean> {
  const head = Buffer.alloc(HEAD_LENGTH);
  await readFromFile(volume, file, { into: head, position: 0 });
  const header = head.readUInt32LE(AT.headerOffset);
  const optional = header + AT.optionalHeader;
  if (optional + 256 > head.length || head.toString('latin1', header, header + 4) !== SIGNATURE) return true;
  const directories = DIRECTORIES[head.readUInt16LE(optional)];
  if (directories === undefined) return true;
  const count = head.readUInt32LE(optional + directories - 4);
  return count > CERTIFICATES && head.readUInt32LE(optional + directories + CERTIFICATES * DIRECTORY_LENGTH + 4) !== 0;
}
