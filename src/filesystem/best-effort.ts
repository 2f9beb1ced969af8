// Reading metadata of a disk that fails: what cannot be read, or contradicts its format, is simply not known.
// Invariant: only errors of the disk and of its content are swallowed; a bug of ours stays loud.

import { ToolError } from '../base/tool-error.js';
import { FormatError } from '../base/u64.js';
import type { Bytes } from '../base/units.js';
import type { Source } from '../source/types.js';

/** The result of `work`; undefined if the disk or what lies on it prevents one. */
export async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof FormatError || (error instanceof ToolError && error.family === 'device')) return undefined;
    throw error;
  }
}

/** The same for parsing bytes that are there. */
export function parsed<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/** Fills `into`; false if that place does not exist or cannot be read. */
export async function tryRead(volume: Source, into: Buffer, offset: Bytes): Promise<boolean> {
  if (!Number.isSafeInteger(offset) || offset < 0 || offset + into.length > volume.size) return false;
  return (await attempt(async () => volume.read(into, offset).then(() => true))) ?? false;
}

/** Fills `into` in one request, or unit by unit where that fails; returns the units that could not be read. */
export async function readPossible(
  into: Buffer,
  unit: Bytes,
  read: (part: Buffer, offset: Bytes) => Promise<boolean>,
): Promise<ReadonlySet<number>> {
  const lost = new Set<number>();
  if (await read(into, 0)) return lost;
  for (let at = 0; at < into.length; at += unit) {
    const part = into.subarray(at, Math.min(at + unit, into.length));
    if (await read(part, at)) continue;
    part.fill(0);
    lost.add(at / unit);
  }
  return lost;
}
