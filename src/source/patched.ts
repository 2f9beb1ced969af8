// A source with a few bytes changed, and perhaps cut or lengthened: how a volume shows itself at its new place.
// Invariant: the base is only read; outside the patches its bytes are shown as they are, and zeros behind its end.

import { assert } from '../base/assert.js';
import { type Bytes, MiB } from '../base/units.js';
import { clip, type Extent, extentEnd, gaps, intersect } from '../map/extent.js';
import { checkedSource } from './checked.js';
import type { PatchSpec, Source, SourceExtent, SourceSpec } from './types.js';

/** Patches travel with every task of a worker, so they must not be a copy of the volume. */
const MOST_PATCHED: Bytes = MiB;

export interface Patch {
  readonly offset: Bytes;
  readonly bytes: Buffer;
}

export interface PatchedOptions {
  /** Of the patched source. Default: the base's. */
  readonly size?: Bytes | undefined;
  /** How messages call it. Default: as the base. */
  readonly name?: string;
}

/**
 * `base` with `patches` over it. They may come in any order, but must not overlap, and lie inside `size`. Closing it leaves
 * the base open.
 */
export function patchedSource(base: Source, patches: readonly Patch[], options: PatchedOptions = {}): Source {
  const { size = base.size, name = base.name } = options;
  const sorted = patches.filter(({ bytes }) => bytes.length > 0).sort((a, b) => a.offset - b.offset);
  checkPatches(sorted, size);
  const view: View = { base, size, patches: sorted, places: sorted.map(placeOf) };
  const spec: SourceSpec | undefined = base.spec && { kind: 'patched', of: base.spec, size, patches: toSpecs(sorted) };
  const { readAround, extents } = base;
  return checkedSource({
    name,
    size,
    sectorSize: base.sectorSize,
    spec,
    async read(into, offset) {
      const own = baseLength(view, into, offset);
      if (own > 0) await base.read(into.subarray(0, own), offset);
      finish(view, into, { offset, own });
    },
    readAround:
      readAround &&
      (async (into, offset) => {
        const own = baseLength(view, into, offset);
        const holes = own > 0 ? await readAround(into.subarray(0, own), offset) : [];
        finish(view, into, { offset, own });
        // What a patch covers was not read from the medium, so it is none of its holes.
        return holes.flatMap((hole) => [...gaps(clip(view.places, hole), hole)]);
      }),
    extents: extents && ((within) => extentsOf(view, extents, within)),
    async close() {},
  });
}

/** Patches as plain data. */
export function toSpecs(patches: readonly Patch[]): PatchSpec[] {
  return patches.map(({ offset, bytes }) => ({ offset, base64: bytes.toString('base64') }));
}

/** The way back. */
export function fromSpecs(specs: readonly PatchSpec[]): Patch[] {
  return specs.map(({ offset, base64 }) => ({ offset, bytes: Buffer.from(base64, 'base64') }));
}

interface View {
  readonly base: Source;
  readonly size: Bytes;
  /** Ascending. */
  readonly patches: readonly Patch[];
  readonly places: readonly Extent[];
}

function placeOf({ offset, bytes }: Patch): Extent {
  return { offset, length: bytes.length };
}

function checkPatches(patches: readonly Patch[], size: Bytes): void {
  let position = 0;
  let total = 0;
  for (const { offset, bytes } of patches) {
    const fits = Number.isSafeInteger(offset) && offset >= position && offset + bytes.length <= size;
    assert(fits, `a patch of ${bytes.length} bytes at ${offset} overlaps another one, or leaves the ${size} bytes`);
    position = offset + bytes.length;
    total += bytes.length;
  }
  assert(total <= MOST_PATCHED, `patches of ${total} bytes are too large`);
}

/** How much of a request the base has. */
function baseLength({ base }: View, into: Buffer, offset: Bytes): Bytes {
  return Math.max(0, Math.min(into.length, base.size - offset));
}

/** What the base does not have becomes zeros, then the patches come over all of it. */
function finish({ patches }: View, into: Buffer, { offset, own }: { offset: Bytes; own: Bytes }): void {
  into.fill(0, own);
  const request = { offset, length: into.length };
  for (const patch of patches) {
    const part = intersect(placeOf(patch), request);
    if (part) patch.bytes.copy(into, part.offset - offset, part.offset - patch.offset, extentEnd(part) - patch.offset);
  }
}

/** A patch makes data of zeros; other extents stay what they are. */
async function* extentsOf(
  { base, places }: View,
  extents: (within: Extent) => AsyncIterable<SourceExtent>,
  within: Extent,
): AsyncGenerator<SourceExtent> {
  const own = intersect(within, { offset: 0, length: base.size });
  if (own) {
    for await (const extent of extents(own)) yield* withPatches(places, extent);
  }
  const from = Math.max(within.offset, base.size);
  const beyond = { offset: from, length: extentEnd(within) - from };
  if (beyond.length > 0) yield* withPatches(places, { ...beyond, kind: 'zero' });
}

function* withPatches(places: readonly Extent[], extent: SourceExtent): Generator<SourceExtent> {
  if (extent.kind === 'data') return yield extent;
  let position = extent.offset;
  for (const part of clip(places, extent)) {
    if (part.offset > position) yield { offset: position, length: part.offset - position, kind: 'zero' };
    yield { ...part, kind: 'data' };
    position = extentEnd(part);
  }
  if (extentEnd(extent) > position) yield { offset: position, length: extentEnd(extent) - position, kind: 'zero' };
}
