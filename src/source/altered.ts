// Where a view shows something else than the bytes of the medium below it.
// Invariant: what the spec does not tell counts as altered.

import type { Bytes } from '../base/units.js';
import { type Extent, extentEnd, intersect, normalise } from '../map/extent.js';
import { changedPlaces } from './overlay.js';
import { fromSpecs } from './patched.js';
import type { Source, SourceSpec } from './types.js';

/** Sorted, disjoint; offsets of the view. `ownSize`: of the volume that the view shows; nothing behind it is its own. */
export function alteredBy(view: Source, ownSize: Bytes): Extent[] {
  const beyond = { offset: ownSize, length: Math.max(0, view.size - ownSize) };
  return normalise([...(view.spec ? placesOf(view.spec) : [{ offset: 0, length: view.size }]), beyond]);
}

function placesOf(spec: SourceSpec): Extent[] {
  if (spec.kind === 'overlay') return [...placesOf(spec.base), ...changedPlaces(spec)];
  if (spec.kind === 'patched') {
    const patches = fromSpecs(spec.patches).map(({ offset, bytes }) => ({ offset, length: bytes.length }));
    return [...placesOf(spec.of), ...patches];
  }
  if (spec.kind !== 'slice') return [];
  return placesOf(spec.of).flatMap((place) => {
    const inside = intersect(place, spec.extent);
    return inside ? [{ offset: inside.offset - spec.extent.offset, length: extentEnd(inside) - inside.offset }] : [];
  });
}
