// What of each device is used, by the trees as btrfs-progs prints them, sector by sector: slow, and no code of ours.

import { run } from './run.js';

const SECTOR = 4096;
const UNIT = 65536;
const MIB = 1 << 20;
const MIRRORS = [64 * MIB, 256 * 1024 * MIB];

export interface PrintedChunk {
  readonly logical: number;
  readonly length: number;
  readonly profile: string;
  readonly subStripes: number;
  readonly stripes: readonly { readonly device: number; readonly offset: number }[];
}

interface Printed {
  readonly start: number;
  readonly length: number;
}

export interface Oracle {
  /** One byte a sector: used or not. */
  sectorsOf(device: number, size: number): Uint8Array;
  /** Sum of all extents, and of what the block groups say. */
  readonly extentBytes: number;
  readonly blockGroupBytes: number;
}

/** Reads the trees of the file system on these images (all of its devices). */
export function askProgs(images: readonly string[], nodeSize: number): Oracle {
  const tree = (name: string): string => run('btrfs', ['inspect-internal', 'dump-tree', '-t', name, ...images]);
  const extentTree = tree('extent');
  const extents = [...extentTree.matchAll(/item \d+ key \((\d+) (EXTENT_ITEM|METADATA_ITEM) (\d+)\)/g)].map(
    (match) => ({
      start: Number(match[1]),
      length: match[2] === 'METADATA_ITEM' ? nodeSize : Number(match[3]),
    }),
  );
  const groups = [...extentTree.matchAll(/block group used (\d+)/g)];
  const chunks = chunksIn(tree('chunk'));
  return {
    sectorsOf: (device, size) => sectorsOf({ device, size, chunks, extents }),
    extentBytes: extents.reduce((sum, { length }) => sum + length, 0),
    blockGroupBytes: groups.reduce((sum, match) => sum + Number(match[1]), 0),
  };
}

/** The chunks in the output of `dump-tree -t chunk`. */
export function chunksIn(text: string): PrintedChunk[] {
  return text
    .split('CHUNK_ITEM ')
    .slice(1)
    .map((item) => {
      const number = (pattern: RegExp): number => Number(pattern.exec(item)?.[1]);
      return {
        logical: number(/^(\d+)\)/),
        length: number(/\slength (\d+)/),
        profile: /type \S*?(RAID\w+|DUP|single)/.exec(item)?.[1] ?? 'single',
        subStripes: number(/sub_stripes (\d+)/),
        stripes: [...item.matchAll(/stripe \d+ devid (\d+) offset (\d+)/g)].map((match) => ({
          device: Number(match[1]),
          offset: Number(match[2]),
        })),
      };
    });
}

interface Question {
  readonly device: number;
  readonly size: number;
  readonly chunks: readonly PrintedChunk[];
  readonly extents: readonly Printed[];
}

function sectorsOf({ device, size, chunks, extents }: Question): Uint8Array {
  const sectors = new Uint8Array(size / SECTOR);
  sectors.fill(1, 0, MIB / SECTOR);
  for (const mirror of MIRRORS) if (mirror + SECTOR <= size) sectors[mirror / SECTOR] = 1;
  for (const { start, length } of extents) {
    const chunk = chunks.find(({ logical, length: all }) => start >= logical && start < logical + all);
    if (!chunk) throw new Error(`no chunk holds ${start}`);
    for (let address = start; address < start + length; address += SECTOR) {
      for (const { offset, sectors: count } of placesOf(chunk, address - chunk.logical, device)) {
        sectors.fill(1, offset / SECTOR, offset / SECTOR + count);
      }
    }
  }
  return sectors;
}

/** Where one sector of a chunk lies on a device. */
export function placesOf(chunk: PrintedChunk, at: number, device: number): { offset: number; sectors: number }[] {
  const { profile, stripes, subStripes } = chunk;
  const unit = Math.floor(at / UNIT);
  const one = (offset: number): { offset: number; sectors: number } => ({ offset, sectors: 1 });
  const mine = (index: number): boolean => stripes[index]?.device === device;
  const offsets: { offset: number; sectors: number }[] = [];
  for (const [index, stripe] of stripes.entries()) {
    if (!mine(index)) continue;
    if (profile === 'RAID5' || profile === 'RAID6') {
      const data = stripes.length - (profile === 'RAID5' ? 1 : 2);
      offsets.push({ offset: stripe.offset + Math.floor(unit / data) * UNIT, sectors: UNIT / SECTOR });
    } else if (profile === 'RAID0' || profile === 'RAID10') {
      const wide = profile === 'RAID0' ? 1 : subStripes;
      const groups = stripes.length / wide;
      if (Math.floor(index / wide) !== unit % groups) continue;
      offsets.push(one(stripe.offset + Math.floor(unit / groups) * UNIT + (at % UNIT)));
    } else {
      offsets.push(one(stripe.offset + at));
    }
  }
  return offsets;
}
