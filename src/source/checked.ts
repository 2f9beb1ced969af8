// The choke point: every opened source goes through it, so no medium has to distrust its callers.
// Invariant: what reaches the medium lies inside it, is not empty, and comes before close().

import { assert } from '../base/assert.js';
import type { Extent } from '../map/extent.js';
import type { Source, Target } from './types.js';

/** A source that refuses requests outside itself and after close. Closing twice is allowed. */
export function checkedSource(source: Source): Source {
  const guard = guardOf(source);
  return {
    name: source.name,
    size: source.size,
    sectorSize: source.sectorSize,
    spec: source.spec,
    async read(into, offset) {
      guard.inside({ offset, length: into.length }, 'read');
      if (into.length > 0) await source.read(into, offset);
    },
    async *extents(within) {
      guard.inside(within, 'list extents of');
      if (within.length > 0) yield* source.extents(within);
    },
    close: () => guard.close(),
  };
}

/** The same for a target. */
export function checked(target: Target): Target {
  const guard = guardOf(target);
  return {
    name: target.name,
    size: target.size,
    sectorSize: target.sectorSize,
    spec: target.spec,
    async read(into, offset) {
      guard.inside({ offset, length: into.length }, 'read');
      if (into.length > 0) await target.read(into, offset);
    },
    async *extents(within) {
      guard.inside(within, 'list extents of');
      if (within.length > 0) yield* target.extents(within);
    },
    async write(from, offset) {
      guard.inside({ offset, length: from.length }, 'write');
      if (from.length > 0) await target.write(from, offset);
    },
    async zero(extent) {
      guard.inside(extent, 'zero');
      if (extent.length > 0) await target.zero(extent);
    },
    async discard(extent) {
      guard.inside(extent, 'discard');
      if (extent.length > 0) await target.discard(extent);
    },
    async flush() {
      guard.open('flush');
      await target.flush();
    },
    close: () => guard.close(),
  };
}

function guardOf(source: Source) {
  let closed = false;
  return {
    open(verb: string): void {
      assert(!closed, `${verb} ${source.name} after close`);
    },
    inside(extent: Extent, verb: string): void {
      this.open(verb);
      const { offset, length } = extent;
      assert(
        Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0,
        `${verb} ${source.name} at ${offset} + ${length}: not a byte range`,
      );
      assert(offset + length <= source.size, `${verb} ${source.name} at ${offset} + ${length}: beyond ${source.size}`);
    },
    async close(): Promise<void> {
      if (closed) return;
      closed = true;
      await source.close();
    },
  };
}
