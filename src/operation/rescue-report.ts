// What a rescue could not read, for the result: how much, where, what the target holds there, and whose it was.
// Invariant: totals count everything; lists are cut to a bearable length.

import { ToolError } from '../base/tool-error.js';
import { FormatError } from '../base/u64.js';
import type { PlacedVolume } from '../engine/commit.js';
import { type Extent, totalLength } from '../map/extent.js';
import { sliceSource } from '../source/slice.js';
import { keptSince } from '../state/origin.js';
import type { KeptExtent, VolumeRecord } from '../state/record.js';
import type { DamageOwner, PreparedClone, Unreadable, UnreadableExtent, UnreadableVolume } from './clone-types.js';
import type { PieceHole } from './rescue-pieces.js';

const LISTED = 1000;

export interface RescueFindings {
  readonly prepared: PreparedClone;
  readonly placed: readonly PlacedVolume[];
  /** In the order of the plan's volumes, as they were known before the run. */
  readonly records: readonly VolumeRecord[];
  readonly pieceHoles: readonly PieceHole[];
}

/** What of each volume was kept, with the run it is from. */
export function keptExtents({ placed, records }: RescueFindings): KeptExtent[][] {
  return records.map((record, index) =>
    (placed[index]?.volume.rescue?.damage.holes() ?? [])
      .filter(({ fate }) => fate === 'kept')
      .map(({ offset, length }) => ({ offset, length, at: keptSince(record, { offset, length }) })),
  );
}

/** Undefined if everything could be read. */
export async function unreadable(findings: RescueFindings): Promise<Omit<Unreadable, 'mapfile'> | undefined> {
  const volumes = [...ofPieces(findings), ...(await ofVolumes(findings))];
  const sum = (key: 'bytes' | 'zeros' | 'kept' | 'rebuilt'): number =>
    volumes.reduce((total, volume) => total + volume[key], 0);
  if (volumes.length === 0) return undefined;
  return { bytes: sum('bytes'), zeros: sum('zeros'), kept: sum('kept'), rebuilt: sum('rebuilt'), volumes };
}

async function ofVolumes({ prepared, placed, records }: RescueFindings): Promise<UnreadableVolume[]> {
  const found: UnreadableVolume[] = [];
  for (const [index, { name, sourceExtent }] of prepared.layout.volumes.entries()) {
    const holes = placed[index]?.volume.rescue?.damage.holes() ?? [];
    const record = records[index];
    if (holes.length === 0 || !record) continue;
    const shift = prepared.source.place.offsetOnDisk + sourceExtent.offset;
    const extents = holes.map(({ offset, length, fate, tried }): UnreadableExtent => {
      const run = fate === 'kept' ? keptSince(record, { offset, length }) : '';
      return { offset: shift + offset, length, fate, tried, ...(run ? { run } : {}) };
    });
    const owners = await ownersOf(prepared, sourceExtent, holes);
    found.push(
      summary(
        name,
        extents,
        owners.map((each) => shifted(each, shift)),
      ),
    );
  }
  return found;
}

function shifted({ extent, kind, names }: DamageOwner, by: number): DamageOwner {
  return { extent: { offset: extent.offset + by, length: extent.length }, kind, names };
}

/** Of what is kept between partitions nobody remembers the date. */
function ofPieces({ prepared: { layout, source }, pieceHoles }: RescueFindings): UnreadableVolume[] {
  const base = source.place.offsetOnDisk;
  const rebuilt = layout.tableHoles.map(
    ({ offset, length }): UnreadableExtent => ({ offset: base + offset, length, fate: 'rebuilt', tried: true }),
  );
  const names = [...new Set(pieceHoles.map(({ piece }) => piece))];
  const pieces = names.map((name) => {
    const holes = pieceHoles.filter(({ piece }) => piece === name);
    const extents = holes.map(({ offset, length, fate }): UnreadableExtent => {
      return { offset: base + offset, length, fate, tried: true };
    });
    return summary(name, extents, []);
  });
  return [...(rebuilt.length > 0 ? [summary('the partition table', rebuilt, [])] : []), ...pieces];
}

function summary(name: string, extents: readonly UnreadableExtent[], owners: readonly DamageOwner[]): UnreadableVolume {
  const bytes = (fate: UnreadableExtent['fate']): number => totalLength(extents.filter((each) => each.fate === fate));
  return {
    name,
    bytes: totalLength(extents),
    zeros: bytes('zeros'),
    kept: bytes('kept'),
    rebuilt: bytes('rebuilt'),
    count: extents.length,
    extents: extents.slice(0, LISTED),
    owners: owners.slice(0, LISTED),
    ownerCount: owners.length,
  };
}

/** The file system's word on what lies there, if it has one. */
async function ownersOf(
  { source, sourceReport }: PreparedClone,
  sourceExtent: Extent,
  holes: readonly Extent[],
): Promise<readonly DamageOwner[]> {
  const report = sourceReport.volumes.find(({ extent }) => extent.offset === sourceExtent.offset);
  if (!report?.plugin?.ownersOf || !report.filesystem) return [];
  const volume = sliceSource(source.medium, report.extent, `${source.medium.name} ${report.name}`);
  const extents = holes.map(({ offset, length }) => ({ offset, length }));
  try {
    return await report.plugin.ownersOf(volume, report.filesystem, extents);
  } catch (error) {
    if (error instanceof ToolError || error instanceof FormatError) return []; // the copy is done all the same
    throw error;
  }
}
