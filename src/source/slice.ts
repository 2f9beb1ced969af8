// A part of a source as a source of its own: a partition of a disk.
// Invariant: nothing outside the extent can be reached through it; closing it leaves the whole open.

import type { Bytes } from '../base/units.js';
import type { Extent } from '../map/extent.js';
import { checked, checkedSource } from './checked.js';
import type { Source, SourceExtent, SourceSpec, Target } from './types.js';

/** The bytes of `whole` in `extent`, from offset 0. The caller goes on owning `whole`. */
export function sliceSource(whole: Source, extent: Extent, name: string): Source {
  return checkedSource(view(whole, extent, name));
}

/** The same for writing. `flush` flushes the whole. */
export function sliceTarget(whole: Target, extent: Extent, name: string): Target {
  return checked({
    ...view(whole, extent, name),
    write: (from, offset) => whole.write(from, extent.offset + offset),
    zero: ({ offset, length }) => whole.zero({ offset: extent.offset + offset, length }),
    discard: ({ offset, length }) => whole.discard({ offset: extent.offset + offset, length }),
    flush: () => whole.flush(),
  });
}

function view(whole: Source, extent: Extent, name: string): Source {
  const spec: SourceSpec | undefined = whole.spec && { kind: 'slice', of: whole.spec, extent };
  return {
    name,
    size: extent.length,
    sectorSize: whole.sectorSize,
    spec,
    read: (into, offset) => whole.read(into, extent.offset + offset),
    readAround:
      whole.readAround && ((into, offset) => aroundShifted(whole.readAround, extent.offset, { into, offset })),
    extents: whole.extents && ((within) => shifted(whole.extents, extent.offset, within)),
    async close() {},
  };
}

async function aroundShifted(
  readAround: Source['readAround'],
  by: Bytes,
  { into, offset }: { into: Buffer; offset: Bytes },
): Promise<Extent[]> {
  const holes = (await readAround?.(into, by + offset)) ?? [];
  return holes.map((hole) => ({ offset: hole.offset - by, length: hole.length }));
}

async function* shifted(
  extents: Source['extents'],
  by: Bytes,
  { offset, length }: Extent,
): AsyncGenerator<SourceExtent> {
  if (!extents) return;
  for await (const part of extents({ offset: by + offset, length })) yield { ...part, offset: part.offset - by };
}
