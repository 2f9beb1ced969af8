// Deals asked extents out to what owns them, while somebody walks over everything that could.
// Invariant: every asked byte ends in exactly one place: in one claim (the first that came wins) or in what is left. So
// memory grows with the answer, however many structures of a hostile disk claim the same byte.

import { type Extent, extentEnd, normalise, overlaps } from '../map/extent.js';
import type { Owner } from './plugin.js';

export interface Claim<Claimant> {
  readonly extent: Extent;
  readonly claimant: Claimant;
}

/** The side that those see who claim. */
export interface Claimable<Claimant> {
  /** Asked and not claimed yet: ascending, apart from each other. */
  readonly left: readonly Extent[];
  /** Is any byte of `extent` asked for and not claimed? Cheap: most of what a disk holds is not. */
  meets(extent: Extent): boolean;
  /** Gives `claimant` what is left in `extent`; true if that was anything. */
  claim(extent: Extent, claimant: Claimant): boolean;
}

export interface Claims<Claimant> extends Claimable<Claimant> {
  readonly made: readonly Claim<Claimant>[];
}

export function openClaims<Claimant>(asked: Iterable<Extent>): Claims<Claimant> {
  const left = normalise(asked);
  const made: Claim<Claimant>[] = [];
  return {
    left,
    made,
    meets(extent) {
      const part = left[firstBehind(left, extent.offset)];
      return part !== undefined && overlaps(part, extent);
    },
    claim(extent, claimant) {
      if (extent.length <= 0) return false;
      const first = firstBehind(left, extent.offset);
      let next = first;
      const kept: Extent[] = [];
      for (let part = left[next]; part && overlaps(part, extent); part = left[next]) {
        const offset = Math.max(part.offset, extent.offset);
        const end = Math.min(extentEnd(part), extentEnd(extent));
        made.push({ extent: { offset, length: end - offset }, claimant });
        if (part.offset < offset) kept.push({ offset: part.offset, length: offset - part.offset });
        if (extentEnd(part) > end) kept.push({ offset: end, length: extentEnd(part) - end });
        next += 1;
      }
      if (next > first) left.splice(first, next - first, ...kept);
      return next > first;
    },
  };
}

/** Index of the first extent that ends behind `offset`. */
function firstBehind(extents: readonly Extent[], offset: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const extent = extents[middle];
    if (extent && extentEnd(extent) <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The answer: every asked byte once, ascending; neighbours of one claimant joined, what nobody claimed without a name. */
export function ownersFrom<Claimant extends object>(
  { made, left }: Claims<Claimant>,
  describe: (claimant: Claimant) => Omit<Owner, 'extent'>,
): Owner[] {
  const described = new Map<Claimant, Omit<Owner, 'extent'>>();
  const describeOnce = (claimant: Claimant): Omit<Owner, 'extent'> => {
    const known = described.get(claimant) ?? describe(claimant);
    described.set(claimant, known);
    return known;
  };
  const parts = [
    ...made.map(({ extent, claimant }) => ({ extent, who: describeOnce(claimant) })),
    ...left.map((extent) => ({ extent, who: UNKNOWN })),
  ].sort((a, b) => a.extent.offset - b.extent.offset);
  const owners: Owner[] = [];
  let last: (typeof parts)[number] | undefined;
  for (const { extent, who } of parts) {
    const joins = last?.who === who && extentEnd(last.extent) === extent.offset;
    const whole = joins && last ? { offset: last.extent.offset, length: last.extent.length + extent.length } : extent;
    if (joins) owners.pop();
    owners.push({ extent: whole, ...who });
    last = { extent: whole, who };
  }
  return owners;
}

const UNKNOWN: Omit<Owner, 'extent'> = { kind: 'structure', names: [] };

/** Where nothing at all can be told. */
export function unknownOwners(asked: Iterable<Extent>): Owner[] {
  return normalise(asked).map((extent) => ({ extent, ...UNKNOWN }));
}
