// What blocks of version 5 that belong to a file say of themselves: their place, their file, their file system.
// Invariant: a stale or misplaced block never passes, even if its checksum is right.
// Source: "XFS Algorithms & Data Structures", self-describing metadata.

import { readU64BE } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import { isSealed } from './checksum.js';
import type { Superblock } from './superblock.js';

/** XFS counts places on the device in these, whatever its sectors are. */
const BASIC_BLOCK = 512;

/** Where in the block each of them stands. */
export interface DescriptionAt {
  readonly checksum: number;
  readonly place: number;
  readonly uuid: number;
  readonly owner: number;
}

/** True in version 4 too, which has nothing of this. */
export function describesItself(
  { version, metadataUuid }: Superblock,
  bytes: Buffer,
  { at, offset, owner }: { at: DescriptionAt; offset: Bytes; owner: number },
): boolean {
  if (version !== 5) return true;
  return (
    isSealed(bytes, at.checksum) &&
    readU64BE(bytes, at.place) === offset / BASIC_BLOCK &&
    readU64BE(bytes, at.owner) === owner &&
    bytes.subarray(at.uuid, at.uuid + metadataUuid.length).equals(metadataUuid)
  );
}
