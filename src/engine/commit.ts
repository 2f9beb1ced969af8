// The end of a run: the bytes under the marker are written last, so that a target shows a table or a file system only
// when everything behind it is complete and durable.
// Invariant: the first 4 KiB, which every firmware and kernel looks at first, are the very last write.

import { DIGEST_LENGTH, isUnknown, markHoled } from '../base/digest.js';
import { readBackDiffers } from '../base/errors/device.js';
import { type Bytes, KiB } from '../base/units.js';
import { PAGE_BYTES, pageExtent, pageLength } from '../map/block-map.js';
import { clip, type Extent, extentEnd, gaps, intersect, normalise, totalLength, widen } from '../map/extent.js';
import { checked } from '../source/checked.js';
import type { Target } from '../source/types.js';
import type { Executor } from './executor.js';
import { rescueHeld } from './held-rescue.js';
import type { Hole, Stretch } from './stretch.js';
import { createTally, type Tally } from './tally.js';
import type { VolumeCopy } from './volume-copy.js';

/** Bytes that belong at `offset` of the target medium. */
export interface StagedPiece {
  readonly offset: Bytes;
  readonly bytes: Buffer;
}

interface StagedPage {
  readonly volume: VolumeCopy;
  readonly page: number;
  readonly digests: Uint8Array;
}

/** What the held blocks of all volumes will be, and their digests. */
export interface Staged {
  readonly pieces: readonly StagedPiece[];
  readonly pages: readonly StagedPage[];
}

/** A volume and where it begins on the target medium. */
export interface PlacedVolume {
  readonly volume: VolumeCopy;
  readonly offset: Bytes;
}

/** What is staged reaches the medium only when it is committed, and is counted then. */
const STAGING = createTally();

/** Copies the held blocks into memory, by the same code that copies all others. */
export async function stageHeld(volumes: readonly PlacedVolume[], inline: Executor): Promise<Staged> {
  const pieces: StagedPiece[] = [];
  const pages: StagedPage[] = [];
  for (const { volume, offset } of volumes) {
    const target = capture(volume, (at, bytes) => pieces.push({ offset: offset + at, bytes }));
    const holes: Hole[] = [];
    for (const page of heldPages(volume)) {
      const stretch = await heldStretch(volume, page);
      const rescued = volume.rescue && (await rescueHeld(volume, stretch));
      const ends = { source: rescued?.source ?? volume.source, target, tally: STAGING };
      const { digests } = await inline.run({ kind: 'stretch', stretch }, ends, async () => {});
      for (const block of rescued?.holed ?? []) markHoled(digests, block * DIGEST_LENGTH);
      holes.push(...(rescued?.holes ?? []));
      volume.tally.add('done', totalLength(stretch.used));
      pages.push({ volume, page, digests });
    }
    volume.rescue?.damage.noteHeld(holes);
  }
  return { pieces, pages };
}

/** A target that only collects what is written to it. */
function capture({ name, map }: VolumeCopy, collect: (offset: Bytes, bytes: Buffer) => void): Target {
  return checked({
    name,
    size: map.grid.size,
    sectorSize: undefined,
    spec: undefined,
    async read() {
      throw new Error('internal error: staged blocks are never compared');
    },
    extents: undefined,
    async write(from, offset) {
      collect(offset, Buffer.from(from));
    },
    async zero({ offset, length }) {
      collect(offset, Buffer.alloc(length));
    },
    async discard() {},
    async flush() {},
    async close() {},
  });
}

function heldPages({ held, map: { grid } }: VolumeCopy): number[] {
  const pages = new Set<number>();
  for (const extent of held) {
    const last = Math.floor((extentEnd(extent) - 1) / pageLength(grid));
    for (let page = Math.floor(extent.offset / pageLength(grid)); page <= last; page += 1) pages.add(page);
  }
  return [...pages];
}

/** The page's held blocks as a stretch of their own: everything else in it counts as held by the main loop. */
async function heldStretch(volume: VolumeCopy, page: number): Promise<Stretch> {
  const { grid } = volume.map;
  const extent = pageExtent(grid, page);
  const blocks = heldBlocks(volume).flatMap((block) => intersect(block, extent) ?? []);
  const used: Extent[] = [];
  for (const block of blocks) for await (const part of volume.allocation.usedExtents(block)) used.push(part);
  return {
    extent,
    blockSize: grid.blockSize,
    used: normalise(used),
    wiped: blocks.flatMap((block) => [...clip(volume.wiped, block)]),
    held: [...gaps(blocks, extent)],
    known: undefined,
    unknown: 'write',
    sink: 'write',
    discardFree: false,
  };
}

function heldBlocks({ held, map: { grid } }: VolumeCopy): Extent[] {
  return normalise(held.map((extent) => widen(extent, { unit: grid.blockSize, limit: grid.size })));
}

/** True if the target does not hold these bytes already. */
export async function differs(target: Target, pieces: readonly StagedPiece[]): Promise<boolean> {
  for (const { offset, bytes } of pieces) {
    const found = Buffer.alloc(bytes.length);
    await target.read(found, offset);
    if (!found.equals(bytes)) return true;
  }
  return false;
}

/** Voids the digests of held blocks, durably: the marker is about to replace their content. */
export async function voidHeld(volumes: readonly PlacedVolume[]): Promise<void> {
  for (const { volume } of volumes) {
    if (volume.held.length === 0) continue;
    for (const page of heldPages(volume)) {
      const digests = await volume.map.readPage(page);
      for (const block of heldSlots(volume, page)) digests.fill(0, block * DIGEST_LENGTH, (block + 1) * DIGEST_LENGTH);
      await volume.map.writePage(page, digests);
    }
    await volume.map.flush();
  }
}

function heldSlots(volume: VolumeCopy, page: number): number[] {
  const { grid } = volume.map;
  const extent = pageExtent(grid, page);
  return heldBlocks(volume).flatMap((blocks) => {
    const inside = intersect(blocks, extent);
    if (!inside) return [];
    const first = (inside.offset - extent.offset) / grid.blockSize;
    const count = Math.ceil(inside.length / grid.blockSize);
    return Array.from({ length: count }, (_, index) => first + index);
  });
}

/** Fills the digests of held blocks after their content was flushed. */
export async function fillHeld({ pages }: Staged): Promise<void> {
  for (const { volume, page, digests } of pages) {
    const whole = await volume.map.readPage(page);
    for (let at = 0; at < Math.min(digests.length, PAGE_BYTES); at += DIGEST_LENGTH) {
      const fresh = Buffer.from(digests.buffer, digests.byteOffset + at, DIGEST_LENGTH);
      if (!isUnknown(fresh, 0)) fresh.copy(whole, at);
    }
    await volume.map.writePage(page, whole);
    await volume.map.flush();
  }
}

const LAST_WRITE = 4 * KiB;

export interface DisarmOptions {
  /** What the marker covers: the head first. */
  readonly armed: readonly Extent[];
  readonly pieces: readonly StagedPiece[];
  readonly tally: Tally;
}

/** Replaces the marker by the real content, in three flushed steps, and reads it back. */
export async function disarm(target: Target, { armed, pieces, tally }: DisarmOptions): Promise<void> {
  const write = async (bytes: Buffer, offset: Bytes): Promise<void> => {
    await target.write(bytes, offset);
    tally.add('written', bytes.length);
  };
  const contents = armed.map((extent) => ({ extent, bytes: Buffer.alloc(extent.length) }));
  for (const { offset, bytes } of pieces) {
    const span = { offset, length: bytes.length };
    for (const { extent, bytes: content } of contents) {
      const part = intersect(span, extent);
      if (part) bytes.copy(content, part.offset - extent.offset, part.offset - offset, extentEnd(part) - offset);
    }
    for (const gap of gaps([...armed], span)) {
      await write(bytes.subarray(gap.offset - offset, extentEnd(gap) - offset), gap.offset);
    }
  }
  await target.flush(); // all that lies behind the marker, before the first byte of it goes
  const [head, ...others] = contents;
  if (!head) return;
  for (const { extent, bytes } of others) await write(bytes, extent.offset);
  const last = Math.min(LAST_WRITE, head.bytes.length); // all of it on a target of less than 4 KiB
  await write(head.bytes.subarray(last), head.extent.offset + last);
  await target.flush(); // backup table and superblocks, before the sector that makes them count
  await write(head.bytes.subarray(0, last), head.extent.offset);
  await target.flush();
  for (const { extent, bytes } of contents) {
    const found = Buffer.alloc(extent.length);
    await target.read(found, extent.offset);
    if (!found.equals(bytes)) throw readBackDiffers(target.name, extent.offset);
  }
}
