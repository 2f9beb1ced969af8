// What would make a request fit that does not. Invariant: each remedy alone is enough, and was tried.

import type { Bytes } from '../../base/units.js';
import { ALIGNMENT } from './area.js';
import { type Board, boardOf, type Item } from './board.js';
import { leastEnd } from './sizes.js';
import type { FixedReason, LayoutRequest, Remedies, WantedSize } from './types.js';

/** Without these a machine may not start. */
const STARTED_FROM: readonly FixedReason[] = ['efi-system', 'bios-boot', 'boot-loader', 'microsoft-reserved'];

export function remediesFor(request: LayoutRequest, { items }: Board): Remedies {
  return {
    fill: request.mode === 'same' && isEnough({ ...request, mode: 'fill' }),
    gpt: request.table === 'mbr' && isEnough({ ...request, table: 'gpt' }),
    reduce: items.flatMap((item) => reduced(request, item) ?? []),
    drop: items
      .filter(({ partition: { fixed } }) => fixed === undefined || !STARTED_FROM.includes(fixed))
      .map(({ partition }) => partition.number)
      .filter((number) => items.length > 1 && isEnough(without(request, number))),
  };
}

function isEnough(request: LayoutRequest): boolean {
  const board = boardOf(request);
  return leastEnd(board, request.mode) <= board.area.end;
}

function without(request: LayoutRequest, number: number): LayoutRequest {
  return {
    ...request,
    firstStart: Math.min(
      request.firstStart ?? Number.MAX_SAFE_INTEGER,
      ...request.partitions.map(({ extent }) => extent.offset),
    ),
    partitions: request.partitions.filter((partition) => partition.number !== number),
    sizes: new Map([...request.sizes].filter(([key]) => key !== number)),
  };
}

/** Fill and proportional have taken all that can be had of partitions without a wanted size. */
function reduced(
  request: LayoutRequest,
  { partition, wanted, least, length }: Item,
): Remedies['reduce'][number] | undefined {
  const { number } = partition;
  if (wanted === 'rest' || (request.mode !== 'same' && wanted === 'nothing')) return undefined;
  const present = wanted === 'size' ? least : length;
  const withSize = (size: WantedSize): LayoutRequest => ({
    ...request,
    sizes: new Map([...request.sizes, [number, size]]),
  });
  if (!isEnough(withSize('min'))) return undefined;
  const smallest = boardOf(withSize('min')).items.find((item) => item.partition.number === number)?.least ?? present;
  if (smallest >= present) return undefined;
  const size = largestThatFits({ smallest, present }, (size) => isEnough(withSize(size)));
  return size > smallest ? { number, size, by: present - size } : { number, size: 'min', by: present - smallest };
}

/** A whole number of MiB, or `smallest`, which fits. */
function largestThatFits(
  { smallest, present }: { smallest: Bytes; present: Bytes },
  enough: (size: Bytes) => boolean,
): Bytes {
  let low = Math.floor(smallest / ALIGNMENT);
  let high = Math.ceil(present / ALIGNMENT);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (enough(middle * ALIGNMENT)) low = middle;
    else high = middle;
  }
  return Math.max(smallest, low * ALIGNMENT);
}
