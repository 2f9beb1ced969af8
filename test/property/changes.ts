// Rapid detection against a file system of a few lines, whose content has version numbers: no unread block ever changed.

import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { digestOf } from '../../src/base/digest.js';
import { KiB } from '../../src/base/units.js';
import { findUnchanged } from '../../src/detect/changes.js';
import type { FileRecord, FilesystemInfo, FilesystemPlugin, RecordGroup } from '../../src/filesystem/plugin.js';
import { BLOCK_SIZE, pageCount, pageExtent } from '../../src/map/block-map.js';
import { type Extent, extentEnd, intersect, normalise } from '../../src/map/extent.js';
import type { Proof } from '../../src/map/proof.js';
import { memoryTarget } from '../../src/source/memory.js';
import { writeCatalogue } from '../../src/state/catalogue.js';
import { writeChunks } from '../../src/state/catalogue-chunks.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const UNIT = 4 * KiB;
const UNITS = 9000; // more than two pages of the block map, and a part of a block at the end
const GRID = { size: UNITS * UNIT, blockSize: BLOCK_SIZE };
const PER_GROUP = 3;
const IDS = 201;
const SECOND = 1000;
/** What the target holds where it got something else than the source's bytes. */
const ALTERED = -1;

interface File {
  version: number;
  changedAt: number;
  /** In units. */
  extents: { first: number; count: number }[];
  readonly kind: 'file' | 'silent' | 'deep';
}

/** What lies on the volume, and what it says of itself. */
class World {
  now = 1_000_000 * SECOND;
  readonly content = new Int32Array(UNITS);
  readonly files = new Map<number, File>();
  readonly #random: Random;
  #version = 1;
  #scanned: ReadonlySet<number> = new Set();

  constructor(random: Random) {
    this.#random = random;
    for (let count = 0; count < 120; count += 1) this.create();
  }

  #nextVersion(): number {
    this.#version += 1;
    return this.#version;
  }

  /** Files share no units but as copies of each other; everything else is the file system's own. */
  isFree(unit: number): boolean {
    return unit >= 0 && unit < UNITS && ![...this.files.values()].some(({ extents }) => extents.some(has(unit)));
  }

  create(): void {
    const random = this.#random;
    const id = random.below(IDS);
    if (this.files.has(id)) return;
    const extents: File['extents'] = [];
    for (let left = random.pick([1, 1, 2, 4]); left > 0; left -= 1) {
      const first = random.below(UNITS);
      let count = 0;
      const wanted = random.pick([1, 3, 16, 40, 300]);
      const taken = (unit: number): boolean => extents.some(has(unit)) || !this.isFree(unit);
      while (count < wanted && !taken(first + count)) count += 1;
      if (count > 0) extents.push({ first, count });
    }
    const kind = random.pick(['file', 'file', 'file', 'file', 'silent', 'deep'] as const);
    this.files.set(id, { version: 0, changedAt: 0, extents, kind });
    this.write(id);
  }

  /** A write changes content, version and stamp. */
  write(id: number): void {
    const file = this.files.get(id);
    if (!file) return;
    file.version = this.#nextVersion();
    file.changedAt = this.now;
    if (!this.#isWrittenElsewhere(id, file)) this.#fill(file);
  }

  /** One that the stamps cannot show: within the same tick, or past the file system. */
  writeSilently(id: number): void {
    const file = this.files.get(id);
    if (file && !this.#isWrittenElsewhere(id, file)) this.#fill(file);
  }

  #fill({ extents }: File): void {
    this.#version += 1;
    for (const { first, count } of extents) {
      for (let unit = first; unit < first + count; unit += 1)
        if (this.#random.chance(0.5)) this.content[unit] = this.#version;
    }
  }

  /** One operation. `scannedAt`: what is stamped shortly before it may still change without a trace. */
  step(scannedAt: number): void {
    const random = this.#random;
    const id = random.chance(0.3) ? IDS - 1 - random.below(PER_GROUP) : random.below(IDS);
    const file = this.files.get(id);
    const act = random.below(10);
    const isRacy = file !== undefined && file.changedAt >= scannedAt - 2 * SECOND;
    if (act < 4) this.write(id);
    else if (act < 6) this.create();
    else if (act === 6) this.files.delete(id);
    else if (act === 7) this.#changeElsewhere(random.below(UNITS));
    else if (act === 8 && (file?.kind === 'silent' || isRacy)) this.writeSilently(id);
    else if (random.chance(0.5)) this.#reflink(id, file);
    else this.#writeAndRemove(id);
  }

  /** What shares its extents has other content now, and nothing that is there says so. */
  #writeAndRemove(id: number): void {
    this.write(id);
    this.files.delete(id);
  }

  /** Of a copy that comes and goes between two scans no catalogue could tell: file systems write such a one elsewhere. */
  #isWrittenElsewhere(id: number, { extents }: File): boolean {
    if (this.#scanned.has(id)) return false;
    return [...this.files.values()].some((other) =>
      other.extents.some((each) => extents.includes(each) && other !== this.files.get(id)),
    );
  }

  /** A scan sees the files that are there. */
  scan(): void {
    this.#scanned = new Set(this.files.keys());
  }

  /** Everything outside files changes as it likes. */
  #changeElsewhere(unit: number): void {
    if (this.isFree(unit)) this.content[unit] = this.#nextVersion();
  }

  /** A copy that shares the extents of another file. */
  #reflink(id: number, file: File | undefined): void {
    const other = this.#random.chance(0.2) ? IDS - 1 - this.#random.below(PER_GROUP) : this.#random.below(IDS);
    if (!file || this.files.has(other) || other === id) return;
    const kind = this.#random.pick(['file', file.kind] as const);
    const copy = { ...file, kind, version: this.#nextVersion(), changedAt: this.now, extents: [...file.extents] };
    this.files.set(other, copy);
  }

  plugin(): FilesystemPlugin {
    const groups = (): RecordGroup[] => this.#groups();
    const records = async function* (): AsyncGenerator<RecordGroup> {
      yield* groups();
    };
    const nothing = async (): Promise<never> => {
      throw new Error('nobody asks a toy');
    };
    return { name: 'toy', probe: nothing, readState: nothing, openAllocationMap: nothing, token: nothing, records };
  }

  #groups(): RecordGroup[] {
    const groups: RecordGroup[] = [];
    for (let id = 0; id < IDS; id += PER_GROUP) {
      const inside = [...this.files].filter(([each]) => each >= id && each < id + PER_GROUP).sort(([a], [b]) => a - b);
      if (inside.length === 0) continue; // a table that shrinks
      const shallow = inside.map(([each, { version, kind, extents }]) => [
        each,
        kind === 'deep' ? 0 : [version, extents],
      ]);
      groups.push({
        id,
        digest: digestOf(Buffer.from(JSON.stringify(shallow))),
        read: async () => ({
          records: inside.map(recordOf),
          complete: inside.every(([, { kind }]) => kind !== 'deep'),
        }),
      });
    }
    return groups;
  }
}

function has(unit: number): (extent: { first: number; count: number }) => boolean {
  return ({ first, count }) => unit >= first && unit < first + count;
}

function recordOf([id, { version, changedAt, extents, kind }]: [number, File]): FileRecord {
  return {
    id,
    digest: digestOf(Buffer.from(JSON.stringify([id, version, extents]))),
    extents: extents.map(({ first, count }) => ({ offset: first * UNIT, length: count * UNIT })),
    changedAt: kind === 'silent' ? Number.POSITIVE_INFINITY : changedAt,
  };
}

const info: FilesystemInfo = {
  kind: 'toy',
  label: '',
  uuid: '',
  size: GRID.size,
  blockSize: UNIT,
  used: undefined,
  lastWritten: undefined,
};

function unread(proof: Proof, used: readonly Extent[]): number[] {
  const units: number[] = [];
  for (let page = 0; page < pageCount(GRID); page += 1) {
    const place = pageExtent(GRID, page);
    const inside = used.flatMap((extent) => intersect(extent, place) ?? []);
    for (const { first, end } of proof.provedBlocks(page, inside)) {
      const from = (place.offset + first * BLOCK_SIZE) / UNIT;
      const to = Math.min(UNITS, (place.offset + end * BLOCK_SIZE) / UNIT);
      for (let unit = from; unit < to; unit += 1) if (inside.some((extent) => covers(extent, unit))) units.push(unit);
    }
  }
  return units;
}

function covers(extent: Extent, unit: number): boolean {
  return unit * UNIT >= extent.offset && (unit + 1) * UNIT <= extentEnd(extent);
}

test('no unread block ever changed, and most of what did not change stays unread', async () => {
  const random = randomFrom(SEED);
  const volume = memoryTarget(Buffer.alloc(1), 'toy');
  const folder = scratchFolder();
  let spared = 0;
  let alike = 0;
  for (let life = 0; life < rounds({ short: 12, long: 200 }); life += 1) {
    const world = new World(random);
    const base = join(folder, 'base');
    let copied = world.content.slice();
    let scannedAt = 0;
    for (let run = 0; run < 8; run += 1) {
      world.now += random.pick([100, 5000]);
      const startedAt = world.now;
      const altered = random.chance(0.3) ? [{ offset: random.below(UNITS) * UNIT, length: UNIT }] : [];
      const own = join(folder, 'own');
      const writer = writeCatalogue(
        writeChunks(own),
        { lineage: '0', startedAt, filesystem: '', size: GRID.size },
        altered,
      );
      const proof = await findUnchanged({
        volume,
        plugin: world.plugin(),
        info,
        grid: GRID,
        base: existsSync(base) ? base : undefined,
        writer,
        startedAt,
        altered,
      });
      writer.finish();
      // All of the file system's own structures, and files: free units are not read anyway.
      const used = normalise(
        Array.from({ length: UNITS }, (_, unit) => unit)
          .filter((unit) => !world.isFree(unit) || unit % 7 < 3)
          .map((unit) => ({ offset: unit * UNIT, length: UNIT })),
      );
      const units = unread(proof, used);
      for (const unit of units) {
        assert.is(world.content[unit], copied[unit], `MISSED: unit ${unit} in run ${run} of life ${life}`);
        assert.not.ok(
          altered.some((extent) => covers(extent, unit)),
          'what was altered is read',
        );
      }
      const isKnown = existsSync(base);
      if (!isKnown) assert.is(units.length, 0, 'nothing is proved without a catalogue');
      spared += units.length;
      if (isKnown) alike += copied.reduce((sum, version, unit) => sum + (version === world.content[unit] ? 1 : 0), 0);
      copied = world.content.slice();
      for (const { offset } of altered) copied[offset / UNIT] = ALTERED;
      world.scan();
      scannedAt = startedAt;
      rmSync(base, { force: true });
      if (random.chance(0.9)) renameSync(own, base);
      else rmSync(own);
      world.now += random.pick([1, 50, 5000]);
      for (let step = random.pick([0, 1, 5, 30]); step > 0; step -= 1) world.step(scannedAt);
    }
    rmSync(base, { force: true });
  }
  console.log(`${spared} units stayed unread of ${alike} that did not change`);
  assert.ok(spared > 0);
});

test.run();
