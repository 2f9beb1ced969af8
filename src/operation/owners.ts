// Tells what lies at given places of a disk: the file behind a bad sector of the kernel's log. Reads only.
// Invariant: works on a disk that fails: of the volumes only those asked about are looked at, and what cannot be read
// there has no name.

import { badOption } from '../base/errors/usage.js';
import { ToolError } from '../base/tool-error.js';
import { type Bytes, formatBytesExact } from '../base/units.js';
import type { Owner } from '../filesystem/plugin.js';
import { type Identified, identify } from '../filesystem/registry.js';
import { openTargetToRead, resolve } from '../location/ends.js';
import { parseLocation } from '../location/location.js';
import { type Extent, extentEnd, normalise } from '../map/extent.js';
import { structures } from '../partition/layout.js';
import { type PartitionTable, partitionLabel } from '../partition/table.js';
import { tableOf } from '../plan/inspect.js';
import { sliceSource } from '../source/slice.js';
import type { Source } from '../source/types.js';

/** A place as it was asked for, on the disk or partition that was named. */
export interface AskedPlace {
  readonly unit: 'byte' | 'sector';
  readonly number: number;
}

export interface PlaceOwner {
  readonly offset: Bytes;
  /** "partition 2 \"root\""; empty outside of volumes. */
  readonly volume: string;
  /** What the volume holds; undefined if that is unknown. */
  readonly filesystem: string | undefined;
  readonly offsetInVolume: Bytes | undefined;
  readonly kind: Owner['kind'];
  /** As `Owner.names`: paths, or what the structure is called. */
  readonly names: readonly string[];
}

export interface PlaceOwners {
  readonly path: string;
  /** As asked. */
  readonly places: readonly PlaceOwner[];
}

/** Sectors of media that have no unit of their own. */
const USUAL_SECTOR: Bytes = 512;

/** Throws ToolError if the disk cannot be opened, its table is damaged beyond use, or a place lies behind its end. */
export async function ownersAt(location: string, asked: readonly AskedPlace[]): Promise<PlaceOwners> {
  const place = await resolve(parseLocation(location));
  const { medium, close } = openTargetToRead(place);
  try {
    const table = place.scope === 'disk' ? await tableOf(medium) : undefined;
    const sectorSize = table?.sectorSize ?? medium.sectorSize ?? USUAL_SECTOR;
    const offsets = asked.map(({ unit, number }) => (unit === 'byte' ? number : number * sectorSize));
    for (const offset of offsets) {
      if (offset < medium.size) continue;
      throw badOption('--at', String(offset), `${place.name} ends at ${formatBytesExact(medium.size)}`);
    }
    const found = new Map<Bytes, PlaceOwner>();
    for (const volume of volumesOf(medium, table, place.name)) {
      const inside = offsets.filter((offset) => offset >= volume.extent.offset && offset < extentEnd(volume.extent));
      if (inside.length === 0) continue;
      for (const owner of await ownersInVolume(medium, volume, inside)) found.set(owner.offset, owner);
    }
    return { path: place.name, places: offsets.map((offset) => found.get(offset) ?? outside(table, offset)) };
  } finally {
    await close();
  }
}

interface Volume {
  readonly name: string;
  readonly extent: Extent;
}

function volumesOf(medium: Source, table: PartitionTable | undefined, name: string): Volume[] {
  if (!table) return [{ name, extent: { offset: 0, length: medium.size } }];
  return table.partitions.map((partition) => ({ name: partitionLabel(partition), extent: partition.extent }));
}

async function ownersInVolume(
  disk: Source,
  { name, extent }: Volume,
  offsets: readonly Bytes[],
): Promise<PlaceOwner[]> {
  const volume = sliceSource(disk, extent, `${disk.name} ${name}`);
  const identified = await identifyReadable(volume);
  const asked = normalise(offsets.map((offset) => ({ offset: offset - extent.offset, length: 1 })));
  const { plugin, info } = identified?.recognised ?? {};
  const owners = (plugin && info && (await plugin.ownersOf?.(volume, info, asked))) ?? [];
  return offsets.map((offset) => {
    const offsetInVolume = offset - extent.offset;
    const owner = owners.find(
      (each) => offsetInVolume >= each.extent.offset && offsetInVolume < extentEnd(each.extent),
    );
    return {
      offset,
      volume: name,
      filesystem: info?.kind ?? identified?.foreign?.kind,
      offsetInVolume,
      kind: owner?.kind ?? 'structure',
      names: owner?.names ?? [],
    };
  });
}

/** Undefined if the very signatures of the volume cannot be read. */
async function identifyReadable(volume: Source): Promise<Identified | undefined> {
  try {
    return await identify(volume);
  } catch (error) {
    if (error instanceof ToolError && error.family === 'device') return undefined;
    throw error;
  }
}

/** What no partition holds. */
function outside(table: PartitionTable | undefined, offset: Bytes): PlaceOwner {
  const nowhere = { offset, volume: '', filesystem: undefined, offsetInVolume: undefined };
  const inTable = table && structures(table).some((extent) => offset >= extent.offset && offset < extentEnd(extent));
  if (inTable) return { ...nowhere, kind: 'structure', names: ['partition table'] };
  const first = Math.min(...(table?.partitions ?? []).map(({ extent }) => extent.offset));
  // Boot loaders keep code there without telling anybody.
  if (offset < first) return { ...nowhere, kind: 'structure', names: ['gap before the first partition'] };
  return { ...nowhere, kind: 'free', names: [] };
}
