// A source where a target is asked for: for comparisons, which never write.

import { checked } from './checked.js';
import type { Source, Target } from './types.js';

/** Reads like `source`; every attempt to change it is a bug of ours. */
export function readOnlyTarget(source: Source): Target {
  const refuse = async (): Promise<never> => {
    throw new Error(`internal error: ${source.name} is only read`);
  };
  return checked({
    name: source.name,
    size: source.size,
    sectorSize: source.sectorSize,
    spec: source.spec,
    read: (into, offset) => source.read(into, offset),
    extents: source.extents,
    write: refuse,
    zero: refuse,
    discard: refuse,
    flush: refuse,
    close: () => source.close(),
  });
}
