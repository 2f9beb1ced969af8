// Which history goes on, and which of its maps are believed: only on the marker's word or a token's.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BLOCK_SIZE } from '../../src/map/block-map.js';
import { decideTrust, tokenAt } from '../../src/plan/trust.js';
import { memoryTarget } from '../../src/source/memory.js';
import { sliceTarget } from '../../src/source/slice.js';
import type { Target } from '../../src/source/types.js';
import { newId } from '../../src/state/lineages.js';
import { armedExtents, writeMarker } from '../../src/state/marker.js';
import type { CloneRecord, VolumeRecord } from '../../src/state/record.js';
import { leaveWitness } from '../../src/state/witness.js';
import { makeImage } from '../support/ext4-image.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const SIZE = 12 * MiB;
/** Partitions with ext4, and one that nothing recognises. */
const ROOT = { offset: MiB, size: 4 * MiB };
const HOME = { offset: 5 * MiB, size: 4 * MiB };
const RAW = { offset: 9 * MiB, size: 2 * MiB };
const ARMED = armedExtents(SIZE, { tail: true, sectorSize: 512 });

const folder = scratchFolder();
const [first, second] = ['a', 'b'].map((name) => {
  const path = join(folder, name);
  makeImage(path, 4 * MiB, ['-t', 'ext4', '-b', '1024']);
  return readFileSync(path);
});

function disk(): { target: Target; bytes: Buffer } {
  const bytes = Buffer.alloc(SIZE);
  first?.copy(bytes, ROOT.offset);
  second?.copy(bytes, HOME.offset);
  bytes.fill(7, RAW.offset, RAW.offset + RAW.size);
  return { target: memoryTarget(bytes, 'target'), bytes };
}

type Place = typeof ROOT;

async function volumeAt(target: Target, { offset, size }: Place): Promise<VolumeRecord> {
  const token = await tokenAt(target, { offset, size });
  const volume = {
    name: `at ${offset}`,
    offset,
    size,
    blockSize: BLOCK_SIZE,
    map: `volume-${offset}.map`,
    witness: 'unneeded',
  } as const;
  return token === undefined ? volume : { ...volume, targetToken: token };
}

async function recordOf(
  target: Target,
  places: readonly Place[],
  more: Partial<CloneRecord> = {},
): Promise<CloneRecord> {
  const medium = { key: 'k', id: 'i', path: 'p' };
  const volumes: VolumeRecord[] = [];
  for (const place of places) volumes.push(await volumeAt(target, place));
  const scope = { offset: 0, length: SIZE };
  return { version: 1, lineage: newId(), scope, source: medium, target: medium, volumes, contentIds: [], ...more };
}

async function modes(
  target: Target,
  lineages: readonly CloneRecord[],
  options: { places?: Place[]; shown?: Place[]; compare?: boolean } = {},
) {
  const { places = [ROOT, HOME, RAW], compare = false } = options;
  const shown = (options.shown ?? [ROOT, HOME, RAW]).map(({ offset, size }) => ({ offset, length: size }));
  const trust = await decideTrust({ lineages, target, armed: ARMED, places, shown, alwaysCompare: compare });
  return { ...trust, modes: trust.volumes.map(({ mode }) => mode) };
}

test('a target without a history is written for the first time, unless both sides shall be read', async () => {
  const { target } = disk();
  assert.equal((await modes(target, [])).modes, ['first', 'first', 'first']);
  assert.equal((await modes(target, [], { compare: true })).modes, ['compare', 'compare', 'compare']);
});

test('volumes whose token is still right are believed, others are compared', async () => {
  const { target, bytes } = disk();
  const record = await recordOf(target, [ROOT, HOME, RAW]);
  const trust = await modes(target, [record]);
  assert.equal(trust.modes, ['hash', 'hash', 'compare']);
  assert.is(trust.lineage, record);
  assert.is(trust.unfinished, false);
  assert.equal(trust.markedBy, []);
  bytes.writeUInt32LE(bytes.readUInt32LE(HOME.offset + 1024 + 0x2c) + 1, HOME.offset + 1024 + 0x2c); // mounted since
  const touched = await modes(target, [record]);
  assert.is(touched.modes[0], 'hash');
  assert.is(touched.modes[1], 'compare');
  assert.equal((await modes(target, [record], { compare: true })).modes, ['compare', 'compare', 'compare']);
});

test('a token alone is not believed: a raw copy of the source has it too', async () => {
  const { target, bytes } = disk();
  const record = await recordOf(target, [ROOT, HOME]);
  const [root, home] = record.volumes;
  if (!root || !home) throw new Error('two volumes were asked for');
  const free = 3 * MiB;
  const witness = await leaveWitness(sliceTarget(target, { offset: ROOT.offset, length: ROOT.size }, 'root'), free);
  const { witness: _, ...full } = home;
  const witnessed = { ...record, volumes: [{ ...root, witness }, full] };
  const trust = await modes(target, [witnessed]);
  assert.equal(trust.modes, ['hash', 'compare', 'first']);
  assert.equal(trust.volumes[0]?.witness, witness);
  assert.match(trust.volumes[1]?.reason ?? '', /too full/);
  assert.not.ok(trust.volumes[1]?.touched, 'nobody is blamed for what the volume lacks');
  bytes[ROOT.offset + free + 40] = 0;
  const copied = await modes(target, [witnessed]);
  assert.equal(copied.modes, ['compare', 'compare', 'first']);
  assert.ok(copied.volumes[0]?.touched);
  assert.is(copied.volumes[0]?.witness, undefined);
});

test('a volume that the table of the target no longer shows is not believed, however right its token is', async () => {
  const { target } = disk();
  const record = await recordOf(target, [ROOT, HOME]);
  const places = [ROOT, HOME];
  const larger = { ...HOME, size: HOME.size + MiB };
  assert.equal((await modes(target, [record], { places, shown: [ROOT, larger] })).modes, ['hash', 'hash']);
  const shorter = { ...HOME, size: MiB };
  const over = { offset: HOME.offset + MiB, size: MiB };
  for (const shown of [[ROOT], [ROOT, over], [ROOT, shorter, over]]) {
    assert.equal((await modes(target, [record], { places, shown })).modes, ['hash', 'compare']);
  }
  // Armed by a run that this state folder knows nothing of: it may have written to any part of any volume.
  await writeMarker(target, newId(), ARMED);
  assert.equal((await modes(target, [record], { places, shown: [] })).modes, ['compare', 'compare']);
});

test('the marker of its run vouches for all maps of an unfinished history, and nothing else does', async () => {
  const { target } = disk();
  const runId = newId();
  const running = { runId, at: '2026-01-01' };
  const bare = (record: CloneRecord): CloneRecord => ({
    ...record,
    volumes: record.volumes.map(({ targetToken: _, ...volume }) => volume),
  });
  const record = bare(await recordOf(target, [ROOT, HOME, RAW], { running }));
  assert.equal((await modes(target, [record])).modes, ['compare', 'compare', 'compare'], 'armed by nobody');
  await writeMarker(target, newId(), ARMED);
  assert.equal((await modes(target, [record])).modes, ['compare', 'compare', 'compare'], 'armed by another run');
  await writeMarker(target, runId, ARMED);
  const trust = await modes(target, [record]);
  assert.equal(trust.modes, ['hash', 'hash', 'hash']);
  assert.is(trust.unfinished, true);
  assert.equal(trust.markedBy, [runId]);

  // The next run goes on: until all of its own marker is written, the former's, or some of both, is the evidence.
  const next = { ...record, running: { runId: newId(), at: '2026-01-02', follows: [runId] } };
  assert.equal((await modes(target, [next])).modes, ['hash', 'hash', 'hash']);
  await writeMarker(target, next.running.runId, ARMED.slice(1));
  const torn = await modes(target, [next]);
  assert.equal(torn.modes, ['hash', 'hash', 'hash']);
  assert.equal(torn.markedBy, [runId, next.running.runId]);
  assert.equal((await modes(target, [record])).modes, ['compare', 'compare', 'compare'], 'a state from before');
  await writeMarker(target, next.running.runId, ARMED);
  assert.equal((await modes(target, [next])).modes, ['hash', 'hash', 'hash']);
  assert.equal((await modes(target, [record])).modes, ['compare', 'compare', 'compare'], 'a state from before');
  await target.write(Buffer.alloc(512), 64 * 1024); // one sector of it is gone
  assert.equal((await modes(target, [record])).modes, ['compare', 'compare', 'compare'], 'a torn marker');
});

test('a marker of a run that committed vouches for nothing', async () => {
  const { target } = disk();
  const runId = newId();
  const record = await recordOf(target, [RAW], {
    committed: { runId, at: '2026-01-01', seconds: 1, done: 1, written: 1 },
  });
  await writeMarker(target, runId, ARMED);
  assert.equal((await modes(target, [record], { places: [RAW] })).modes, ['compare']);
});

test('of several histories the one with most right tokens goes on, at a draw the newest', async () => {
  const { target } = disk();
  const one = await recordOf(target, [ROOT]);
  const both = await recordOf(target, [ROOT, HOME]);
  const other = { ...both, lineage: newId() };
  const none: CloneRecord = {
    ...both,
    lineage: newId(),
    volumes: both.volumes.map((volume) => ({ ...volume, targetToken: '00'.repeat(16) })),
  };
  assert.is((await modes(target, [none, one, both, other])).lineage, both);
  assert.is((await modes(target, [none])).lineage, undefined);
  assert.equal((await modes(target, [none])).modes, ['compare', 'compare', 'compare']);
});

test('a volume of another place, size or block size is new, however right its token is', async () => {
  const { target } = disk();
  const record = await recordOf(target, [ROOT, HOME]);
  const places = [ROOT, { offset: HOME.offset, size: HOME.size - 512 }, { offset: HOME.offset + 512, size: 1024 }];
  assert.equal((await modes(target, [record], { places })).modes, ['hash', 'first', 'first']);
  const coarse = { ...record, volumes: record.volumes.map((volume) => ({ ...volume, blockSize: 2 * BLOCK_SIZE })) };
  assert.is((await modes(target, [coarse])).modes.includes('hash'), false);
});

test('a record that reaches beyond the target is not believed', async () => {
  const { target } = disk();
  const record = await recordOf(target, [ROOT]);
  const beyond = { ...record, volumes: record.volumes.map((volume) => ({ ...volume, offset: SIZE - MiB })) };
  assert.equal((await modes(target, [beyond])).modes, ['compare', 'compare', 'compare']);
});

test.run();
