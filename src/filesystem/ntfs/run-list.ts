// Run lists (mapping pairs): where the clusters of an attribute lie.
// Invariant: a decoded run lies inside the volume, and one list never claims more clusters than the volume has.
// Format: ntfs-3g runlist.c (ntfs_mapping_pairs_decompress).

import { FormatError } from '../../base/u64.js';

/** Clusters in a row. */
export interface Run {
  /** First cluster of the attribute. */
  readonly vcn: number;
  /** First cluster of the volume; undefined for a hole. */
  readonly lcn: number | undefined;
  readonly count: number;
}

/** NTFS numbers clusters with 32 bits in every implementation there is; more is damage. */
const MAX_VCN = 2 ** 32;
const MAX_FIELD = 8;
/** Buffer.readIntLE reads no more; longer fields must be sign extensions. */
const MAX_INT = 6;

/** Decodes up to the terminating zero byte. Throws FormatError. */
export function decodeRuns(
  bytes: Buffer,
  { firstVcn, clusterCount, what }: { firstVcn: number; clusterCount: number; what: string },
): Run[] {
  const runs: Run[] = [];
  let at = 0;
  let vcn = firstVcn;
  let lcn = 0;
  let claimed = 0;
  for (;;) {
    const header = bytes[at];
    if (header === undefined) throw new FormatError(`${what}: run list without an end`);
    if (header === 0) return runs;
    const countLength = header & 0x0f;
    const offsetLength = header >>> 4;
    const next = at + 1 + countLength + offsetLength;
    if (countLength === 0 || countLength > MAX_FIELD || offsetLength > MAX_FIELD || next > bytes.length) {
      throw new FormatError(`${what}: impossible run header 0x${header.toString(16)}`);
    }
    const count = readSigned(bytes.subarray(at + 1, at + 1 + countLength), what);
    if (count <= 0 || vcn + count > MAX_VCN) throw new FormatError(`${what}: impossible run of ${count} clusters`);
    if (offsetLength === 0) {
      runs.push({ vcn, lcn: undefined, count });
    } else {
      lcn += readSigned(bytes.subarray(at + 1 + countLength, next), what);
      claimed += count;
      if (lcn < 0 || lcn + count > clusterCount || claimed > clusterCount) {
        throw new FormatError(`${what}: run of ${count} clusters at ${lcn} outside the volume`);
      }
      runs.push({ vcn, lcn, count });
    }
    vcn += count;
    at = next;
  }
}

function readSigned(field: Buffer, what: string): number {
  if (field.length <= MAX_INT) return field.readIntLE(0, field.length);
  const value = field.readIntLE(0, MAX_INT);
  const extension = value < 0 ? 0xff : 0x00;
  for (const byte of field.subarray(MAX_INT)) {
    if (byte !== extension) throw new FormatError(`${what}: run beyond any volume`);
  }
  return value;
}
