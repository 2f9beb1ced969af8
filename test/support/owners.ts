// Asks a plugin who owns what, and holds the answer against the rule that every asked byte has exactly one owner.

import * as assert from 'uvu/assert';
import type { FilesystemPlugin, Owner } from '../../src/filesystem/plugin.js';
import { type Extent, extentEnd, intersect, normalise } from '../../src/map/extent.js';
import type { Source } from '../../src/source/types.js';
import type { Random } from './random.js';

/** Throws if the plugin does not know the volume, or its answer does not cover `asked` exactly once. */
export async function ownersOf(
  plugin: FilesystemPlugin,
  volume: Source,
  asked: readonly Extent[] = [{ offset: 0, length: volume.size }],
): Promise<readonly Owner[]> {
  const info = await plugin.probe(volume);
  assert.ok(info && plugin.ownersOf, `${volume.name} is not recognised`);
  const owners = await plugin.ownersOf(volume, info, asked);
  assertCovered(asked, owners);
  return owners;
}

export function assertCovered(asked: readonly Extent[], owners: readonly Owner[]): void {
  let end = -1;
  for (const { extent, kind, names } of owners) {
    assert.ok(extent.length > 0 && extent.offset >= end, `owner at ${extent.offset} overlaps the one before`);
    end = extentEnd(extent);
    assert.ok(kind !== 'free' || names.length === 0);
  }
  assert.equal(normalise(owners.map(({ extent }) => extent)), normalise(asked));
}

/** The owner of a byte; throws if nobody was asked about it. */
export function ownerAt(owners: readonly Owner[], offset: number): Owner {
  let low = 0;
  let high = owners.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const owner = owners[middle];
    if (owner && extentEnd(owner.extent) <= offset) low = middle + 1;
    else high = middle;
  }
  const found = owners[low];
  if (!found || found.extent.offset > offset) throw new Error(`nobody owns ${offset}`);
  return found;
}

export function bytesOf(owners: readonly Owner[], which: (owner: Owner) => boolean): number {
  return owners.reduce((sum, owner) => (which(owner) ? sum + owner.extent.length : sum), 0);
}

/**
 * Files of random content tell where they lie: the owner of a place that holds the same bytes must be that file.
 * `files`: the paths that the owner must have → content. Returns how many clusters were found.
 */
export function assertContent(
  owners: readonly Owner[],
  bytes: Buffer,
  {
    files,
    clusterSize,
  }: { files: Iterable<readonly [names: readonly string[], content: Buffer]>; clusterSize: number },
): number {
  const step = Math.min(clusterSize, 512);
  const places = new Map<string, number[]>();
  for (let offset = 0; offset + step <= bytes.length; offset += step) {
    const key = keyOf(bytes, offset);
    if (key !== '') places.set(key, [...(places.get(key) ?? []), offset]);
  }
  let clusters = 0;
  for (const [names, content] of files) {
    for (let at = 0; at + clusterSize <= content.length; at += clusterSize) {
      const found = places.get(keyOf(content, at));
      if (!found) continue;
      const told = found.map((offset) => ownerAt(owners, offset));
      const right = told.some((owner) => owner.kind === 'file' && sameNames(owner.names, names));
      assert.ok(right, `${names} at ${found}: ${JSON.stringify(told)}`);
      clusters += 1;
    }
  }
  return clusters;
}

/** The first bytes of a cluster are random enough; zeros are nobody's. */
const KEY = 48;

function keyOf(bytes: Buffer, offset: number): string {
  const head = bytes.toString('latin1', offset, offset + KEY);
  return head === head.charAt(0).repeat(KEY) ? '' : head;
}

function sameNames(some: readonly string[], others: readonly string[]): boolean {
  return [...some].sort().join('\n') === [...others].sort().join('\n');
}

/** Asks for scattered small extents: each answer must be the same part of the answer for the whole volume. */
export async function assertSameInParts(
  plugin: FilesystemPlugin,
  volume: Source,
  { whole, random, count }: { whole: readonly Owner[]; random: Random; count: number },
): Promise<void> {
  const places = Array.from({ length: count }, () => {
    // Half of them where something lies, for most of a volume is free.
    const near = random.chance(0.5) ? random.pick(whole).extent.offset : random.below(volume.size);
    const offset = Math.max(0, near - random.below(600));
    return { offset, length: Math.min(random.pick([1, 512, 4096, 70_000]), volume.size - offset) };
  });
  const asked = normalise(places);
  const expected = asked.flatMap((within) =>
    whole.flatMap((owner) => {
      const extent = intersect(owner.extent, within);
      return extent ? [{ ...owner, extent }] : [];
    }),
  );
  assert.equal(await ownersOf(plugin, volume, asked), expected);
}
