// A disk's layout as a bar drawn to scale.

import type { Bytes } from '../../base/units.js';
import type { LayoutPart } from '../../plan/clone-plan.js';

const WIDTH = 72;

/** "[ESP|root··········|swap|........]": a cell is the same number of bytes everywhere; free space is dots. */
export function layoutBar(parts: readonly LayoutPart[], diskSize: Bytes, longest: Bytes = diskSize): string {
  if (diskSize === 0) return '[]';
  const width = Math.max(10, Math.round((WIDTH * diskSize) / longest));
  const cells: string[] = new Array(width).fill('.');
  const sorted = [...parts].sort((a, b) => a.extent.offset - b.extent.offset);
  let next = 0;
  for (const { label, extent } of sorted) {
    // Every partition gets two cells at least: one too small to see would look lost.
    const first = Math.max(next, Math.min(width - 2, Math.floor((extent.offset / diskSize) * width)));
    const end = Math.min(width, Math.max(first + 2, Math.round(((extent.offset + extent.length) / diskSize) * width)));
    const text = label.slice(0, Math.max(0, end - first - 1));
    for (let cell = first; cell < end; cell += 1) cells[cell] = text[cell - first] ?? ' ';
    if (end - 1 >= first) cells[end - 1] = '|';
    next = end;
  }
  return `[${cells.join('')}]`;
}
