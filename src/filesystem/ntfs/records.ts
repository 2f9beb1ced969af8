// What shows that a file of NTFS changed: its MFT records as they lie there, in groups of neighbours.
// Invariant: a digest covers all raw bytes of a file's records, the access time and the update sequence number too.
// Measured: when a full disk ends a write half-way, ntfs-3g has overwritten data and puts all but the update sequence
// number back as it was; of a stream with holes it does not even write the record. Hence such streams are always read.

import { digestOf } from '../../base/digest.js';
import { FormatError } from '../../base/u64.js';
import type { Extent } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import type { FileRecord, GroupContent, RecordGroup } from '../plugin.js';
import type { BootSector } from './boot-sector.js';
import { emptyGathered, type Gathered, gather, type Surroundings } from './gather.js';
import { openMasterFileTable } from './master-file-table.js';
import { isFileBase } from './record-header.js';
import { SpreadFiles } from './spread-file.js';
import { systemFolders } from './system-folders.js';
import { restore, TablePieces } from './table-pieces.js';

const GROUP = 16;
/** Those before it are the file system's own. */
const FIRST_FILE = 24;
/** Raise it when other records are made of the same bytes: groups that were saved before are parsed again then. */
const RULES = 1;

/** Throws FormatError if the table or the system's folders cannot be read. */
export async function* ntfsRecords(source: Source, boot: BootSector): AsyncGenerator<RecordGroup> {
  if (boot.totalSectors * boot.sectorSize > source.size) {
    throw new FormatError('the file system is larger than its volume');
  }
  const mft = await openMasterFileTable({ source, boot });
  const surroundings = { boot, systemFolders: await systemFolders(mft) };
  const table = new TablePieces(mft);
  const spread = new SpreadFiles(mft, table, surroundings);
  const reader = new GroupReader(spread, surroundings);
  const salt = saltOf(surroundings);
  for (let first = 0; first < table.count; first += GROUP) {
    const raw = await table.records(first, Math.min(GROUP, table.count - first));
    yield { id: first / GROUP, digest: mixed(digestOf(raw), salt), read: () => reader.read(raw, first) };
  }
}

/** All that records are made of besides the bytes of their group. */
function saltOf({ boot, systemFolders: folders }: Surroundings): Buffer {
  const { clusterSize, clusterCount, recordSize } = boot;
  const numbers = [...folders].sort((a, b) => a - b);
  return digestOf(Buffer.from(JSON.stringify([RULES, clusterSize, clusterCount, recordSize, numbers])));
}

function mixed(digest: Buffer, salt: Buffer): Buffer {
  for (let at = 0; at < digest.length; at += 1) digest[at] = digest.readUInt8(at) ^ salt.readUInt8(at);
  return digest;
}

class GroupReader {
  readonly #spread: SpreadFiles;
  readonly #surroundings: Surroundings;
  readonly #record: Buffer;

  constructor(spread: SpreadFiles, surroundings: Surroundings) {
    this.#spread = spread;
    this.#surroundings = surroundings;
    this.#record = Buffer.alloc(surroundings.boot.recordSize);
  }

  async read(group: Buffer, first: number): Promise<GroupContent> {
    const size = this.#record.length;
    const records: FileRecord[] = [];
    let complete = true;
    for (let number = first; number < first + group.length / size; number += 1) {
      const at = (number - first) * size;
      const raw = group.subarray(at, at + size);
      if (number < FIRST_FILE || !isFileBase(raw) || !restore(raw, this.#record)) continue;
      const record = emptyGathered();
      const understood = gather(this.#record, record, this.#surroundings);
      if (record.hasList) complete = false;
      const file = record.hasList
        ? await this.#spread.read(raw, number)
        : understood && { gathered: record, digest: undefined };
      const extents = file ? this.#provable(file.gathered) : [];
      if (!file || extents.length === 0) continue;
      const changedAt = file.gathered.changedAt ?? Number.POSITIVE_INFINITY;
      records.push({ id: number, digest: file.digest ?? digestOf(raw), extents, changedAt });
    }
    return { records, complete };
  }

  /** What need not be read while the records stay the same; nothing of files without name or times. */
  #provable({ named, alwaysRead, changedAt, streams }: Gathered): Extent[] {
    if (!named || alwaysRead || changedAt === undefined) return [];
    const { clusterSize } = this.#surroundings.boot;
    const provable: Extent[] = [];
    for (const { solid, size, clusters, extents } of streams) {
      if (!solid || size === undefined || size > clusters * clusterSize) continue;
      for (const extent of extents) provable.push(extent);
    }
    return provable;
  }
}
