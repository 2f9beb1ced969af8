// $MFT: finds records by number and puts attributes together that are spread over several records.
// Invariant: a stream that comes out of here is complete: every cluster up to its size has a run.
// The table's own run list may be spread over records of the table: it grows while it is read, in VCN order.

import { FormatError } from '../../base/u64.js';
import { MAX_ATTRIBUTE_LIST, parseAttributeList } from './attribute-list.js';
import type { BootSector } from './boot-sector.js';
import {
  ATTRIBUTE,
  type Attribute,
  type FileRecord,
  type NonResidentAttribute,
  parseFileRecord,
  type RecordReference,
} from './file-record.js';
import { decodeRuns, type Run } from './run-list.js';
import { type NtfsVolume, readInside, readStream, type Stream } from './stream.js';

/** Records with a fixed number. */
export const RECORD = { mft: 0, mirror: 1, logFile: 2, volume: 3, root: 5, bitmap: 6, boot: 7 } as const;

export interface MasterFileTable extends NtfsVolume {
  /** $MFT's unnamed $DATA. */
  readonly stream: Stream;
}

/** Which attribute of a file: its type and its name, empty for the unnamed one. */
export interface AttributeKey {
  readonly type: number;
  readonly name: string;
}

export const UNNAMED_DATA: AttributeKey = { type: ATTRIBUTE.data, name: '' };

/** Finds the whole table, by its own record at cluster `at` ($MFTMirr begins with a copy of it). Throws FormatError. */
export async function openMasterFileTable(
  volume: NtfsVolume,
  at: number = volume.boot.mftCluster,
): Promise<MasterFileTable> {
  const { boot } = volume;
  const record = await readTableRecord(volume, at);
  const first = record.attributes.find((attribute) => matches(attribute, UNNAMED_DATA, 0));
  if (!first || first.resident || !first.sizes || !first.plain) throw new FormatError('$MFT: no $DATA in its record');
  const runs: Run[] = [];
  const growing: MasterFileTable = { ...volume, stream: streamOf('$MFT', first, runs) };
  const list = await readAttributeList(growing, record);
  if (list) await collectRuns(growing, record, list, { key: UNNAMED_DATA, runs });
  else appendRuns(runs, first, { what: '$MFT', clusterCount: boot.clusterCount });
  checkComplete(growing.stream, boot);
  checkSolid(growing.stream);
  if (runs[0]?.lcn !== boot.mftCluster) throw new FormatError('$MFT: starts elsewhere than the boot sector says');
  return growing;
}

/** $MFT's own record at cluster `at`. Throws FormatError. */
export async function readTableRecord({ source, boot }: NtfsVolume, at: number): Promise<FileRecord> {
  const bytes = Buffer.alloc(boot.recordSize);
  await readInside(source, bytes, { offset: at * boot.clusterSize, what: '$MFT' });
  return parseFileRecord(bytes, RECORD.mft);
}

/** Throws FormatError if there is no such record, it is torn, or not in use. */
export async function readRecord(mft: MasterFileTable, number: number): Promise<FileRecord> {
  const bytes = Buffer.alloc(mft.boot.recordSize);
  await readStream(mft, mft.stream, bytes, number * mft.boot.recordSize);
  return parseFileRecord(bytes, number);
}

/** The attribute of a base record, with all its parts. Undefined if the file has none; throws FormatError. */
export async function openStream(
  mft: MasterFileTable,
  record: FileRecord,
  key: AttributeKey,
): Promise<Stream | undefined> {
  const what = `MFT record ${record.number}, attribute 0x${key.type.toString(16)}`;
  const list = await readAttributeList(mft, record);
  const runs: Run[] = [];
  const first = list
    ? await collectRuns(mft, record, list, { key, runs })
    : record.attributes.find((attribute) => matches(attribute, key, 0));
  if (!first) return undefined;
  if (first.resident) {
    const size = first.value.length;
    return { what, size, initializedSize: size, plain: first.plain, runs, resident: first.value };
  }
  if (!list) appendRuns(runs, first, { what, clusterCount: mft.boot.clusterCount });
  const stream = streamOf(what, first, runs);
  checkComplete(stream, mft.boot);
  return stream;
}

export type AttributeList = ReturnType<typeof parseAttributeList>;

/** Undefined if the file has none. Throws FormatError. */
export async function readAttributeList(mft: MasterFileTable, record: FileRecord): Promise<AttributeList | undefined> {
  const bytes = await readListBytes(mft, record);
  return bytes && parseAttributeList(bytes, listName(record));
}

/** The list as it lies there. Undefined if the file has none. Throws FormatError. */
export async function readListBytes(mft: MasterFileTable, record: FileRecord): Promise<Buffer | undefined> {
  const what = listName(record);
  const attribute = record.attributes.find(({ type }) => type === ATTRIBUTE.attributeList);
  if (!attribute || attribute.resident) return attribute?.value;
  const runs: Run[] = [];
  appendRuns(runs, attribute, { what, clusterCount: mft.boot.clusterCount });
  const stream = streamOf(what, attribute, runs);
  if (stream.size > MAX_ATTRIBUTE_LIST) throw new FormatError(`${what}: ${stream.size} bytes long`);
  const bytes = Buffer.alloc(stream.size);
  await readStream(mft, stream, bytes, 0);
  return bytes;
}

function listName({ number }: FileRecord): string {
  return `MFT record ${number}, $ATTRIBUTE_LIST`;
}

/** Appends the runs of all parts to `runs`, part by part, and returns the first part. */
async function collectRuns(
  mft: MasterFileTable,
  base: FileRecord,
  list: AttributeList,
  { key, runs }: { key: AttributeKey; runs: Run[] },
): Promise<Attribute | undefined> {
  const what = `MFT record ${base.number}, attribute 0x${key.type.toString(16)}`;
  const parts = list.filter(({ type, name }) => type === key.type && name === key.name);
  parts.sort((a, b) => a.lowestVcn - b.lowestVcn);
  let first: Attribute | undefined;
  for (const part of parts) {
    const holder = part.holder.record === base.number ? base : await readExtension(mft, base, part.holder);
    const attribute = holder.attributes.find((candidate) => matches(candidate, key, part.lowestVcn));
    if (!attribute) throw new FormatError(`${what}: missing from record ${holder.number}`);
    first ??= attribute;
    if (attribute.resident) {
      if (parts.length > 1) throw new FormatError(`${what}: resident and in several parts`);
      return attribute;
    }
    appendRuns(runs, attribute, { what, clusterCount: mft.boot.clusterCount });
  }
  return first;
}

async function readExtension(mft: MasterFileTable, base: FileRecord, holder: RecordReference): Promise<FileRecord> {
  const record = await readRecord(mft, holder.record);
  if (record.sequence !== holder.sequence || record.base.record !== base.number) {
    throw new FormatError(`MFT record ${holder.record}: no extension of record ${base.number}`);
  }
  return record;
}

function matches(attribute: Attribute, key: AttributeKey, lowestVcn: number): boolean {
  if (attribute.type !== key.type || attribute.name !== key.name) return false;
  return (attribute.resident ? 0 : attribute.lowestVcn) === lowestVcn;
}

function appendRuns(
  runs: Run[],
  attribute: NonResidentAttribute,
  { what, clusterCount }: { what: string; clusterCount: number },
): void {
  const last = runs.at(-1);
  const nextVcn = last ? last.vcn + last.count : 0;
  if (attribute.lowestVcn !== nextVcn) throw new FormatError(`${what}: part ${attribute.lowestVcn} is not next`);
  const decoded = decodeRuns(attribute.runs, { firstVcn: nextVcn, clusterCount, what });
  const end = decoded.reduce((vcn, run) => vcn + run.count, nextVcn);
  // Zero is what writers leave for an empty list as well: ntfs-3g and Linux take it as "not said".
  if (end !== attribute.highestVcn + 1 && attribute.highestVcn !== 0) {
    throw new FormatError(`${what}: run list ends at cluster ${end}, not ${attribute.highestVcn + 1}`);
  }
  for (const run of decoded) runs.push(run);
}

function streamOf(what: string, first: NonResidentAttribute, runs: readonly Run[]): Stream {
  if (!first.sizes) throw new FormatError(`${what}: first part missing`);
  const { data, initialized } = first.sizes;
  return { what, size: data, initializedSize: initialized, plain: first.plain, runs, resident: undefined };
}

/** Every byte has a cluster, and no more clusters are claimed than the volume has: walking the runs is bounded. */
function checkComplete(stream: Stream, { clusterSize, clusterCount }: BootSector): void {
  const last = stream.runs.at(-1);
  const end = last ? (last.vcn + last.count) * clusterSize : 0;
  if (end < stream.size)
    throw new FormatError(`${stream.what}: ${stream.size} bytes long, but has clusters for ${end}`);
  const claimed = stream.runs.reduce((sum, { lcn, count }) => (lcn === undefined ? sum : sum + count), 0);
  if (claimed > clusterCount) throw new FormatError(`${stream.what}: claims ${claimed} of ${clusterCount} clusters`);
}

/** For streams that are read from end to end: holes would make them endless at no cost. Throws FormatError. */
export function checkSolid(stream: Stream): void {
  if (stream.plain && stream.runs.every(({ lcn }) => lcn !== undefined)) return;
  throw new FormatError(`${stream.what}: compressed, encrypted or with holes`);
}
