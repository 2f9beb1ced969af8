// What is worth telling about a layout that fits.

import { type Bytes, formatBytes } from '../../base/units.js';
import { ALIGNMENT, alignDown } from './area.js';
import type { Board, Item } from './board.js';
import type { LayoutNote, LayoutRequest, Placement } from './types.js';

export function notesOn(
  { mode, target: { size, sectorSize } }: LayoutRequest,
  { items, area }: Board,
  placements: readonly Placement[],
): LayoutNote[] {
  const notes: LayoutNote[] = [];
  const beyond = alignDown(size, sectorSize) - area.expressible;
  if (beyond > 0) notes.push(beyondMbr(beyond, area.expressible));
  const unfit = items.filter(({ partition, keepable, length }) => !keepable || length !== partition.extent.length);
  if (unfit.length > 0) notes.push(otherSectors(unfit, sectorSize));
  const free = area.end - Math.max(area.start, ...placements.map(({ extent }) => extent.offset + extent.length));
  if (mode !== 'same' && free >= ALIGNMENT) {
    const full = items.filter(
      ({ length, most, wanted }, index) =>
        wanted !== 'size' && most > length && placements[index]?.extent.length === most,
    );
    if (full.length > 0) notes.push(atMaximum(full, free));
    else
      notes.push({
        code: 'nothing-grows',
        message: `${formatBytes(free)} at the end remain free: no partition takes them`,
      });
  }
  return notes;
}

function beyondMbr(beyond: Bytes, expressible: Bytes): LayoutNote {
  return {
    code: 'beyond-mbr',
    message:
      `${formatBytes(beyond)} of the target cannot be used: an MBR counts sectors with 32 bits and ends at ` +
      `${formatBytes(expressible)}; with --table gpt they can`,
  };
}

function otherSectors(items: readonly Item[], sectorSize: Bytes): LayoutNote {
  return {
    code: 'other-sectors',
    message: `${named(items)} cannot keep place and size exactly on the target, whose sectors have ${sectorSize} bytes`,
  };
}

function atMaximum(items: readonly Item[], free: Bytes): LayoutNote {
  return {
    code: 'at-maximum',
    message: `${formatBytes(free)} at the end remain free: ${named(items)} cannot grow any further`,
  };
}

/** "partition 2", "partitions 2, 3". */
function named(items: readonly Item[]): string {
  const numbers = items.map(({ partition }) => partition.number);
  return `partition${numbers.length === 1 ? '' : 's'} ${numbers.join(', ')}`;
}
