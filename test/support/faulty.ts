// Media that fail: errors at chosen places and moments, writes of which only the first sectors land, a process that
// dies after so many operations.
// Invariant: without faults a wrapper is the medium itself.

import { cannotFlush, cannotRead, cannotWrite } from '../../src/base/errors/device.js';
import { type Extent, overlaps } from '../../src/map/extent.js';
import { checked, checkedSource } from '../../src/source/checked.js';
import type { Source, Target } from '../../src/source/types.js';

export type Verb = 'read' | 'write' | 'zero' | 'discard' | 'flush';

export interface Fault {
  readonly verbs: readonly Verb[];
  /** Only requests that touch this; any if missing. Flushes touch nothing. */
  readonly within?: Extent;
  /** Only the n-th of them, counted from 1; all if missing. */
  readonly nth?: number;
  readonly errno: 'EIO' | 'ENOSPC';
  /** So many of the first sectors of a failing write land all the same. */
  readonly landed?: number;
}

export interface FaultyOptions {
  readonly faults?: readonly Fault[];
  /** The process dies at the operation after this many: it throws `Crash`, and so does everything later. */
  readonly crashAfter?: number;
  /** Told of every request before it is served. */
  readonly onRequest?: (verb: Verb, extent: Extent) => void;
}

/** Stands for the end of the process: nothing that ran after it counts. */
export class Crash extends Error {
  override readonly name = 'Crash';
}

const SECTOR = 512;
const NOWHERE: Extent = { offset: 0, length: 0 };

/** A source that fails as told. */
export function faultySource(source: Source, options: FaultyOptions = {}): Source {
  const meet = requestsOf(source.name, options);
  return checkedSource({
    ...source,
    async read(into, offset) {
      meet('read', { offset, length: into.length });
      await source.read(into, offset);
    },
  });
}

/** A target that fails as told. Its operations are counted together, in the order in which they come. */
export function faultyTarget(target: Target, options: FaultyOptions = {}): Target {
  const meet = requestsOf(target.name, options);
  return checked({
    ...target,
    async read(into, offset) {
      meet('read', { offset, length: into.length });
      await target.read(into, offset);
    },
    async write(from, offset) {
      let landed = 0;
      try {
        meet('write', { offset, length: from.length }, (sectors) => {
          landed = Math.min(sectors * SECTOR, from.length);
        });
      } catch (error) {
        if (landed > 0) await target.write(from.subarray(0, landed), offset);
        throw error;
      }
      await target.write(from, offset);
    },
    async zero(extent) {
      meet('zero', extent);
      await target.zero(extent);
    },
    async discard(extent) {
      meet('discard', extent);
      await target.discard(extent);
    },
    async flush() {
      meet('flush', NOWHERE);
      await target.flush();
    },
  });
}

/** Counts requests and throws where a fault or the crash is due. */
function requestsOf(name: string, { faults = [], crashAfter, onRequest }: FaultyOptions) {
  let count = 0;
  const met = faults.map(() => 0);
  return (verb: Verb, extent: Extent, land: (sectors: number) => void = () => {}): void => {
    onRequest?.(verb, extent);
    if (crashAfter !== undefined && count >= crashAfter) throw new Crash(`dead before ${verb} of ${name}`);
    count += 1;
    for (const [index, fault] of faults.entries()) {
      if (!fault.verbs.includes(verb)) continue;
      if (fault.within && (verb === 'flush' || !overlaps(fault.within, extent))) continue;
      met[index] = (met[index] ?? 0) + 1;
      if (fault.nth !== undefined && fault.nth !== met[index]) continue;
      land(fault.landed ?? 0);
      throw errorOf(verb, { name, extent, errno: fault.errno });
    }
  };
}

function errorOf(verb: Verb, { name, extent, errno }: { name: string; extent: Extent; errno: string }): Error {
  const cause = Object.assign(new Error(`${errno}: injected`), { code: errno });
  if (verb === 'read') return cannotRead(name, extent.offset, extent.length, cause);
  if (verb === 'flush') return cannotFlush(name, cause);
  return cannotWrite(name, extent.offset, extent.length, cause);
}
