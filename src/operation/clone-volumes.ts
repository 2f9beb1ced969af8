// From the plan to what the engine copies: partitions, pieces between them, and what is free.

import type { PlacedVolume } from '../engine/commit.js';
import { Damage } from '../engine/damage.js';
import { createTally } from '../engine/tally.js';
import type { VolumeCopy, VolumeRescue } from '../engine/volume-copy.js';
import type { TargetEnd } from '../location/ends.js';
import { everythingUsed, mapOfExtents } from '../map/allocation-map.js';
import { BLOCK_SIZE } from '../map/block-map.js';
import { type Extent, gaps, intersect, normalise } from '../map/extent.js';
import { memoryBlockMap } from '../map/memory-block-map.js';
import { signaturePlaces } from '../map/signature-places.js';
import type { PlannedVolume } from '../plan/clone-plan.js';
import type { Piece } from '../plan/surroundings.js';
import type { Trust } from '../plan/trust.js';
import { memoryTarget } from '../source/memory.js';
import { sliceSource, sliceTarget } from '../source/slice.js';
import type { PreparedClone } from './clone-types.js';
import type { Detection } from './detection.js';
import type { OpenedMap, Session } from './session.js';

export interface BuildOptions {
  readonly session: Session;
  readonly detection: Pick<Detection, 'proofs' | 'untouched'>;
  /** The same run went over the volumes before: its maps hold, whatever was known when it began. */
  readonly again?: boolean;
}

const AGAIN = { known: true, unknown: 'write', discardFree: false } as const;

/** In the order of the plan's volumes, then the pieces, then free space (first clones only). */
export function buildVolumes(
  prepared: PreparedClone,
  target: TargetEnd,
  { session, detection, again = false }: BuildOptions,
): PlacedVolume[] {
  const { layout, trust, armed } = prepared;
  const volumes = layout.volumes.map((planned, index): PlacedVolume => {
    const opened = session.maps[index];
    if (!opened) throw new Error(`internal error: no map for ${planned.name}`);
    const { offset } = planned.targetExtent;
    const first = partitionVolume(prepared, { planned, opened, target });
    const volume = again ? { ...first, ...AGAIN } : first;
    const rescue = prepared.rescue && rescueOf(volume, session, { index, offset });
    const isUntouched = planned.kept || detection.untouched[index] || false;
    return { volume: { ...volume, rescue, isUntouched, proof: detection.proofs[index] }, offset };
  });
  const pieces = layout.pieces.map(
    (piece): PlacedVolume => ({ volume: pieceVolume(piece, target, armed), offset: piece.offset }),
  );
  const free =
    trust.lineage === undefined && firstEverywhere(trust) && !again
      ? freeVolumes([...volumes, ...pieces], target, armed)
      : [];
  return [...volumes, ...pieces, ...free];
}

function firstEverywhere({ volumes }: Trust): boolean {
  return volumes.every(({ mode }) => mode === 'first');
}

function partitionVolume(
  { source, armed, trust, forensic }: PreparedClone,
  { planned, opened, target }: { planned: PlannedVolume; opened: OpenedMap; target: TargetEnd },
): VolumeCopy {
  const { name, sourceExtent, targetExtent, allocation, view } = planned;
  const { mode } = opened.trust;
  const isKnown = mode === 'rapid' || mode === 'hash';
  return {
    name,
    source: view ?? sliceSource(source.medium, sourceExtent, `${source.medium.name} ${name}`),
    target: sliceTarget(target.medium, targetExtent, `${target.medium.name} ${name}`),
    allocation: allocation.map,
    wiped: normalise([...allocation.wiped, ...(forensic ? [] : signaturePlaces(targetExtent.length))]),
    held: inside(armed, targetExtent),
    map: opened.map,
    tally: createTally(),
    known: isKnown,
    // A run that did not end may have written blocks whose digests were never filled: they are compared, not rewritten.
    unknown: mode === 'first' || (isKnown && !trust.unfinished) ? 'write' : 'compare',
    discardFree: mode === 'first',
  };
}

/** What the target holds stays only if it is of this source. */
function rescueOf(
  { map, unknown }: VolumeCopy,
  { volumes, former }: Session,
  { index, offset }: { index: number; offset: number },
): VolumeRescue {
  const origin = volumes[index]?.origin;
  const damage = new Damage(map);
  if (!origin) return { keep: 'nothing', damage };
  if (origin.at === undefined) return { keep: 'known', damage };
  return {
    keep: unknown === 'compare' ? 'held' : 'known',
    damage,
    former: (block) => former.read({ offset: offset + block.offset, length: block.length }),
  };
}

function pieceVolume({ name, offset, bytes }: Piece, target: TargetEnd, armed: readonly Extent[]): VolumeCopy {
  const extent = { offset, length: bytes.length };
  return {
    name,
    source: memoryTarget(bytes, name),
    target: sliceTarget(target.medium, extent, `${target.medium.name} ${name}`),
    allocation: everythingUsed(bytes.length),
    wiped: [],
    held: inside(armed, extent),
    map: memoryBlockMap({ size: bytes.length, blockSize: BLOCK_SIZE }),
    tally: createTally(),
    known: false,
    unknown: 'compare',
    discardFree: false,
  };
}

/** What of the target belongs to nothing: the target may forget it. */
function freeVolumes(placed: readonly PlacedVolume[], target: TargetEnd, armed: readonly Extent[]): PlacedVolume[] {
  const taken = normalise([
    ...armed,
    ...placed.map(({ volume, offset }) => ({ offset, length: volume.map.grid.size })),
  ]);
  return [...gaps(taken, { offset: 0, length: target.medium.size })].map((extent) => {
    const name = 'unallocated space';
    const medium = sliceTarget(target.medium, extent, `${target.medium.name} ${name}`);
    const volume: VolumeCopy = {
      name,
      source: medium,
      target: medium,
      allocation: mapOfExtents([], BLOCK_SIZE),
      wiped: [],
      held: [],
      map: memoryBlockMap({ size: extent.length, blockSize: BLOCK_SIZE }),
      tally: createTally(),
      known: false,
      unknown: 'write',
      discardFree: true,
    };
    return { volume, offset: extent.offset };
  });
}

function inside(extents: readonly Extent[], volume: Extent): Extent[] {
  return extents.flatMap((extent) => {
    const part = intersect(extent, volume);
    return part ? [{ offset: part.offset - volume.offset, length: part.length }] : [];
  });
}
