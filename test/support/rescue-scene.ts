// A disk of about 20 MiB that decays: an unrecognised partition (compared in every run) and an ext4 (by digests), in two
// versions, with places that hold something else in each.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { Extent } from '../../src/map/extent.js';
import type { CloneRunResult, Unreadable } from '../../src/operation/clone-types.js';
import { withBadSectors } from './bad-sectors.js';
import { type Ended, type EndingOptions, ectypeUntil } from './ending.js';
import { replaceContent } from './power-cut.js';
import { randomFrom } from './random.js';
import { type SmallDisk, smallDisk } from './small-disk.js';

export const SECTOR = 512;
export const BLOCK = 65536;
const OLD_BYTE = 0xa5;

export interface RescueScene {
  readonly disk: SmallDisk;
  readonly versions: readonly [Buffer, Buffer];
  readonly target: string;
  /** Bytes of the target now. */
  held(extent: Extent): Buffer;
  /** Puts a version on the source disk and clones it, with these sectors bad. */
  clone(
    version: Buffer,
    bad: readonly Extent[],
    words?: readonly string[],
    end?: EndingOptions['end'],
    part?: string,
  ): Promise<Ended>;
}

/** A function that makes scenes of the same two versions, each with a target and a state of its own. */
export function rescueScenes(folder: string, seed: number): () => RescueScene {
  const disk = smallDisk(folder, { unrecognised: 6, ext4: 12 });
  const random = randomFrom(seed);
  const first = disk.version(random);
  let second = disk.version(random);
  while ([disk.raw, disk.ext4].some((part) => changedBlocks(part, [first, second]).length === 0)) {
    second = disk.version(random); // a few seeds in a hundred
  }
  let count = 0;
  return () => {
    count += 1;
    return rescueScene(join(folder, `scene-${count}`), disk, [Buffer.from(first), Buffer.from(second)]);
  };
}

function rescueScene(own: string, disk: SmallDisk, versions: readonly [Buffer, Buffer]): RescueScene {
  mkdirSync(own);
  const source = join(own, 'source.img');
  const target = join(own, 'target.img');
  writeFileSync(target, Buffer.alloc(disk.size, OLD_BYTE));
  const state = join(own, 'state');
  return {
    disk,
    versions,
    target,
    held: ({ offset, length }) => readFileSync(target).subarray(offset, offset + length),
    clone(version, bad, words = ['--rescue'], end, part = '') {
      replaceContent(source, version);
      const always = ['clone', '--yes', '--json', `--overwrite-target=${target}`, ...words];
      return withBadSectors(source, bad, async (device) => {
        const ended = await ectypeUntil([...always, `${device}${part}`, `${target}${part}`], {
          state,
          ...(end ? { end } : {}),
        });
        assert.ok(readFileSync(source).equals(version), 'the source changed');
        return ended;
      });
    },
  };
}

/** Blocks of the partition that hold data in both versions, and not the same. */
export function changedBlocks({ offset, length }: Extent, [one, two]: readonly [Buffer, Buffer]): Extent[] {
  const found: Extent[] = [];
  // The ends are looked at before anything is copied.
  for (let at = 9 * BLOCK; at + 4 * BLOCK < length; at += BLOCK) {
    const place = { offset: offset + at, length: BLOCK };
    const [a, b] = [one, two].map((bytes) => bytes.subarray(place.offset, place.offset + BLOCK));
    const isFull = (bytes: Buffer | undefined): boolean => {
      for (let sector = 0; sector < BLOCK; sector += SECTOR) {
        if (bytes?.subarray(sector, sector + SECTOR).every((byte) => byte === 0)) return false;
      }
      return true;
    };
    if (a && b && isFull(a) && isFull(b) && !a.equals(b)) found.push(place);
  }
  return found;
}

export function sector(block: Extent, index: number, count = 1): Extent {
  return { offset: block.offset + index * SECTOR, length: count * SECTOR };
}

/** The result of a run that ended with `status`. */
export function resultOf(ended: Ended, status: number): CloneRunResult {
  const last = ended.events.at(-1);
  assert.is(
    ended.status,
    status,
    `ended with ${ended.status ?? ended.signal}: ${JSON.stringify(last)} ${ended.stderr}`,
  );
  assert.is(last?.event, 'result', JSON.stringify(last));
  return last as unknown as CloneRunResult;
}

/** What was unreadable, of a run that ended with 8. */
export function unreadableOf(ended: Ended): Unreadable {
  const { unreadable } = resultOf(ended, 8);
  assert.ok(unreadable);
  return unreadable;
}

export function extentsOf({ volumes }: Unreadable, fate?: string): Extent[] {
  return volumes
    .flatMap(({ extents }) => extents)
    .filter((extent) => fate === undefined || extent.fate === fate)
    .map(({ offset, length }) => ({ offset, length }))
    .sort((a, b) => a.offset - b.offset);
}
