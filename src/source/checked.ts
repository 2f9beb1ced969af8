// The choke point: every opened source goes through it, so no medium has to distrust its callers.
// Invariant: what reaches the medium lies inside it, is not empty, and comes before close().

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
    readAround: guard.readAround,
    extents: guard.extents,
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
    extents: guard.extents,
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
  const open = (verb: string): void => {
    if (closed) throw new Error(`internal error: ${verb} ${source.name} after close`);
  };
  const inside = ({ offset, length }: Extent, verb: string): void => {
    open(verb);
    const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
    if (whole && offset + length <= source.size) return;
    throw new Error(
      `internal error: ${verb} ${source.name} at ${offset} + ${length}: not inside its ${source.size} bytes`,
    );
  };
  const { extents, readAround } = source;
  return {
    open,
    inside,
    readAround:
      readAround &&
      (async (into: Buffer, offset: number): Promise<Extent[]> => {
        inside({ offset, length: into.length }, 'read around holes of');
        return into.length > 0 ? readAround(into, offset) : [];
      }),
    extents:
      extents &&
      ((within: Extent) => {
        inside(within, 'list extents of');
        return extents(within);
      }),
    async close(): Promise<void> {
      if (closed) return;
      closed = true;
      await source.close();
    },
  };
}
