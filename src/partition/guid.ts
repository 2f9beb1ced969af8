// GUIDs as GPT stores them: the first three groups little-endian, the rest in order (UEFI 2.10 appendix A).

/** The GUID at `offset` in upper case, as the UEFI specification and sgdisk write it. */
export function readGuid(bytes: Buffer, offset: number): string {
  const hex = (from: number, to: number): string => bytes.toString('hex', offset + from, offset + to);
  const swapped = (from: number, to: number): string =>
    Buffer.from(bytes.subarray(offset + from, offset + to))
      .reverse()
      .toString('hex');
  return [swapped(0, 4), swapped(4, 6), swapped(6, 8), hex(8, 10), hex(10, 16)].join('-').toUpperCase();
}
