// Random requests for the layout planner: GPT and MBR with logical partitions, small and large sectors, odd starts.
// Invariant: what is made is a table as it can be read from a disk, and sizes that may be asked for.

import fc from 'fast-check';
import { type Bytes, KiB, MiB } from '../../src/base/units.js';
import { type Extent, extentEnd } from '../../src/map/extent.js';
import { decideLayout } from '../../src/plan/layout/decide.js';
import type { LayoutPartition, LayoutRequest, WantedSize } from '../../src/plan/layout/types.js';

export const KINDS = ['gpt', 'mbr', 'convert'] as const;

/** Mostly whole MiB, now and then any number of sectors; from one sector to some TiB. */
const amount = fc
  .tuple(fc.integer({ min: 0, max: 32 }), fc.nat(999), fc.nat(3))
  .map(([scale, share, aligned]) => ({ bytes: 2 ** (9 + scale) * (1 + share / 1000), aligned: aligned > 0 }));

type Amount = { readonly bytes: Bytes; readonly aligned: boolean };

const gap = fc.oneof(
  { weight: 5, arbitrary: fc.constant<Amount>({ bytes: 0, aligned: true }) },
  { weight: 1, arbitrary: fc.constant<Amount>({ bytes: 63 * 512, aligned: false }) },
  { weight: 2, arbitrary: amount },
);

const spec = fc.record({
  gap,
  length: amount,
  flexible: fc.constantFrom('fixed', 'both', 'both', 'both', 'grows', 'shrinks', 'neither'),
  /** Of 1000 parts of the length. */
  minimum: fc.nat(1000),
  /** The maximum in 1000 parts of the length; none from 20000 on. */
  maximum: fc.integer({ min: 1000, max: 60_000 }),
  wanted: fc.constantFrom('', '', '', '', 'min', 'rest', 'same', 'smaller', 'larger'),
  share: fc.nat(1000),
});

type Spec = typeof spec extends fc.Arbitrary<infer T> ? T : never;

const target = fc.oneof(
  fc.constantFrom('needed', 'a sector less', 'source', 'as it lies').map((kind) => ({ kind, factor: 1 })),
  fc.tuple(fc.constantFrom('times source', 'times needed'), fc.integer({ min: 1, max: 4000 })).map(([kind, share]) => ({
    kind,
    factor: share / 1000,
  })),
  fc.constant({ kind: 'huge', factor: 1 }),
);

export const layoutCase = fc
  .record({
    kind: fc.constantFrom(...KINDS),
    sectors: fc.constantFrom([512, 512], [512, 512], [4096, 4096], [512, 4096], [4096, 512]),
    start: fc.constantFrom(MiB, MiB, MiB, 63 * 512, 34 * 512, 256 * KiB, 3 * MiB),
    specs: fc.array(spec, { minLength: 1, maxLength: 8 }),
    /** Of an MBR: how many come before the extended partition, and how many lie in it. */
    before: fc.nat(3),
    logical: fc.nat(5),
    tail: gap,
    left: fc.boolean(),
    mode: fc.constantFrom('same', 'fill', 'proportional'),
    sized: fc.boolean(),
    target,
  })
  .map(toRequest);

interface Shape {
  readonly kind: (typeof KINDS)[number];
  readonly sectors: readonly number[];
  readonly start: Bytes;
  readonly specs: readonly Spec[];
  readonly before: number;
  readonly logical: number;
  readonly tail: Amount;
  readonly left: boolean;
  readonly mode: 'same' | 'fill' | 'proportional';
  readonly sized: boolean;
  readonly target: { readonly kind: string; readonly factor: number };
}

function toRequest(shape: Shape): LayoutRequest {
  const [sourceSector = 512, targetSector = 512] = shape.sectors;
  const disk = shape.kind === 'gpt' ? gptDisk(shape, sourceSector) : mbrDisk(shape, sourceSector);
  const last = Math.max(...[...disk.partitions.map(({ extent }) => extent), ...disk.containers].map(extentEnd));
  const sourceSize = last + roundUp(shape.tail.bytes, sourceSector) + (shape.kind === 'gpt' ? 33 * 512 + 4096 : 0);
  const dropsFirst = shape.left && disk.partitions.length > 1 && disk.partitions[0]?.role !== 'logical';
  const partitions = dropsFirst ? disk.partitions.slice(1) : disk.partitions;
  const sizes = new Map<number, WantedSize>();
  if (shape.sized) {
    for (const partition of partitions) {
      const wanted = wantedOf(partition, shape.specs[partition.number - 1]);
      if (wanted !== undefined) sizes.set(partition.number, wanted);
    }
  }
  const request: LayoutRequest = {
    table: shape.kind === 'mbr' ? 'mbr' : 'gpt',
    partitions,
    containers: disk.containers,
    firstStart: dropsFirst ? disk.partitions[0]?.extent.offset : undefined,
    sourceSize,
    target: { size: 0, sectorSize: targetSector },
    mode: shape.mode,
    sizes,
  };
  return { ...request, target: { size: targetSize(request, shape.target, sourceSize), sectorSize: targetSector } };
}

function targetSize(request: LayoutRequest, { kind, factor }: Shape['target'], sourceSize: Bytes): Bytes {
  const answer = decideLayout(request);
  const needed = answer.fits ? 0 : answer.needed;
  switch (kind) {
    case 'needed':
      return needed;
    case 'a sector less':
      return needed - request.target.sectorSize;
    case 'source':
      return sourceSize;
    case 'as it lies':
      return Math.max(...request.partitions.map(({ extent }) => extentEnd(extent)));
    case 'times source':
      return Math.floor(sourceSize * factor);
    case 'times needed':
      return Math.floor(needed * factor);
    default:
      return 2 ** 50;
  }
}

interface Disk {
  readonly partitions: readonly LayoutPartition[];
  readonly containers: readonly Extent[];
}

function gptDisk({ start, specs }: Shape, sector: Bytes): Disk {
  let end = Math.max(roundUp(start, sector), 34 * 512, 6 * sector);
  const partitions = specs.map((one, index) => {
    const partition = toPartition(one, { number: index + 1, role: 'gpt', after: end, sector });
    end = extentEnd(partition.extent);
    return partition;
  });
  return { partitions, containers: [] };
}

/** Numbers are positions in `specs` plus one, so that a spec is found again; a table would count logicals from 5. */
function mbrDisk({ start, specs, before, logical }: Shape, sector: Bytes): Disk {
  let end = roundUp(start, sector);
  const containers: Extent[] = [];
  const partitions: LayoutPartition[] = [];
  for (const [index, one] of specs.entries()) {
    const isLogical = index >= before && index < before + logical;
    if (!isLogical && partitions.filter(({ role }) => role === 'primary').length >= 3) break;
    const role = isLogical ? 'logical' : 'primary';
    const record = isLogical ? end : undefined;
    const after = isLogical ? end + sector : end;
    const partition = toPartition(one, { number: index + 1, role, after, sector });
    end = extentEnd(partition.extent);
    partitions.push(partition);
    if (record === undefined) continue;
    const offset = containers[0]?.offset ?? record;
    containers[0] = { offset, length: end - offset };
  }
  return { partitions, containers };
}

function toPartition(
  { gap: room, length, flexible, minimum, maximum }: Spec,
  { number, role, after, sector }: { number: number; role: LayoutPartition['role']; after: Bytes; sector: Bytes },
): LayoutPartition {
  const offset = roundUp(after + room.bytes, room.aligned ? MiB : sector);
  const size = Math.max(sector, roundUp(length.bytes, length.aligned ? MiB : sector));
  const shrinks = flexible === 'both' || flexible === 'shrinks';
  const grows = flexible === 'both' || flexible === 'grows';
  return {
    number,
    extent: { offset, length: size },
    role,
    fixed: flexible === 'fixed' ? 'unrecognised' : undefined,
    minimum: shrinks ? Math.floor((size * minimum) / 1000) : size,
    growable: grows,
    maximum: grows && maximum < 20_000 ? Math.floor((size * maximum) / 1000) : undefined,
  };
}

function wantedOf(partition: LayoutPartition, one: Spec | undefined): WantedSize | undefined {
  const { extent, fixed, minimum, growable, maximum } = partition;
  const share = (one?.share ?? 0) / 1000;
  switch (one?.wanted) {
    case 'min':
      return 'min';
    case 'rest':
      return growable ? 'rest' : undefined;
    case 'same':
      return extent.length;
    case 'smaller':
      // Whole sectors of any target, so that it is no less than the minimum there.
      return fixed
        ? undefined
        : Math.min(extent.length, Math.max(roundUp(minimum, 4096), Math.floor(extent.length * share), 4096));
    case 'larger': {
      const most = Math.min(maximum ?? Number.MAX_SAFE_INTEGER, extent.length * 3);
      return growable ? Math.floor(extent.length + (most - extent.length) * share) : undefined;
    }
    default:
      return undefined;
  }
}

function roundUp(bytes: Bytes, unit: Bytes): Bytes {
  return Math.ceil(bytes / unit) * unit;
}
