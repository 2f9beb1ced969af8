// The IDs of a twin: a clone that may stay attached beside its source. Drawn once and kept between runs.
// Invariant: plain data; an ID that was drawn for a partition or volume stays the same in all later runs.

import {
  drawId,
  drawSignature,
  formOf,
  hasForm,
  isMbrPartitionId,
  isSignature,
  isUuid,
  isVolumeId,
  mbrPartitionId,
  type RandomBytes,
} from './id-forms.js';

export interface TwinIdentity {
  /** GUID of a GPT in lower case, signature of an MBR as eight digits; empty: the disk has none. */
  readonly diskId: string;
  /** PARTUUIDs as blkid prints them, by the partitions' numbers on the source. */
  readonly partitionIds: Readonly<Record<number, string>>;
  /** UUIDs or serial numbers as blkid prints them, by partition number; 0: the volume that is the whole disk. */
  readonly volumes: Readonly<Record<number, string>>;
}

/** What of a disk has an ID. A report of `plan/inspect` is one. */
export interface DiskIds {
  readonly table:
    | {
        readonly kind: 'gpt' | 'mbr';
        readonly id: string;
        readonly partitions: readonly { readonly number: number; readonly id: string }[];
      }
    | undefined;
  readonly volumes: readonly VolumeId[];
}

export interface VolumeId {
  readonly name: string;
  readonly partition: { readonly number: number } | undefined;
  readonly filesystem: { readonly kind: string; readonly uuid: string } | undefined;
  /** What it holds instead of a file system. */
  readonly foreign: { readonly kind: string } | undefined;
}

/** Something that goes on bearing, or naming, an old ID. */
export interface Leftover {
  /** The volume's name. */
  readonly volume: string;
  /** A file from the root of the volume, or what else it is. */
  readonly place: string;
  /** In the user's words, without a full stop. */
  readonly why: string;
}

export interface DrawOptions {
  readonly random: RandomBytes;
  /** Of an earlier run: what is in it stays, unless the disk now has a table or file system of another kind there. */
  readonly known?: TwinIdentity | undefined;
  /** Why volumes keep their IDs (`whyNoNewId`), by partition number; 0: the whole disk. */
  readonly fixed?: Readonly<Record<number, string>>;
}

export interface Drawn {
  readonly identity: TwinIdentity;
  /** Volumes that keep their IDs: with them both disks should not be attached to one computer. */
  readonly kept: readonly Leftover[];
}

/** Pure, given `random`. Volumes without an ID get none: nothing names them by it. */
export function drawIdentity({ table, volumes }: DiskIds, options: DrawOptions): Drawn {
  const { random, fixed = {} } = options;
  const known = fitting(options.known, table);
  const diskId = known?.diskId || drawDiskId(table, random);
  const kept: Leftover[] = [];
  const ids: Record<number, string> = {};
  for (const volume of volumes) {
    const number = volume.partition?.number ?? 0;
    const { name, filesystem, foreign } = volume;
    const why = filesystem ? (fixed[number] ?? whyFixed(filesystem)) : foreign && CONTAINER;
    const form = filesystem && formOf(filesystem.kind);
    if (why !== undefined) kept.push({ volume: name, place: filesystem?.kind ?? foreign?.kind ?? '', why });
    else if (filesystem && form && filesystem.uuid !== '') {
      const before = options.known?.volumes[number];
      ids[number] = before !== undefined && hasForm(before, form) ? before : drawId(form, random);
    }
  }
  return { identity: { diskId, partitionIds: drawPartitionIds(table, { diskId, random, known }), volumes: ids }, kept };
}

const CONTAINER = 'its content cannot be seen, so its IDs and those inside stay those of the source';

function whyFixed({ kind, uuid }: { kind: string; uuid: string }): string | undefined {
  return formOf(kind) === undefined && uuid !== '' ? 'nothing here gives it a new ID' : undefined;
}

/** IDs of a GPT are no use to an MBR, nor the other way round. */
function fitting(known: TwinIdentity | undefined, table: DiskIds['table']): TwinIdentity | undefined {
  if (!known || !table) return undefined;
  return (table.kind === 'gpt' ? isUuid(known.diskId) : isSignature(known.diskId)) ? known : undefined;
}

function drawDiskId(table: DiskIds['table'], random: RandomBytes): string {
  if (!table || table.id === '') return '';
  return table.kind === 'gpt' ? drawId('uuid', random) : drawSignature(random);
}

function drawPartitionIds(
  table: DiskIds['table'],
  { diskId, random, known }: { diskId: string; random: RandomBytes; known: TwinIdentity | undefined },
): Record<number, string> {
  const ids: Record<number, string> = {};
  if (!table || diskId === '') return ids;
  for (const { number } of table.partitions) {
    ids[number] =
      table.kind === 'mbr' ? mbrPartitionId(diskId, number) : (known?.partitionIds[number] ?? drawId('uuid', random));
  }
  return ids;
}

/** Strict: exactly what `drawIdentity` makes. Undefined: anything else. */
export function parseTwinIdentity(value: unknown): TwinIdentity | undefined {
  if (!isObject(value) || Object.keys(value).sort().join() !== 'diskId,partitionIds,volumes') return undefined;
  const { diskId, partitionIds, volumes } = value;
  if (typeof diskId !== 'string') return undefined;
  const isGpt = isUuid(diskId);
  if (!isGpt && !isSignature(diskId) && diskId !== '') return undefined;
  const partitions = parseIds(partitionIds, { isId: isGpt ? isUuid : isMbrPartitionId, lowest: 1 });
  const own = parseIds(volumes, { isId: isVolumeId, lowest: 0 });
  if (!partitions || !own) return undefined;
  const fits = ([number, id]: [string, string]): boolean => isGpt || id === mbrPartitionId(diskId, Number(number));
  return Object.entries(partitions).every(fits) ? { diskId, partitionIds: partitions, volumes: own } : undefined;
}

const MOST_IDS = 2 ** 16;

function parseIds(
  value: unknown,
  { isId, lowest }: { isId: (text: string) => boolean; lowest: number },
): Record<number, string> | undefined {
  if (!isObject(value)) return undefined;
  const entries = Object.entries(value);
  if (entries.length > MOST_IDS) return undefined;
  const ids: Record<number, string> = {};
  for (const [key, id] of entries) {
    const number = Number(key);
    if (!Number.isSafeInteger(number) || `${number}` !== key || number < lowest) return undefined;
    if (typeof id !== 'string' || !isId(id)) return undefined;
    ids[number] = id;
  }
  return ids;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
