// The sign of an unfinished target. While a run writes, the target's first 128 KiB and (whole disks) its last sector hold
// nothing but marker sectors, so no firmware, kernel or tool takes it for a disk with a table or a file system.
// Invariant: a target counts as ours-in-progress only if every one of these sectors bears the id of a run that is known.

import { crc32 } from '../base/checksum.js';
import { readBackDiffers } from '../base/errors/device.js';
import { type Bytes, KiB } from '../base/units.js';
import type { Extent } from '../map/extent.js';
import { readAround } from '../source/around.js';
import type { Source, Target } from '../source/types.js';

const MARKER_UNIT = 512;
export const ARMED_HEAD_LENGTH = 128 * KiB;

const MAGIC = 'ECTYPE INCOMPLETE ';
const TEXT =
  '\nThis is the unfinished target of an ectype clone. Run the same command again\nto finish it, or erase it and use it for something else.\n';
const RUN_ID_LENGTH = 16;
const OFFSET_AT = 496;
const CRC_AT = 508;

/** What of a target is replaced while it is armed. `tail`: whole disks, whose end holds the backup table. */
export function armedExtents(size: Bytes, { tail, sectorSize }: { tail: boolean; sectorSize: Bytes }): Extent[] {
  const head = Math.min(ARMED_HEAD_LENGTH, Math.floor(size / MARKER_UNIT) * MARKER_UNIT);
  const last = size - sectorSize;
  if (!tail || last < head) return [{ offset: 0, length: head }];
  return [
    { offset: 0, length: head },
    { offset: last, length: sectorSize },
  ];
}

/** Each 512 bytes say which run, and where they belong: a stick that wraps around shows itself. */
function markerBytes(runId: string, extent: Extent): Buffer {
  const bytes = Buffer.alloc(extent.length);
  for (let at = 0; at + MARKER_UNIT <= extent.length; at += MARKER_UNIT) {
    const unit = bytes.subarray(at, at + MARKER_UNIT);
    unit.write(`${MAGIC}${runId}${TEXT}`, 'latin1');
    unit.writeDoubleLE(extent.offset + at, OFFSET_AT);
    unit.writeUInt32LE(crc32(unit.subarray(0, CRC_AT)), CRC_AT);
  }
  return bytes;
}

/** Writes the marker, makes it durable and reads it back. Throws ToolError if the target does not hold it. */
export async function writeMarker(target: Target, runId: string, extents: readonly Extent[]): Promise<void> {
  for (const extent of extents) await target.write(markerBytes(runId, extent), extent.offset);
  await target.flush(); // the marker must be on the medium before anything else changes there
  for (const extent of extents) {
    const found = Buffer.alloc(extent.length);
    await target.read(found, extent.offset);
    if (!found.equals(markerBytes(runId, extent))) throw readBackDiffers(target.name, extent.offset);
  }
}

/**
 * The runs that left this target unfinished: one, or two if a run that went on was cut off while it put its own marker
 * over the former's. Undefined unless every marker sector is in its place.
 */
export async function readMarker(target: Source, extents: readonly Extent[]): Promise<ReadonlySet<string> | undefined> {
  const runIds = new Set<string>();
  for (const extent of extents) {
    const found = Buffer.alloc(extent.length);
    await target.read(found, extent.offset);
    for (let at = 0; at + MARKER_UNIT <= found.length; at += MARKER_UNIT) {
      const unit = found.subarray(at, at + MARKER_UNIT);
      const runId = unit.toString('latin1', MAGIC.length, MAGIC.length + RUN_ID_LENGTH);
      const wanted = markerBytes(runId, { offset: extent.offset + at, length: MARKER_UNIT });
      if (!/^[0-9A-F]{16}$/.test(runId) || !unit.equals(wanted)) return undefined;
      runIds.add(runId);
    }
  }
  return runIds.size > 0 ? runIds : undefined;
}

/**
 * True if any sector that a marker covers bears one, of whatever run: a power cut while the marker was written, or while
 * the real content replaced it, leaves both side by side.
 */
export async function looksArmed(target: Source): Promise<boolean> {
  for (const extent of armedExtents(target.size, { tail: true, sectorSize: MARKER_UNIT })) {
    const found = Buffer.alloc(extent.length);
    await readAround(target, found, extent.offset);
    for (let at = 0; at + MARKER_UNIT <= found.length; at += MARKER_UNIT) {
      if (isMarkerUnit(found.subarray(at, at + MARKER_UNIT), extent.offset + at)) return true;
    }
  }
  return false;
}

function isMarkerUnit(unit: Buffer, offset: Bytes): boolean {
  return (
    unit.toString('latin1', 0, MAGIC.length) === MAGIC &&
    unit.readDoubleLE(OFFSET_AT) === offset &&
    unit.readUInt32LE(CRC_AT) === crc32(unit.subarray(0, CRC_AT))
  );
}
