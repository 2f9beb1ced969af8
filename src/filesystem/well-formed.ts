// Turns names from disks into text: in FAT and NTFS a name is a row of 16-bit numbers, whatever they are.
// Invariant: what comes out can be written as UTF-8 and as strict JSON.

/** Halves of surrogate pairs alone are no text: each becomes U+FFFD. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}
