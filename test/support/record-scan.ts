// The rule of rapid detection in a few lines, over all records of a volume then and now: what may stay unread.
// The engine's own way to the same answer is quicker; this one is there to be read.

import * as assert from 'uvu/assert';
import type { FileRecord, FilesystemInfo, FilesystemPlugin } from '../../src/filesystem/plugin.js';
import { type Extent, extentEnd, gaps, normalise } from '../../src/map/extent.js';
import type { Source } from '../../src/source/types.js';

/** All records of a volume at one moment. */
export interface Scan {
  /** When it began; ms. */
  readonly at: number;
  readonly records: ReadonlyMap<number, FileRecord>;
  /** Digests of complete groups, and the records they stand for. */
  readonly groups: ReadonlyMap<number, { readonly digest: string; readonly records: string }>;
}

/** Stamps of the last two seconds before a scan prove nothing: another write may get the same. */
const RACY_MS = 2000;

/** Reads all records, and checks what every plugin promises of them. `seen`: what was known of the volume before. */
export async function scanRecords(plugin: FilesystemPlugin, volume: Source, seen?: FilesystemInfo): Promise<Scan> {
  const at = Date.now();
  const info = seen ?? (await plugin.probe(volume));
  assert.ok(info && plugin.records, 'a file system with records');
  const records = new Map<number, FileRecord>();
  const groups = new Map<number, { digest: string; records: string }>();
  let lastGroup = -1;
  let lastRecord = -1;
  for await (const group of plugin.records(volume, info)) {
    assert.ok(group.id > lastGroup, `group ${group.id} comes after ${lastGroup}`);
    assert.is(group.digest.length, 16);
    lastGroup = group.id;
    const digest = group.digest.toString('hex'); // the buffers may be used again
    const content = await group.read();
    for (const { id, digest: own, extents, changedAt } of content.records) {
      assert.ok(id > lastRecord, `record ${id} comes after ${lastRecord}`);
      assert.ok(id >= group.id && id - group.id < 2 ** 32, `record ${id} is too far from its group ${group.id}`);
      assert.is(own.length, 16);
      assert.ok(!Number.isNaN(changedAt));
      for (const extent of extents)
        assert.ok(extent.length > 0 && extent.offset >= 0 && extentEnd(extent) <= volume.size);
      lastRecord = id;
      records.set(id, { id, digest: Buffer.from(own), extents: [...extents], changedAt });
    }
    if (content.complete) groups.set(group.id, { digest, records: textOf(content.records) });
  }
  return { at, records, groups };
}

function textOf(records: readonly FileRecord[]): string {
  return JSON.stringify(records.map(({ id, digest, extents }) => [id, digest.toString('hex'), extents]));
}

/** Bytes of the volume that a run after `now` would not read; sorted, disjoint. */
export function unreadExtents(before: Scan, now: Scan): Extent[] {
  for (const [id, group] of now.groups) {
    const former = before.groups.get(id);
    if (former?.digest === group.digest) assert.is(group.records, former.records, `group ${id} with an equal digest`);
  }
  const proved = (id: number): boolean => {
    const [then, record] = [before.records.get(id), now.records.get(id)];
    return (
      then !== undefined &&
      record !== undefined &&
      then.changedAt < before.at - RACY_MS &&
      then.digest.equals(record.digest)
    );
  };
  const extents = (records: Iterable<FileRecord>, wanted: boolean): Extent[] =>
    normalise([...records].filter(({ id }) => proved(id) === wanted).flatMap((record) => [...record.extents]));
  const spoiled = normalise([...extents(before.records.values(), false), ...extents(now.records.values(), false)]);
  return extents(now.records.values(), true).flatMap((extent) => [...gaps(spoiled, extent)]);
}

/** Throws if a byte that would stay unread is not what it was. Returns how many there are. */
export async function assertUnchanged(extents: readonly Extent[], then: Source, now: Source): Promise<number> {
  let total = 0;
  for (const { offset, length } of extents) {
    for (let at = offset; at < offset + length; at += CHUNK) {
      const size = Math.min(CHUNK, offset + length - at);
      const [a, b] = [Buffer.alloc(size), Buffer.alloc(size)];
      await then.read(a, at);
      await now.read(b, at);
      if (!a.equals(b)) {
        const first = a.findIndex((byte, index) => byte !== b[index]);
        throw new Error(`MISSED: byte ${at + first} changed, and would not have been read`);
      }
      total += size;
    }
  }
  return total;
}

const CHUNK = 1024 * 1024;
