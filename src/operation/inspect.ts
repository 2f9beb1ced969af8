// Looks at disks for people and machines: what `ectype disks` and `ectype inspect` show. Reads only.

import { ToolError } from '../base/tool-error.js';
import type { Bytes } from '../base/units.js';
import { type DiskIdentity, identify } from '../device/identity.js';
import { usesOf } from '../device/in-use.js';
import { stableNames, wholeDevices } from '../device/sysfs.js';
import type { FilesystemState } from '../filesystem/plugin.js';
import { openTargetToRead, resolve } from '../location/ends.js';
import { parseLocation } from '../location/location.js';
import type { Extent } from '../map/extent.js';
import { allocationOf, usedBytes } from '../plan/allocation.js';
import { type ExcludedFacts, excludedFacts, withExclusions } from '../plan/exclusions.js';
import { type DiskReport, inspectDisk, inspectForensic, inspectSingle, type VolumeReport } from '../plan/inspect.js';
import { printable } from '../plan/target-content.js';
import { aroundHoles, isUnreadable } from '../source/around.js';
import { sliceSource } from '../source/slice.js';
import type { Source } from '../source/types.js';
import { looksArmed } from '../state/marker.js';

export interface VolumeSummary {
  readonly name: string;
  readonly number: number | undefined;
  readonly extent: Extent;
  readonly type: string;
  readonly filesystem: string | undefined;
  /** What it is instead, as blkid calls it (`crypto_LUKS`, `linux_raid_member`), if that can be told. */
  readonly foreign: string | undefined;
  readonly label: string;
  readonly uuid: string;
  /** By the file system's own counters, or counted from its map where `inspect` looked. */
  readonly used: Bytes | undefined;
  readonly filesystemSize: Bytes | undefined;
  readonly lastWritten: string | undefined;
  readonly state: FilesystemState;
  /** `allocated`, `whole`, and why whole; undefined where it was not looked at. */
  readonly copied:
    | {
        readonly method: 'allocated' | 'whole';
        readonly reason: string;
        readonly bytes: Bytes;
        /** Files whose content it leaves out. */
        readonly excluded: readonly ExcludedFacts[];
      }
    | undefined;
  /** The partition starts on a multiple of 1 MiB. */
  readonly aligned: boolean;
}

export interface DiskSummary {
  readonly path: string;
  readonly id: string;
  readonly model: string;
  readonly stableNames: readonly string[];
  readonly size: Bytes;
  readonly sectorSize: Bytes | undefined;
  readonly table: { readonly kind: 'gpt' | 'mbr'; readonly id: string } | undefined;
  readonly volumes: readonly VolumeSummary[];
  readonly uses: readonly string[];
  readonly warnings: readonly string[];
  /** Why nothing more is known: no permission, a damaged table. */
  readonly problem: string;
}

/** All disks of this machine; those that cannot be read say why. */
export async function disks(): Promise<DiskSummary[]> {
  const summaries: DiskSummary[] = [];
  for (const device of wholeDevices()) {
    try {
      summaries.push(await summarise(device.path, { deep: false }));
    } catch (error) {
      if (!(error instanceof ToolError)) throw error;
      const { id, model } = identify(device.path, device.size);
      summaries.push({
        path: device.path,
        id,
        model,
        stableNames: stableNames(device),
        size: device.size,
        sectorSize: undefined,
        table: undefined,
        volumes: [],
        uses: usesOf(device.path),
        warnings: [],
        problem: error.message,
      });
    }
  }
  return summaries;
}

/** One disk, file or partition in detail. Throws ToolError if it cannot be read or its table is damaged beyond use. */
export function inspect(location: string): Promise<DiskSummary> {
  return summarise(location, { deep: true });
}

async function summarise(text: string, { deep }: { deep: boolean }): Promise<DiskSummary> {
  const place = await resolve(parseLocation(text));
  const { medium: plain, identity, close } = openTargetToRead(place);
  const medium = aroundHoles(plain);
  try {
    const seen =
      place.scope === 'disk' ? await lookAtDisk(medium, identity) : await inspectSingle(medium, identity, place.name);
    const report = deep ? await withExclusions(medium, seen) : seen;
    const volumes: VolumeSummary[] = [];
    for (const volume of report.volumes) volumes.push(await summariseVolume(medium, volume, { deep }));
    const warnings = (report.table?.warnings ?? []).map(({ message }) => message);
    if (await looksArmed(medium))
      warnings.push('this is the unfinished target of a clone: run the same clone again to finish it');
    const node = wholeDevices().find(({ path }) => path === place.path);
    return {
      path: place.name,
      id: identity.id,
      model: identity.model,
      stableNames: node ? stableNames(node) : [],
      size: medium.size,
      sectorSize: report.sectorSize,
      table: report.table && { kind: report.table.kind, id: report.table.id },
      volumes,
      uses: usesOf(place.path),
      warnings,
      problem: report.damage,
    };
  } finally {
    await close();
  }
}

/** A table that cannot be read does not hide the rest of the disk; one that is damaged does. */
async function lookAtDisk(disk: Source, identity: DiskIdentity): Promise<DiskReport> {
  try {
    return await inspectDisk(disk, identity);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return inspectForensic(disk, identity);
  }
}

async function summariseVolume(
  disk: Source,
  volume: VolumeReport,
  { deep }: { deep: boolean },
): Promise<VolumeSummary> {
  const { filesystem, partition, extent } = volume;
  return {
    name: volume.name,
    number: partition?.number,
    extent,
    type: partition?.typeName ?? '',
    filesystem: filesystem?.kind,
    foreign: volume.foreign?.kind,
    label: printable(filesystem?.label || partition?.name || ''),
    uuid: filesystem?.uuid ?? '',
    used: filesystem?.used,
    filesystemSize: filesystem?.size,
    lastWritten: filesystem?.lastWritten?.toISOString(),
    state: volume.state,
    copied: deep ? await copiedOf(disk, volume) : undefined,
    aligned: extent.offset % (1024 * 1024) === 0,
  };
}

async function copiedOf(disk: Source, report: VolumeReport): Promise<NonNullable<VolumeSummary['copied']>> {
  const volume = sliceSource(disk, report.extent, `${disk.name} ${report.name}`);
  const allocation = await allocationOf(volume, report, { forensic: false, leaveOut: true });
  const { map, method, reason, excluded } = allocation;
  return { method, reason, bytes: await usedBytes(map, volume.size), excluded: excludedFacts(excluded) };
}
