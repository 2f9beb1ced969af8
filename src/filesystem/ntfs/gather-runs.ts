// The clusters of a part of a stream, as extents: run-list.ts without its objects, for a million files in a row.
// Invariant: never throws; an extent lies inside the volume. Format: see run-list.ts.

import type { Bytes } from '../../base/units.js';
import type { Extent } from '../../map/extent.js';
import type { BootSector } from './boot-sector.js';

/** Buffer.readIntLE reads no more, and no volume needs more. */
const MAX_FIELD = 6;
/** A file in more pieces is read: what is kept of one file stays small. */
const MOST_EXTENTS = 100_000;

/** A stream as far as its parts were seen. */
export interface GatheredStream {
  readonly name: string;
  /** Undefined until the part with the sizes was seen. */
  size: Bytes | undefined;
  clusters: number;
  /** Without holes, and not compressed. */
  solid: boolean;
  readonly extents: Extent[];
}

/** Adds the runs that begin at `at`. False: they are not understood, or too many. */
export function gatherRuns(
  bytes: Buffer,
  at: number,
  { into, boot: { clusterSize, clusterCount } }: { into: GatheredStream; boot: BootSector },
): boolean {
  let lcn = 0;
  let position = at;
  while (position < bytes.length) {
    const header = bytes.readUInt8(position);
    if (header === 0) return true;
    const [countLength, offsetLength] = [header & 0x0f, header >>> 4];
    const end = position + 1 + countLength + offsetLength;
    if (countLength === 0 || countLength > MAX_FIELD || offsetLength > MAX_FIELD || end > bytes.length) return false;
    const count = bytes.readIntLE(position + 1, countLength);
    if (count <= 0) return false;
    into.clusters += count;
    if (offsetLength === 0) {
      into.solid = false;
    } else {
      lcn += bytes.readIntLE(position + 1 + countLength, offsetLength);
      if (lcn < 0 || lcn + count > clusterCount || into.extents.length >= MOST_EXTENTS) return false;
      append(into.extents, lcn * clusterSize, count * clusterSize);
    }
    position = end;
  }
  return false;
}

function append(extents: Extent[], offset: number, length: number): void {
  const last = extents.at(-1);
  if (last && last.offset + last.length === offset) {
    extents[extents.length - 1] = { offset: last.offset, length: last.length + length };
  } else {
    extents.push({ offset, length });
  }
}
