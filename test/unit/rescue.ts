// The parts of a rescue by themselves: reading around holes, passes, mapfiles, what is remembered between runs.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { parseDuration } from '../../src/base/units.js';
import { rescueText } from '../../src/cli/report/rescue-text.js';
import { parseRescue } from '../../src/cli/rescue-options.js';
import { copy } from '../../src/engine/copy.js';
import { Damage } from '../../src/engine/damage.js';
import { inlineExecutor } from '../../src/engine/executor.js';
import { createLedger } from '../../src/engine/ledger.js';
import type { RescuePass } from '../../src/engine/rescue-passes.js';
import type { Extent } from '../../src/map/extent.js';
import { memoryBlockMap } from '../../src/map/memory-block-map.js';
import type { PreparedClone } from '../../src/operation/clone-types.js';
import { formerContent } from '../../src/operation/former.js';
import { refuseMapfile } from '../../src/operation/mapfile-place.js';
import { unreadable } from '../../src/operation/rescue-report.js';
import { aroundHoles, readAround } from '../../src/source/around.js';
import { memoryTarget } from '../../src/source/memory.js';
import { sliceSource } from '../../src/source/slice.js';
import type { Source } from '../../src/source/types.js';
import { loadFormer, saveFormer } from '../../src/state/former.js';
import { type MapExtent, writeMapfile } from '../../src/state/mapfile.js';
import { armedExtents, writeMarker } from '../../src/state/marker.js';
import { isSameOrigin, keptSince, originDuring, remembered } from '../../src/state/origin.js';
import type { VolumeRecord } from '../../src/state/record.js';
import { BLOCK, volumeOf } from '../support/copy-volume.js';
import { faultySource } from '../support/faulty.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const SECTOR = 512;
const folder = scratchFolder();
const random = randomFrom(SEED);

function refused(work: () => unknown, code: string): void {
  try {
    work();
    assert.unreachable(`no ${code}`);
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    assert.is(error.code, code);
  }
}

test('reading around holes finds the very sectors, through slices too', async () => {
  const bytes = random.bytes(64 * SECTOR);
  const bad: Extent[] = [3, 4, 40, 63].map((sector) => ({ offset: sector * SECTOR, length: SECTOR }));
  const faults = bad.map((within) => ({ verbs: ['read'] as const, within, errno: 'EIO' as const }));
  const disk = aroundHoles(faultySource(memoryTarget(bytes, 'disk'), { faults }));
  const slice = sliceSource(disk, { offset: 2 * SECTOR, length: 62 * SECTOR }, 'slice');
  const into = Buffer.alloc(62 * SECTOR - 100, 7);
  const holes = await readAround(slice, into, 100);
  assert.equal(holes, [
    { offset: SECTOR, length: 2 * SECTOR },
    { offset: 38 * SECTOR, length: SECTOR },
    { offset: 61 * SECTOR, length: SECTOR },
  ]);
  const wanted = Buffer.from(bytes.subarray(2 * SECTOR + 100));
  for (const { offset, length } of holes) wanted.fill(0, Math.max(0, offset - 100), offset - 100 + length);
  assert.ok(into.equals(wanted));
});

/** Each sector in `bad` fails so often, and then comes. */
function flaky(bytes: Buffer, bad: Map<number, number>): Source {
  const memory = memoryTarget(bytes, 'source');
  return {
    ...memory,
    async read(into, offset) {
      const [failing] = [...bad].filter(([at, left]) => left > 0 && at < offset + into.length && at + SECTOR > offset);
      if (failing) {
        // Only a request for the sector alone uses up its failures.
        if (into.length === SECTOR) bad.set(failing[0], failing[1] - 1);
        await faultySource(memory, { faults: [{ verbs: ['read'], errno: 'EIO' }] }).read(into, offset);
      }
      await memory.read(into, offset);
    },
  };
}

async function rescue(
  source: Source,
  target: Buffer,
  retries: number,
): Promise<{ damage: Damage; passes: RescuePass[] }> {
  const map = memoryBlockMap({ size: target.length, blockSize: BLOCK });
  const damage = new Damage(map);
  const passes: RescuePass[] = [];
  const into = memoryTarget(target, 'target');
  await copy([{ ...volumeOf({ source, target: into, map }), rescue: { keep: 'known', damage } }], {
    sink: 'write',
    inline: inlineExecutor(),
    workers: undefined,
    ledger: createLedger({ target: into, arm: async () => {} }),
    signal: new AbortController().signal,
    rescue: { retries, seconds: Number.POSITIVE_INFINITY, onPass: (pass) => passes.push(pass) },
  });
  return { damage, passes };
}

test('a sector that comes at the third request is saved by the second retry', async () => {
  const bytes = random.bytes(20 * BLOCK);
  for (const [retries, isSaved] of [
    [1, false],
    [2, true],
    [5, true],
  ] as const) {
    const target = Buffer.alloc(bytes.length, 0xa5);
    const at = 7 * BLOCK + 3 * SECTOR;
    const { damage, passes } = await rescue(flaky(bytes, new Map([[at, 2]])), target, retries);
    assert.is(target.equals(bytes), isSaved, `${retries} retries`);
    assert.equal(damage.holes().length, isSaved ? 0 : 1);
    assert.equal(
      passes.map(({ kind, number }) => `${kind} ${number}`),
      ['split 1', 'again 1', 'again 2'].slice(0, isSaved ? 3 : 2),
    );
  }
});

test('a disk that is gone is no disk full of bad sectors', async () => {
  const bytes = random.bytes(4 * BLOCK);
  const cause = Object.assign(new Error('gone'), { code: 'ENXIO' });
  const { cannotRead } = await import('../../src/base/errors/device.js');
  const memory = memoryTarget(bytes, 'source');
  const source: Source = {
    ...memory,
    async read(into, offset) {
      throw cannotRead('source', offset, into.length, cause);
    },
  };
  try {
    await rescue(source, Buffer.alloc(bytes.length), 1);
    assert.unreachable();
  } catch (error) {
    assert.is((error as ToolError).code, 'device.cannot-read');
  }
});

test('a mapfile covers the whole disk, joined, as ddrescue reads it', async () => {
  const path = join(folder, 'a.mapfile');
  async function* extents(): AsyncGenerator<MapExtent> {
    yield { offset: 512, length: 512, status: '+' };
    yield { offset: 1024, length: 1024, status: '+' };
    yield { offset: 2048, length: 512, status: '-' };
    yield { offset: 1 << 20, length: 4096, status: '*' };
  }
  await writeMapfile(path, { size: 2 ** 33, extents: extents(), finished: false });
  run('ddrescuelog', ['-t', path]);
  assert.is(run('ddrescuelog', ['-l-', path]).trim(), '4');
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('0x'));
  assert.equal(
    lines.slice(1).map((line) => line.split(/\s+/).at(-1)),
    ['?', '+', '-', '?', '*', '?'],
  );
});

test('a mapfile never replaces anything else', () => {
  const path = join(folder, 'precious');
  writeFileSync(path, 'letters to my mother');
  refused(() => refuseMapfile(path, []), 'usage.bad-option');
  refused(() => refuseMapfile(folder, []), 'usage.bad-option');
  refused(() => refuseMapfile(join(folder, 'new'), [join(folder, 'new')]), 'usage.bad-option');
  refused(() => refuseMapfile(join(folder, 'nowhere', 'a'), []), 'device.no-folder');
  refuseMapfile(join(folder, 'new'), [path]);
  refuseMapfile(join(folder, 'a.mapfile'), [path]);
});

test('options of a rescue', () => {
  const none = { retries: undefined, time: undefined, mapfile: undefined };
  assert.is(parseRescue(false, none), undefined);
  assert.equal(parseRescue(true, { ...none, retries: '3', time: '1.5h' }), {
    retries: 3,
    seconds: 5400,
    mapfile: undefined,
  });
  for (const words of [{ retries: '2' }, { time: '2h' }, { mapfile: 'x' }]) {
    refused(() => parseRescue(false, { ...none, ...words }), 'usage.bad-option');
  }
  for (const words of [{ retries: '-1' }, { retries: 'x' }, { time: '' }, { time: '2 weeks' }]) {
    refused(() => parseRescue(true, { ...none, ...words }), 'usage.bad-option');
  }
  assert.equal(['90', '30m', '2h', '1d', '5 s'].map(parseDuration), [90, 1800, 7200, 86_400, 5]);
  assert.equal(['', 'm', '-3', '3x', '1e9'].map(parseDuration), Array(5).fill(undefined));
});

const A = { key: 'a', contentId: 'guid-a' };
const B = { key: 'b', contentId: 'guid-b' };
const VOLUME: VolumeRecord = { name: 'v', offset: 0, size: 1 << 20, blockSize: 65536, map: 'v.map' };

test('content is kept of the same source only', () => {
  assert.ok(isSameOrigin(A, { ...A, contentId: 'other' }));
  assert.ok(isSameOrigin(A, { ...A, key: 'on another adapter' }));
  assert.not.ok(isSameOrigin(A, B));
  assert.not.ok(isSameOrigin({ key: 'a', contentId: 'head 00' }, { key: 'b', contentId: 'head 00' }));
  const at = '2026-01-01T00:00:00.000Z';
  const record = { ...VOLUME, origin: { ...A, at } };
  assert.equal(originDuring(A, { record, former: record }), { ...A, at });
  assert.is(originDuring(B, { record, former: record }), undefined); // its map is one of two sources now
  assert.equal(originDuring(B, { record: undefined, former: record }), B);
  assert.equal(originDuring(A, { record: undefined, former: record }), { ...A, at });
  assert.equal(originDuring(A, { record: undefined, former: undefined }), A);
  assert.is(originDuring(A, { record: VOLUME, former: VOLUME }), undefined);
});

test('dates of what was kept are remembered, or forgotten, never guessed', () => {
  const at = 'last';
  const kept = Array.from({ length: 1500 }, (_, n) => ({ offset: n * 1024, length: 512, at: `run ${n}` }));
  const record = { ...VOLUME, origin: { ...A, at }, kept: remembered(kept) };
  assert.is(keptSince(record, { offset: 999 * 1024, length: 512 }), 'run 999');
  assert.is(keptSince(record, { offset: 1200 * 1024, length: 512 }), '');
  assert.is(keptSince(record, { offset: 1600 * 1024, length: 512 }), 'last');
});

test('what the marker covers is saved before, and never given out as content', async () => {
  const bytes = random.bytes(1 << 20);
  const target = memoryTarget(Buffer.from(bytes), 'target');
  const armed = armedExtents(target.size, { tail: true, sectorSize: 512 });
  const own = join(folder, 'lineage');
  mkdirSync(own);
  const look = (...unfinished: string[]) => formerContent({ folder: own, target, armed, unfinished });
  const places = [
    { offset: 0, length: 65536 },
    { offset: 65536, length: 131072 },
    { offset: (1 << 20) - 4096, length: 4096 },
  ];
  const demandFormer = async (former: Awaited<ReturnType<typeof look>>): Promise<void> => {
    for (const place of places) {
      const found = await former.read(place);
      assert.ok(found?.equals(bytes.subarray(place.offset, place.offset + place.length)));
    }
  };
  const first = await look();
  await demandFormer(first);
  await first.save('AAAAAAAAAAAAAAAA');
  await writeMarker(target, 'AAAAAAAAAAAAAAAA', armed);
  await demandFormer(first);
  await demandFormer(await look('AAAAAAAAAAAAAAAA'));
  await demandFormer(await look('BBBBBBBBBBBBBBBB', 'AAAAAAAAAAAAAAAA'));
  for (const strangers of [[], ['BBBBBBBBBBBBBBBB']]) {
    const lost = await look(...strangers);
    for (const place of places) assert.is(await lost.read(place), undefined);
  }
  for (const text of [
    '',
    'null',
    '{}',
    '{"runId":"A","pieces":[null]}',
    '{"runId":"A","pieces":[{"offset":-1.5,"base64":""}]}',
  ]) {
    writeFileSync(join(own, 'under-marker.json'), text);
    assert.is(loadFormer(own, ['A']), undefined, text);
  }
  saveFormer(own, 'A', [{ offset: 5, bytes: Buffer.from('x') }]);
  assert.equal(loadFormer(own, ['A']), [{ offset: 5, bytes: Buffer.from('x') }]);
});

test('damaged files are named, at their place on the source disk', async () => {
  const map = memoryBlockMap({ size: 1 << 20, blockSize: 65536 });
  const damage = new Damage(map);
  damage.noteHeld([{ offset: 4096, length: 512, fate: 'zeros', tried: true }]);
  const extent = { offset: 1 << 20, length: 1 << 20 };
  const plugin = {
    ownersOf: async (_: Source, __: unknown, [first]: readonly Extent[]) => [
      { extent: first, kind: 'file', names: ['/etc/pass\x1bwd'] },
    ],
  };
  const prepared = {
    source: { place: { offsetOnDisk: 512 }, medium: memoryTarget(Buffer.alloc(2 << 20)) },
    sourceReport: { volumes: [{ name: 'one', extent, plugin, filesystem: {} }] },
    layout: { volumes: [{ name: 'one', sourceExtent: extent }], pieces: [], tableHoles: [] },
    trust: {},
  } as unknown as PreparedClone;
  const placed = [
    {
      offset: 0,
      volume: {
        ...volumeOf({ source: Buffer.alloc(1 << 20), target: memoryTarget(Buffer.alloc(1 << 20)) }),
        rescue: { keep: 'known' as const, damage },
      },
    },
  ];
  const found = await unreadable({ prepared, placed, records: [VOLUME], pieceHoles: [] });
  assert.ok(found);
  const at = 512 + (1 << 20) + 4096;
  assert.equal(found.volumes[0]?.owners, [
    { extent: { offset: at, length: 512 }, kind: 'file', names: ['/etc/pass\x1bwd'] },
  ]);
  const text = rescueText({ ...found, mapfile: 'x.mapfile' }).join('\n');
  assert.match(text, new RegExp(`512 bytes at byte ${at} \\(LBA ${at / 512}\\): zeros`));
  assert.match(text, /damaged file: \/etc\/passwd \(512 bytes/);
});

test.run();
