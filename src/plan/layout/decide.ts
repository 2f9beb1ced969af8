// Decides where the partitions of a disk lie on a target of another size: places, sizes, extended partitions, or what is
// missing. Pure: the same request has the same answer, and what fits can be planned onto the same target again.

import { layoutBeyondMbr, layoutTooSmall } from '../../base/errors/layout.js';
import type { ToolError } from '../../base/tool-error.js';
import type { Bytes } from '../../base/units.js';
import { totalLength } from '../../map/extent.js';
import { type Board, boardOf, type Item } from './board.js';
import { placeContainers } from './containers.js';
import { notesOn } from './notes.js';
import { placeAll } from './place.js';
import { remediesFor } from './remedies.js';
import { leastEnd, sizesFor } from './sizes.js';
import type { Layout, LayoutDecision, LayoutRefusal, LayoutRequest, Placement } from './types.js';

/**
 * The layout, or by how much the target is too small. Throws `usage.no-such-partition`, `usage.size-below-minimum`,
 * `usage.size-above-maximum`, `usage.size-beyond-partition` and `usage.size-of-fixed` for sizes that cannot be.
 */
export function decideLayout(request: LayoutRequest): LayoutDecision {
  const board = boardOf(request);
  const end = leastEnd(board, request.mode);
  return end <= board.area.end ? layoutOf(request, board) : refusalOf(request, board, end);
}

/** The refusal as an error: `safety.layout-too-small` or `safety.layout-beyond-mbr`. */
export function layoutError(request: LayoutRequest, { reason, needed, missing, remedies }: LayoutRefusal): ToolError {
  const { size: targetSize, sectorSize } = request.target;
  return reason === 'too-small'
    ? layoutTooSmall({ needed, missing, targetSize, remedies })
    : layoutBeyondMbr({ needed, missing, sectorSize, remedies });
}

function layoutOf(request: LayoutRequest, board: Board): Layout {
  const { items, area, lowest } = board;
  const { target, sourceSize, mode } = request;
  const { lengths, pins } = sizesFor(board, mode, target.size / sourceSize);
  const offsets = placeAll(board, lengths, pins);
  const placements = items.map((item, index) => toPlacement(item, offsets[index] ?? 0, lengths[index] ?? 0));
  const free = target.size - area.reserved - lowest;
  return {
    fits: true,
    placements,
    containers: placeContainers(request, { placements, areaEnd: area.end }),
    unused: free - totalLength(placements.map(({ extent }) => extent)),
    notes: notesOn(request, board, placements),
  };
}

function toPlacement({ partition: { number, extent } }: Item, offset: Bytes, length: Bytes): Placement {
  const size = length === extent.length ? 'same' : length > extent.length ? 'grown' : 'shrunk';
  return { number, extent: { offset, length }, moved: offset !== extent.offset, size };
}

function refusalOf(request: LayoutRequest, board: Board, end: Bytes): LayoutRefusal {
  const { size } = request.target;
  const { area } = board;
  const needed = end + area.reserved;
  const remedies = remediesFor(request, board);
  return end > area.expressible
    ? { fits: false, reason: 'beyond-mbr', needed, missing: needed - area.expressible, remedies }
    : { fits: false, reason: 'too-small', needed, missing: needed - size, remedies };
}
