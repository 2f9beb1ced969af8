// The header of a Linux swap area, in its first page; the kernel replaces its signature while the computer hibernates.
// Invariant: bytes in, values out; numbers are bounded by 32 bits and a page size from the list.
// Format: kernel include/linux/swap.h (union swap_header), kernel/power/swap.c, util-linux libblkid superblocks/swap.c.

import type { Bytes } from '../../base/units.js';

/** As far as the signature of the largest page size lies. */
export const HEADER_LENGTH: Bytes = 65536;
/** The kernel takes no area of fewer than ten pages. */
export const SMALLEST_AREA: Bytes = 40960;

const PAGE_SIZES: readonly Bytes[] = [4096, 8192, 16384, 32768, 65536];
const SIGNATURE_LENGTH = 10;
const SWAP_SIGNATURES: Readonly<Record<string, 0 | 1>> = { 'SWAP-SPACE': 0, SWAPSPACE2: 1 };
const HIBERNATED_SIGNATURES = ['S1SUSPEND', 'S2SUSPEND', 'ULSUSPEND', 'LINHIB0001'];
/** TuxOnIce signs at the very start and leaves the swap signature alone. */
const TUX_ON_ICE = Buffer.from('edc302e99856e50c', 'hex');
const AT = { version: 1024, lastPage: 1028, badPages: 1032, uuid: 1036, label: 1052, labelEnd: 1068, zeros: 1196 };
const ZEROS_LENGTH = 8;

export interface SwapHeader {
  readonly pageSize: Bytes;
  /** The old format, of before Linux 2.2, is 0; anything else but 1 is unknown. */
  readonly version: number;
  readonly pageCount: number;
  readonly badPages: number;
  /** It holds the memory of a hibernated computer. */
  readonly hibernated: boolean;
  /** As blkid prints them; empty if there is none. */
  readonly uuid: string;
  readonly label: string;
}

/** Undefined: no swap area. `bytes`: the first 64 KiB, or less if there is less. */
export function parseSwapHeader(bytes: Buffer): SwapHeader | undefined {
  for (const pageSize of PAGE_SIZES) {
    if (pageSize > bytes.length) break;
    const signature = bytes.toString('latin1', pageSize - SIGNATURE_LENGTH, pageSize);
    const format = SWAP_SIGNATURES[signature];
    const hibernated = HIBERNATED_SIGNATURES.some((each) => signature.startsWith(each)) || isTuxOnIce(bytes);
    if (format === 0) return { pageSize, version: 0, pageCount: 0, badPages: 0, hibernated, uuid: '', label: '' };
    if (format === undefined && !hibernated) continue;
    const header = parseNumbers(bytes, pageSize);
    if (header.pageCount > 1 || hibernated) return { ...header, hibernated };
  }
  return undefined;
}

function isTuxOnIce(bytes: Buffer): boolean {
  return bytes.subarray(0, TUX_ON_ICE.length).equals(TUX_ON_ICE);
}

/** Machines of either byte order read each other's swap. */
function parseNumbers(bytes: Buffer, pageSize: Bytes): Omit<SwapHeader, 'hibernated'> {
  const bigEndian = bytes.readUInt32BE(AT.version) === 1;
  const read = (at: number): number => (bigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at));
  const named = bytes.subarray(AT.zeros, AT.zeros + ZEROS_LENGTH).every((byte) => byte === 0);
  return {
    pageSize,
    version: read(AT.version),
    pageCount: read(AT.lastPage) + 1,
    badPages: read(AT.badPages),
    uuid: named ? formatUuid(bytes.subarray(AT.uuid, AT.label)) : '',
    label: named ? labelOf(bytes.subarray(AT.label, AT.labelEnd)) : '',
  };
}

function labelOf(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end).trimEnd();
}

function formatUuid(uuid: Buffer): string {
  if (uuid.every((byte) => byte === 0)) return '';
  const hex = uuid.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
