// Single functions that a whole run calls millions of times: digest, extents, one stretch, an allocation map.
// Usage: scripts/bench micro [--small] [--output=FILE]

import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf } from '../../src/base/digest.js';
import { GiB, KiB, MiB } from '../../src/base/units.js';
import { createTally } from '../../src/engine/tally.js';
import { createBuffers, processStretch } from '../../src/engine/window.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import { type Extent, gaps, intersect, normalise, totalLength } from '../../src/map/extent.js';
import { allocateAligned } from '../../src/native/aligned.js';
import { openDiskSource } from '../../src/source/disk.js';
import { memoryTarget } from '../../src/source/memory.js';
import { run } from '../macro/contestant.js';
import { noise } from '../macro/disks.js';
import { median } from '../macro/report.js';

export interface MicroResult {
  readonly name: string;
  /** What `perSecond` counts. */
  readonly unit: string;
  readonly perSecond: number;
}

interface Case {
  readonly name: string;
  readonly unit: string;
  /** Does the work once and tells how many units that were. */
  readonly work: () => number | Promise<number>;
}

const SAMPLES = 5;

async function timeOf({ name, unit, work }: Case, sampleMs: number): Promise<MicroResult> {
  const rates: number[] = [];
  for (let sample = 0; sample <= SAMPLES; sample += 1) {
    const start = performance.now();
    let units = 0;
    while (performance.now() - start < sampleMs) units += await work();
    if (sample > 0) rates.push((1000 * units) / (performance.now() - start)); // the first one warms up
  }
  return { name, unit, perSecond: median(rates) };
}

function digests(blockSize: number): Case {
  const memory = allocateAligned(2 * MiB);
  noise('digest', memory.length).copy(memory);
  return {
    name: `digest of blocks of ${blockSize / KiB} KiB`,
    unit: 'MiB',
    work() {
      for (let at = 0; at < memory.length; at += blockSize) digestOf(memory.subarray(at, at + blockSize));
      return memory.length / MiB;
    },
  };
}

/** Every other block of a volume in pieces: what a fragmented file system looks like. */
function fragments(count: number): Extent[] {
  return Array.from({ length: count }, (_, index) => ({ offset: index * 8 * KiB, length: 4 * KiB }));
}

function extentCases(count: number): Case[] {
  const extents = fragments(count);
  const within = { offset: MiB, length: count * 4 * KiB };
  return [
    { name: 'normalise extents', unit: 'extents', work: () => (normalise(extents).length > 0 ? count : 0) },
    { name: 'gaps between extents', unit: 'extents', work: () => (totalLength(gaps(extents, within)) > 0 ? count : 0) },
    {
      name: 'intersect extents',
      unit: 'extents',
      work: () => extents.filter((extent) => intersect(extent, within) !== undefined).length && count,
    },
  ];
}

/** One page of the block map between ends in memory: what the engine itself costs. */
function stretches(name: string, used: (length: number) => Extent[]): Case {
  const length = 16 * MiB;
  const source = memoryTarget(noise('stretch', length));
  const target = memoryTarget(Buffer.alloc(length));
  const context = { source, target, buffers: createBuffers(), tally: createTally(), permit: async () => {} };
  const rest = { wiped: [], held: [], known: undefined, unknown: 'write', sink: 'write', discardFree: true } as const;
  const stretch = { extent: { offset: 0, length }, blockSize: 64 * KiB, used: used(length), ...rest };
  return {
    name: `stretch of 16 MiB between ends in memory, ${name}`,
    unit: 'MiB',
    async work() {
      await processStretch(stretch, context);
      return length / MiB;
    },
  };
}

function allocationMap(folder: string, size: number): { case: Case; close: () => Promise<void> } {
  const path = join(folder, 'ext4');
  closeSync(openSync(path, 'wx'));
  truncateSync(path, size);
  run(['mkfs.ext4', '-q', '-F', '-T', 'largefile4', '-E', 'nodiscard,lazy_itable_init=1', path]);
  const volume = openDiskSource(path);
  const work = async (): Promise<number> => {
    const info = await ext4.probe(volume);
    if (!info) throw new Error('mkfs.ext4 made no ext4');
    const map = await ext4.openAllocationMap(volume, info);
    let used = 0;
    for await (const extent of map.usedExtents({ offset: 0, length: size })) used += extent.length;
    return used > 0 ? size / GiB : 0;
  };
  return { case: { name: 'ext4 allocation map', unit: 'GiB of volume', work }, close: () => volume.close() };
}

async function main(words: readonly string[]): Promise<void> {
  const small = words.includes('--small');
  const output = words.find((word) => word.startsWith('--output='))?.slice('--output='.length);
  const folder = mkdtempSync(join(tmpdir(), 'ectype-micro-'));
  const map = allocationMap(folder, small ? GiB : 256 * GiB);
  try {
    const cases = [
      digests(4 * KiB),
      digests(64 * KiB),
      ...extentCases(small ? 1000 : 100_000),
      stretches('all used', (length) => [{ offset: 0, length }]),
      stretches('every other 4 KiB used', (length) => fragments(length / (8 * KiB))),
      map.case,
    ];
    const results: MicroResult[] = [];
    for (const each of cases) {
      const result = await timeOf(each, small ? 20 : 400);
      results.push(result);
      console.log(`${result.name.padEnd(68)} ${Math.round(result.perSecond).toLocaleString('en')} ${result.unit}/s`);
    }
    if (output !== undefined) writeFileSync(output, `${JSON.stringify({ version: 1, results }, undefined, 2)}\n`);
  } finally {
    await map.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

await main(process.argv.slice(2));
