// Linux swap: only its header page is worth anything, unless a computer hibernates in it.
// Invariant: an area with anything unusual (old format, bad pages, cut off, hibernated) is used to its last byte.
// Format: kernel include/linux/swap.h (union swap_header).

import { DigestStream } from '../../base/digest.js';
import { FormatError } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import { everythingUsed, mapOfExtents } from '../../map/allocation-map.js';
import { BLOCK_SIZE } from '../../map/block-map.js';
import { normalise, widen } from '../../map/extent.js';
import { signaturePlaces } from '../../map/signature-places.js';
import type { Source } from '../../source/types.js';
import { CLEAN, type FilesystemPlugin, type FilesystemState } from '../plugin.js';
import { HEADER_LENGTH, parseSwapHeader, SMALLEST_AREA, type SwapHeader } from './header.js';

const HIBERNATED: FilesystemState = {
  kind: 'hibernated',
  reason: 'a computer hibernates in it: its memory and unwritten data of its file systems are there',
  advice: 'Start that computer and shut it down, or give its session up with mkswap',
};

export const swap: FilesystemPlugin = {
  name: 'swap',
  async probe(volume) {
    const header = await readHeader(volume);
    return (
      header && {
        kind: header.hibernated ? 'swsuspend' : 'swap',
        label: header.label,
        uuid: header.uuid,
        size: isPlain(header, volume) ? areaSize(header) : volume.size,
        blockSize: header.pageSize,
        used: undefined,
        lastWritten: undefined,
      }
    );
  },
  async readState(volume) {
    return (await requireHeader(volume)).hibernated ? HIBERNATED : CLEAN;
  },
  async openAllocationMap(volume) {
    const header = await requireHeader(volume);
    if (!isPlain(header, volume)) return everythingUsed(volume.size);
    return mapOfExtents([{ offset: 0, length: header.pageSize }], header.pageSize);
  },
  async token(volume) {
    const header = await requireHeader(volume);
    if (!isPlain(header, volume)) throw new FormatError('a swap area whose pages count has no token');
    return tokenOf(volume);
  },
};

/**
 * Paging changes no header. So the token covers all that a block map can know of a swap area: a target that was paged to
 * there no longer holds what its map says.
 */
async function tokenOf(volume: Source): Promise<Buffer> {
  const digest = new DigestStream();
  const blocks = signaturePlaces(volume.size).map((place) => widen(place, { unit: BLOCK_SIZE, limit: volume.size }));
  for (const { offset, length } of normalise(blocks)) {
    const bytes = Buffer.alloc(length);
    await volume.read(bytes, offset);
    digest.add(bytes);
  }
  return digest.finish();
}

async function readHeader(volume: Source): Promise<SwapHeader | undefined> {
  if (volume.size < SMALLEST_AREA) return undefined;
  const bytes = Buffer.alloc(Math.min(HEADER_LENGTH, volume.size));
  await volume.read(bytes, 0);
  return parseSwapHeader(bytes);
}

async function requireHeader(volume: Source): Promise<SwapHeader> {
  const header = await readHeader(volume);
  if (!header) throw new FormatError('no swap header');
  return header;
}

function areaSize({ pageCount, pageSize }: SwapHeader): Bytes {
  return pageCount * pageSize;
}

/** Nothing but its header is needed. */
function isPlain(header: SwapHeader, volume: Source): boolean {
  return !header.hibernated && header.version === 1 && header.badPages === 0 && areaSize(header) <= volume.size;
}
