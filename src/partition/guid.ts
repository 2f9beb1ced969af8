// GUIDs as GPT stores them: the first three groups little-endian, the rest in order (UEFI 2.10 appendix A).

import { assert } from '../base/assert.js';

const FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** The first three groups, as byte ranges. */
const SWAPPED = [
  [0, 4],
  [4, 6],
  [6, 8],
] as const;

/** The GUID at `offset` in upper case, as the UEFI specification and sgdisk write it. */
export function readGuid(bytes: Buffer, offset: number): string {
  const hex = (from: number, to: number): string => bytes.toString('hex', offset + from, offset + to);
  const swapped = (from: number, to: number): string =>
    Buffer.from(bytes.subarray(offset + from, offset + to))
      .reverse()
      .toString('hex');
  return [swapped(0, 4), swapped(4, 6), swapped(6, 8), hex(8, 10), hex(10, 16)].join('-').toUpperCase();
}

/** Writes the 16 bytes of `guid`, in any case, at `offset`. A text that is no GUID is our mistake. */
export function writeGuid(bytes: Buffer, guid: string, offset: number): void {
  assert(FORM.test(guid), `"${guid}" is no GUID`);
  const raw = Buffer.from(guid.replaceAll('-', ''), 'hex');
  for (const [from, to] of SWAPPED) raw.subarray(from, to).reverse();
  raw.copy(bytes, offset);
}
