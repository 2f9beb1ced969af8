// Where old file systems and RAID leave signatures that a copy must not let live on.
// Invariant: what is free there reads as zeros on a target, so block maps know these places even where nothing is used.

import { type Bytes, GiB, KiB, MiB } from '../base/units.js';
import { type Extent, intersect, normalise } from './extent.js';

/** A volume's first and last MiB, and the mirrors of the btrfs superblock (64 MiB and 256 GiB). */
export function signaturePlaces(size: Bytes): Extent[] {
  const places = [
    { offset: 0, length: MiB },
    { offset: 64 * MiB, length: 64 * KiB },
    { offset: 256 * GiB, length: 64 * KiB },
    { offset: Math.max(0, size - MiB), length: MiB },
  ];
  return normalise(places.flatMap((place) => intersect(place, { offset: 0, length: size }) ?? []));
}
