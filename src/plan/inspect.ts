// Looks at a disk: its table, its volumes, what file system each holds and in what state. Reads, never writes.

import { ToolError } from '../base/tool-error.js';
import { FormatError } from '../base/u64.js';
import type { Bytes } from '../base/units.js';
import type { DiskIdentity } from '../device/identity.js';
import {
  CLEAN,
  type ExcludedFile,
  type FilesystemInfo,
  type FilesystemPlugin,
  type FilesystemState,
} from '../filesystem/plugin.js';
import { identify } from '../filesystem/registry.js';
import type { ForeignContent } from '../filesystem/signatures.js';
import type { Extent } from '../map/extent.js';
import { readTable } from '../partition/read.js';
import { type Partition, type PartitionTable, partitionLabel } from '../partition/table.js';
import { isUnreadable } from '../source/around.js';
import { sliceSource } from '../source/slice.js';
import type { Source } from '../source/types.js';

export interface VolumeReport {
  /** "partition 2 \"root\"", or "the whole disk" for a file system without a table. */
  readonly name: string;
  readonly partition: Partition | undefined;
  /** On the disk. */
  readonly extent: Extent;
  readonly filesystem: FilesystemInfo | undefined;
  readonly plugin: FilesystemPlugin | undefined;
  readonly state: FilesystemState;
  /** What it is instead, if that can be told: encryption, RAID, a file system that ectype cannot read. */
  readonly foreign: ForeignContent | undefined;
  /** Why nothing is known of its content, if so. */
  readonly unrecognised: string;
  /** Files whose content may be left out; empty until `withExclusions` has looked for them. */
  readonly excludable: readonly ExcludedFile[];
  /** True: nothing is known because of unreadable sectors. */
  readonly isUnreadable?: boolean;
}

export interface DiskReport {
  readonly identity: DiskIdentity;
  readonly size: Bytes;
  /** The table's, else the device's; undefined for raw files without a table. */
  readonly sectorSize: Bytes | undefined;
  readonly table: PartitionTable | undefined;
  readonly volumes: readonly VolumeReport[];
  /** Why the table could not be read; only forensic copies go on with it. Empty otherwise. */
  readonly damage: string;
}

/** Throws ToolError if the table is damaged beyond use, or the disk cannot be read. */
export async function inspectDisk(disk: Source, identity: DiskIdentity): Promise<DiskReport> {
  const table = await tableOf(disk);
  const volumes: VolumeReport[] = [];
  if (!table) volumes.push(await inspectVolume(disk, { name: 'the whole disk' }));
  for (const partition of table?.partitions ?? []) {
    const name = partitionLabel(partition);
    const volume = sliceSource(disk, partition.extent, `${disk.name} ${name}`);
    volumes.push(await inspectVolume(volume, { name, partition }));
  }
  const sectorSize = table?.sectorSize ?? disk.sectorSize;
  return { identity, size: disk.size, sectorSize, table, volumes, damage: '' };
}

/**
 * An MBR without partitions vouches for nothing: boot code leaves its signature on media that some program uses whole
 * (RAID, a file system that we do not know). A GPT without partitions says so on purpose.
 */
export async function tableOf(disk: Source): Promise<PartitionTable | undefined> {
  const table = await readTable(disk);
  return table?.kind === 'mbr' && table.partitions.length === 0 ? undefined : table;
}

/** The same for a single volume, which has no table of its own. */
export async function inspectSingle(volume: Source, identity: DiskIdentity, name: string): Promise<DiskReport> {
  const report = await inspectVolume(volume, { name });
  return withoutTable(volume, identity, report);
}

/** As `inspectDisk`; but a table that is damaged beyond use does not stop a forensic copy, which rests on no table. */
export async function inspectForensic(disk: Source, identity: DiskIdentity): Promise<DiskReport> {
  try {
    return await inspectDisk(disk, identity);
  } catch (error) {
    const isLost = disk.readAround !== undefined && isUnreadable(error);
    if (!(error instanceof ToolError) || (error.family !== 'filesystem' && !isLost)) throw error;
    const whole = { name: 'the whole disk', partition: undefined, extent: { offset: 0, length: disk.size } };
    const content = {
      filesystem: undefined,
      plugin: undefined,
      state: CLEAN,
      foreign: undefined,
      unrecognised: 'a damaged partition table',
      excludable: [],
    };
    return withoutTable(disk, identity, { ...whole, ...content }, error.message);
  }
}

function withoutTable(medium: Source, identity: DiskIdentity, volume: VolumeReport, damage = ''): DiskReport {
  const { size, sectorSize } = medium;
  return { identity, size, sectorSize, table: undefined, volumes: [volume], damage };
}

async function inspectVolume(
  volume: Source,
  { name, partition }: { name: string; partition?: Partition },
): Promise<VolumeReport> {
  const base = { name, partition, extent: partition?.extent ?? { offset: 0, length: volume.size }, excludable: [] };
  const { recognised, foreign, unrecognised, ...more } = await identify(volume);
  const nothing = { filesystem: undefined, plugin: undefined, state: CLEAN };
  if (!recognised) return { ...base, ...nothing, foreign, unrecognised, ...more };
  const { plugin, info } = recognised;
  const state = await stateOf(volume, recognised);
  if (state) return { ...base, filesystem: info, plugin, state, foreign: undefined, unrecognised: '' };
  const reason = `a file system (${info.kind}) whose state cannot be read`;
  return { ...base, ...nothing, foreign: undefined, unrecognised: reason, isUnreadable: true };
}

/** A damaged state is not a clean one. Undefined: it cannot be read, of a source that is read around its holes. */
async function stateOf(
  volume: Source,
  { plugin, info }: { plugin: FilesystemPlugin; info: FilesystemInfo },
): Promise<FilesystemState | undefined> {
  try {
    return await plugin.readState(volume, info);
  } catch (error) {
    if (volume.readAround && isUnreadable(error)) return undefined;
    if (!(error instanceof FormatError)) throw error;
    return {
      kind: 'dirty',
      reason: `its structures are damaged: ${error.message}`,
      advice: 'Check and repair it with its own tool',
    };
  }
}

/** What a volume holds, as blkid calls it, or else its partition's type; empty if neither is known. */
export function contentKind({ filesystem, foreign, partition }: VolumeReport): string {
  return filesystem?.kind ?? foreign?.kind ?? partition?.typeName ?? '';
}
