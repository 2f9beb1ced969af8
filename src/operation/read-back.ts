// Evidence from the medium itself: blocks read again, past every cache, against the digests of what was meant to be there.

import { DIGEST_LENGTH, digestOf, isHoled, isUnknown } from '../base/digest.js';
import { readBackDiffers } from '../base/errors/device.js';
import { verifyFailed } from '../base/errors/run.js';
import type { Bytes } from '../base/units.js';
import type { PlacedVolume } from '../engine/commit.js';
import { copy } from '../engine/copy.js';
import type { Executor } from '../engine/executor.js';
import { createLedger } from '../engine/ledger.js';
import { createTally } from '../engine/tally.js';
import type { VolumeCopy } from '../engine/volume-copy.js';
import type { TargetEnd } from '../location/ends.js';
import type { AllocationMap } from '../map/allocation-map.js';
import { type BlockMap, PAGE_DIGESTS, pageExtent, pageLength } from '../map/block-map.js';
import { intersect } from '../map/extent.js';
import { allocateAligned } from '../native/aligned.js';
import type { CloneOptions } from './clone-types.js';
import { reportProgress, sumOf } from './progress.js';
import type { Session } from './session.js';

/** Pages of a map of which one block is read back. */
const SAMPLE = 64;

/** Reads a few blocks of each volume back. Throws `device.read-back-differs`: fake capacity, or a failing medium. */
export async function readBackSample(placed: readonly PlacedVolume[], target: TargetEnd): Promise<void> {
  target.medium.dropCache();
  for (const { volume, offset } of placed) {
    const { grid } = volume.map;
    const buffer = allocateAligned(grid.blockSize);
    const pages: number[] = [];
    for await (const page of volume.map.knownPages(0)) pages.push(page);
    const step = Math.max(1, Math.floor(pages.length / SAMPLE));
    for (let index = 0; index < pages.length; index += step) {
      const page = pages[index] ?? 0;
      const digests = await volume.map.readPage(page);
      const block = lastKnown(digests);
      if (block === undefined) continue;
      const at = pageExtent(grid, page).offset + block * grid.blockSize;
      const bytes = buffer.subarray(0, Math.min(grid.blockSize, grid.size - at));
      await volume.target.read(bytes, at);
      const expected = digests.subarray(block * DIGEST_LENGTH, (block + 1) * DIGEST_LENGTH);
      if (digestOf(bytes).equals(expected)) continue;
      await voidDigests(volume.map, [at]);
      throw readBackDiffers(target.place.name, offset + at);
    }
  }
}

function lastKnown(digests: Buffer): number | undefined {
  for (let block = PAGE_DIGESTS - 1; block >= 0; block -= 1) if (hasDigest(digests, block)) return block;
  return undefined;
}

/** Blocks that were written with holes have none. */
function hasDigest(digests: Buffer, block: number): boolean {
  return !isUnknown(digests, block * DIGEST_LENGTH) && !isHoled(digests, block * DIGEST_LENGTH);
}

export interface VerifyContext {
  readonly options: CloneOptions;
  readonly inline: Executor;
  readonly workers: Executor | undefined;
  readonly session: Pick<Session, 'forgetSource'>;
}

/** Reads everything the maps know and checks it. Returns how many bytes were right; throws `verify.differs`. */
export async function verifyAgainstMaps(
  placed: readonly PlacedVolume[],
  target: TargetEnd,
  { options, inline, workers, session }: VerifyContext,
): Promise<Bytes> {
  options.report({ event: 'phase', phase: 'verify', message: 'reading the target again' });
  target.medium.dropCache();
  const volumes: VolumeCopy[] = placed.map(({ volume }) => ({
    ...volume,
    source: volume.target,
    allocation: knownBlocks(volume.map),
    wiped: [],
    held: [],
    known: true,
    unknown: 'match',
    discardFree: false,
    proof: undefined,
    isUntouched: false,
    rescue: undefined,
    tally: createTally(),
  }));
  const counted = await Promise.all(
    volumes.map(async ({ name, tally, allocation, map }) => ({ name, tally, total: await lengthOf(allocation, map) })),
  );
  const stop = reportProgress(counted, options.report);
  const differing: { volume: string; offset: Bytes }[] = [];
  const wrong: { map: BlockMap; offsets: readonly Bytes[] }[] = [];
  try {
    await copy(volumes, {
      sink: 'report',
      inline,
      workers,
      ledger: createLedger({ target: target.medium, arm: async () => {} }),
      signal: options.signal,
      onDiffering: ({ name, map }, offsets) => {
        wrong.push({ map, offsets });
        differing.push(...offsets.map((offset) => ({ volume: name, offset })));
      },
    });
  } finally {
    stop();
  }
  if (differing.length > 0) {
    // The next run must not trust what was found wrong: it writes these blocks again, whatever the source proves.
    session.forgetSource();
    for (const { map, offsets } of wrong) await voidDigests(map, offsets);
    throw verifyFailed(target.place.name, differing.length, { differing: differing.slice(0, 1000) });
  }
  return sumOf(counted).done;
}

async function voidDigests(map: BlockMap, offsets: readonly Bytes[]): Promise<void> {
  for (const offset of offsets) {
    const page = Math.floor(offset / pageLength(map.grid));
    const at = ((offset % pageLength(map.grid)) / map.grid.blockSize) * DIGEST_LENGTH;
    const digests = await map.readPage(page);
    digests.fill(0, at, at + DIGEST_LENGTH);
    await map.writePage(page, digests);
  }
  await map.flush();
}

/** The blocks whose digests are known, as if they were an allocation map: lazily, page by page. */
function knownBlocks(map: BlockMap): AllocationMap {
  const { grid } = map;
  return {
    blockSize: grid.blockSize,
    async *usedExtents(within) {
      for await (const page of map.knownPages(Math.floor(within.offset / pageLength(grid)))) {
        const extent = pageExtent(grid, page);
        if (extent.offset >= within.offset + within.length) return;
        const digests = await map.readPage(page);
        for (let block = 0; block < PAGE_DIGESTS; block += 1) {
          if (!hasDigest(digests, block)) continue;
          const offset = extent.offset + block * grid.blockSize;
          const known = intersect({ offset, length: Math.min(grid.blockSize, grid.size - offset) }, within);
          if (known) yield known;
        }
      }
    },
  };
}

async function lengthOf(allocation: AllocationMap, { grid }: BlockMap): Promise<Bytes> {
  let total = 0;
  for await (const { length } of allocation.usedExtents({ offset: 0, length: grid.size })) total += length;
  return total;
}
