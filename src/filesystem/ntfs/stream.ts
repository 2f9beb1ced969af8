// The bytes of one attribute, wherever they lie: in its record or in clusters.
// Invariant: a read never leaves the volume; holes and what was never initialised read as zeros, as NTFS demands.

import { FormatError } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import type { BootSector } from './boot-sector.js';
import type { Run } from './run-list.js';

/** A volume and its geometry: what every reader of NTFS structures needs. */
export interface NtfsVolume {
  readonly source: Source;
  readonly boot: BootSector;
}

export interface Stream {
  /** How messages call it. */
  readonly what: string;
  readonly size: Bytes;
  readonly initializedSize: Bytes;
  /** Neither compressed nor encrypted. */
  readonly plain: boolean;
  /** Ascending by vcn, without gaps. */
  readonly runs: readonly Run[];
  /** The value, if it lies in the record. */
  readonly resident: Buffer | undefined;
}

/** Fills `into` with the stream's bytes at `offset`. Throws FormatError if they are not there. */
export async function readStream(volume: NtfsVolume, stream: Stream, into: Buffer, offset: Bytes): Promise<void> {
  if (offset + into.length > stream.size) throw new FormatError(`${stream.what}: ends before ${offset + into.length}`);
  if (stream.resident) {
    stream.resident.copy(into, 0, offset, offset + into.length);
    return;
  }
  if (!stream.plain) throw new FormatError(`${stream.what}: compressed or encrypted`);
  const initialized = Math.max(0, Math.min(into.length, stream.initializedSize - offset));
  into.fill(0, initialized);
  await readRuns(volume, stream, into.subarray(0, initialized), offset);
}

async function readRuns(volume: NtfsVolume, stream: Stream, into: Buffer, offset: Bytes): Promise<void> {
  const { clusterSize } = volume.boot;
  let done = 0;
  for (let index = runAt(stream.runs, Math.floor(offset / clusterSize)); done < into.length; index += 1) {
    const run = stream.runs[index];
    if (!run) throw new FormatError(`${stream.what}: no cluster for offset ${offset + done}`);
    const inRun = offset + done - run.vcn * clusterSize;
    const part = into.subarray(done, done + Math.min(into.length - done, run.count * clusterSize - inRun));
    if (run.lcn === undefined) part.fill(0);
    else await readInside(volume.source, part, { offset: run.lcn * clusterSize + inRun, what: stream.what });
    done += part.length;
  }
}

/** Reads from the volume, or throws FormatError if a structure points past its end. */
export async function readInside(
  source: Source,
  into: Buffer,
  { offset, what }: { offset: Bytes; what: string },
): Promise<void> {
  if (offset + into.length > source.size) throw new FormatError(`${what}: lies beyond the end of the volume`);
  await source.read(into, offset);
}

/** Index of the run that holds `vcn`; runs.length if none does. */
function runAt(runs: readonly Run[], vcn: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const run = runs[middle];
    if (run && run.vcn + run.count <= vcn) low = middle + 1;
    else high = middle;
  }
  return low;
}
