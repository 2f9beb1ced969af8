// GRUB's two sectors, built by hand: followed when the BIOS boot partition moves, left alone when anything is unclear.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Extent } from '../../src/map/extent.js';
import { type GrubFate, type GrubMove, grubCoreOffset, moveGrub } from '../../src/partition/grub-embedding.js';
import type { Partition } from '../../src/partition/table.js';
import { randomFrom, SEED } from '../support/random.js';

const BIOS_BOOT = '21686148-6449-6E6F-744E-656564454649';
const LINUX = '0FC63DAF-8483-4772-8E79-3D69D8477DE4';

/** Sector 0 as grub-bios-setup leaves it, as far as it matters here. */
function bootSector(coreLba: number): Buffer {
  const mbr = Buffer.alloc(512, 0x90);
  mbr.writeUInt16LE(0x8000, 0x5a);
  mbr.writeBigUInt64LE(BigInt(coreLba), 0x5c);
  mbr.write('GRUB \0Geom\0Hard Disk\0', 0x180, 'latin1');
  return mbr;
}

/** The first sector of a core image with its block lists: start and sectors. */
function coreSector(lists: readonly (readonly [number, number])[]): Buffer {
  const core = Buffer.alloc(512, 0);
  core.fill(0x52, 0, 0x140);
  let segment = 0x820;
  for (const [index, [start, count]] of lists.entries()) {
    const at = 0x1f4 - index * 12;
    core.writeBigUInt64LE(BigInt(start), at);
    core.writeUInt16LE(count, at + 8);
    core.writeUInt16LE(segment, at + 10);
    segment += count * 32;
  }
  return core;
}

function inBytes([start, count]: readonly [number, number]): Extent {
  return { offset: start * 512, length: count * 512 };
}

function partition(number: number, type: string, place: readonly [number, number]): Partition {
  const facts = { typeName: '', name: '', id: '', bootable: false, attributes: '', role: 'gpt' } as const;
  return { number, type, extent: inBytes(place), ...facts };
}

interface Scene {
  readonly mbr?: Buffer;
  readonly core?: Buffer;
  readonly from?: readonly [number, number];
  readonly to?: readonly [number, number] | undefined;
  readonly type?: string;
  readonly source?: Partial<GrubMove['source']>;
  readonly target?: Partial<GrubMove['target']>;
}

/** A GPT disk whose BIOS boot partition, number 1, goes from LBA 2048 to LBA 9000; core.img has 100 sectors. */
function fateOf(scene: Scene): GrubFate {
  const { from = [2048, 2048], to = [9000, 2048], type = BIOS_BOOT, source, target } = scene;
  const home = partition(1, type, from);
  const root = partition(2, LINUX, [100_000, 5000]);
  const there = { ...home, extent: inBytes(to), sourceNumber: 1 };
  return moveGrub({
    mbr: scene.mbr ?? bootSector(2048),
    core: scene.core ?? coreSector([[2049, 99]]),
    source: { kind: 'gpt', sectorSize: 512, partitions: [home, root], ...source },
    target: { kind: 'gpt', sectorSize: 512, partitions: [there, { ...root, sourceNumber: 2 }], ...target },
  });
}

function reasonOf(scene: Scene): string {
  const fate = fateOf(scene);
  assert.is(fate.kind, 'left', JSON.stringify(fate));
  return fate.kind === 'left' ? fate.reason : '';
}

test('both sectors follow the partition, and nothing else in them changes', () => {
  const [mbr, core] = [bootSector(2048), coreSector([[2049, 99]])];
  const kept = [Buffer.from(mbr), Buffer.from(core)];
  const fate = fateOf({ mbr, core });
  assert.equal(fate, {
    kind: 'moved',
    mbr: bootSector(9000),
    core: coreSector([[9001, 99]]),
    coreOffset: 9000 * 512,
  });
  assert.equal([mbr, core], kept, 'the given sectors are changed');
});

test('several lists, an image that does not start its partition, and places beyond 2 TiB', () => {
  const core = coreSector([
    [2060, 20],
    [2100, 30],
    [2051, 1],
  ]);
  const to = [2 ** 33, 2048] as const;
  const by = 2 ** 33 - 2048;
  const fate = fateOf({ mbr: bootSector(2050), core, to });
  assert.is(fate.kind, 'moved');
  if (fate.kind !== 'moved') return;
  assert.ok(fate.mbr.equals(bootSector(2050 + by)));
  const moved: [number, number][] = [
    [2060 + by, 20],
    [2100 + by, 30],
    [2051 + by, 1],
  ];
  assert.ok(fate.core.equals(coreSector(moved)));
  assert.is(fate.coreOffset, (2050 + by) * 512);
});

test('a sector 0 of 4096 bytes is no obstacle where it is only asked', () => {
  assert.is(grubCoreOffset(bootSector(2048)), 2048 * 512);
  assert.is(grubCoreOffset(Buffer.concat([bootSector(7), Buffer.alloc(3584)])), 7 * 512);
});

test('no GRUB 2 is no GRUB 2', () => {
  const legacy = bootSector(2048);
  legacy.writeUInt16LE(0x2000, 0x5a);
  const other = bootSector(2048);
  other.write('LILO', 0x180, 'latin1');
  const outside = bootSector(2048);
  outside.write('none', 0x180, 'latin1');
  outside.write('GRUB', 0x1c0, 'latin1');
  const beyond = bootSector(0);
  beyond.writeBigUInt64LE(2n ** 60n, 0x5c);
  for (const mbr of [legacy, other, outside, beyond, bootSector(0), Buffer.alloc(512)]) {
    assert.is(grubCoreOffset(mbr), undefined);
    assert.equal(fateOf({ mbr }), { kind: 'none' });
  }
});

test('what stays where it is needs nothing', () => {
  assert.equal(fateOf({ to: [2048, 2048] }), { kind: 'stays' });
  assert.equal(fateOf({ to: [2048, 4000] }), { kind: 'stays' });
  const gap = { mbr: bootSector(1), core: coreSector([[2, 60]]) };
  const dos = { kind: 'mbr' } as const;
  assert.equal(fateOf({ ...gap, source: dos, target: dos, type: '0x83' }), { kind: 'stays' });
  // An image in a file system that stays is found again too.
  const inRoot = { mbr: bootSector(100_010), core: coreSector([[100_011, 60]]) };
  assert.equal(fateOf(inRoot), { kind: 'stays' });
});

test('what is in the way is said', () => {
  const gap = { mbr: bootSector(1), core: coreSector([[2, 60]]), type: '0x83' };
  const dos = { kind: 'mbr' } as const;
  assert.match(reasonOf({ ...gap, source: dos, target: dos, to: [61, 900] }), /partition 1 lies on its core image/);
  assert.match(reasonOf({ ...gap, source: dos }), /the target has a GPT/);
  assert.match(reasonOf({ mbr: bootSector(8000), core: coreSector([[8001, 60]]) }), /between partitions/);
  assert.match(reasonOf({ source: { sectorSize: 4096 } }), /not of 4096/);
  assert.match(reasonOf({ target: { sectorSize: 4096 } }), /not of 4096/);
  assert.match(reasonOf({ type: LINUX }), /partition 1, which is no BIOS boot partition/);
  assert.match(reasonOf({ to: [9000, 99] }), /does not fit into partition 1/);
  assert.match(reasonOf({ target: { partitions: [] } }), /no BIOS boot partition/);
  assert.match(
    reasonOf({
      core: coreSector([
        [2049, 50],
        [5000, 49],
      ]),
    }),
    /several places/,
  );
});

test('a core image that is not understood is left', () => {
  const none = /holds none/;
  assert.match(reasonOf({ core: Buffer.alloc(512) }), none);
  assert.match(reasonOf({ core: Buffer.alloc(100) }), none);
  const wrongSegment = coreSector([[2049, 99]]);
  wrongSegment.writeUInt16LE(0x840, 0x1fe);
  assert.match(reasonOf({ core: wrongSegment }), none);
  const hole = coreSector([
    [2049, 50],
    [2099, 49],
  ]);
  hole.writeUInt16LE(hole.readUInt16LE(0x1f2) + 32, 0x1f2);
  assert.match(reasonOf({ core: hole }), none);
  const endless = coreSector(Array.from({ length: 16 }, (_, i) => [2049 + i, 1] as const));
  assert.match(reasonOf({ core: endless }), none);
  const beyond = coreSector([[2049, 99]]);
  beyond.writeBigUInt64LE(2n ** 62n, 0x1f4);
  assert.match(reasonOf({ core: beyond }), none);
});

test('random sectors never make it fail, and are never changed', () => {
  const random = randomFrom(SEED);
  for (let round = 0; round < 3000; round += 1) {
    const mbr = random.chance(0.5) ? bootSector(2048 + random.below(10)) : random.bytes(512);
    const core = random.chance(0.5) ? coreSector([[2049, 99]]) : random.bytes(512);
    if (random.chance(0.5)) random.bytes(8).copy(core, 0x1f4 - 12 * random.below(3) + random.below(5));
    const fate = fateOf({ mbr, core });
    assert.ok(['none', 'moved', 'left'].includes(fate.kind));
  }
});

test.run();
