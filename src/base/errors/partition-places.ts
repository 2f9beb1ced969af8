// Errors about tables whose partitions move or change size (exit status 3): what cannot be written where it was asked for.

import { ToolError } from '../tool-error.js';
import type { Bytes } from '../units.js';

const OTHER_PLACES = 'Choose other places or sizes for the partitions';

/** `offset` and `length` are where the partition was to go on the target. */
export function placeNotAligned(
  partition: string,
  place: { offset: Bytes; length: Bytes },
  sectorSize: Bytes,
): ToolError {
  return new ToolError({
    code: 'safety.place-not-aligned',
    message:
      `${partition} cannot lie at byte ${place.offset} with ${place.length} bytes: on the target, whose sectors have ` +
      `${sectorSize} bytes, partitions start and end at multiples of that`,
    hint: OTHER_PLACES,
    details: { partition, ...place, sectorSize },
  });
}

/** Two things on one place of the target; each piece has the LBAs of its first and last sector. */
export function placesOverlap(
  a: { label: string; first: number; last: number },
  b: { label: string; first: number; last: number },
): ToolError {
  return new ToolError({
    code: 'safety.places-overlap',
    message: `on the target, ${a.label} (LBA ${a.first} to ${a.last}) would overlap ${b.label} (LBA ${b.first} to ${b.last})`,
    hint: OTHER_PLACES,
    details: { a, b },
  });
}

/** MBR entries count sectors with 32 bits. */
export function placeBeyondMbr(
  partition: string,
  { first, last, sectorSize }: { first: number; last: number; sectorSize: Bytes },
): ToolError {
  return new ToolError({
    code: 'safety.place-beyond-mbr',
    message:
      `${partition} cannot lie at LBA ${first} to ${last}: an MBR counts sectors with 32 bits, ` +
      `so with sectors of ${sectorSize} bytes it ends at LBA ${2 ** 32 - 1}`,
    hint: 'Convert the table to a GPT, which has no such limit, or keep the partition below it',
    details: { partition, first, last, sectorSize },
  });
}

/** Each logical partition needs a sector of its extended partition before it. */
export function noRoomForRecord(partition: string, lba: number): ToolError {
  return new ToolError({
    code: 'safety.no-room-for-record',
    message: `logical ${partition} cannot start at LBA ${lba}: there is no free sector before it for the record that describes it`,
    hint: 'Leave 1 MiB free before each logical partition',
    details: { partition, lba },
  });
}

/** `container` is the extended partition that was asked for. */
export function outsideContainer(
  partition: string,
  place: { first: number; last: number },
  container: { first: number; last: number },
): ToolError {
  return new ToolError({
    code: 'safety.outside-container',
    message:
      `logical ${partition} would span LBA ${place.first} to ${place.last}, outside the extended partition ` +
      `(LBA ${container.first} to ${container.last}) or on its first sector`,
    hint: 'Choose an extended partition that holds all logical partitions and a sector before the first of them',
    details: { partition, place, container },
  });
}

/** `type` as `0xa5`. */
export function typeUnknownToGpt(partition: string, type: string): ToolError {
  return new ToolError({
    code: 'safety.type-unknown-to-gpt',
    message: `${partition} has the MBR type ${type}, for which no GPT type is known`,
    hint: 'Keep the MBR, change the type of the partition, or leave it out with --only',
    details: { partition, type },
  });
}
