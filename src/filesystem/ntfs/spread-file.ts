// Files whose attributes did not fit into one record: the rest lies in extension records, which $ATTRIBUTE_LIST names.
// Invariant: all of a file or nothing: a record that is not what the list says makes the file one that is not understood.
// Work is bounded: an extension belongs to one file only, and all lists together are not longer than the table allows.

import { DigestStream } from '../../base/digest.js';
import { FormatError } from '../../base/u64.js';
import { type Bytes, MiB } from '../../base/units.js';
import { attempt } from '../best-effort.js';
import { parseAttributeList } from './attribute-list.js';
import { type FileRecord, parseFileRecord, type RecordReference } from './file-record.js';
import { emptyGathered, type Gathered, gather, type Surroundings } from './gather.js';
import { type MasterFileTable, readListBytes } from './master-file-table.js';
import { isPartOf } from './record-header.js';
import { restore, type TablePieces } from './table-pieces.js';

export interface SpreadFile {
  readonly gathered: Gathered;
  /** Of all its records and of the list. */
  readonly digest: Buffer;
}

export class SpreadFiles {
  readonly #mft: MasterFileTable;
  readonly #table: TablePieces;
  readonly #surroundings: Surroundings;
  readonly #raw: Buffer;
  readonly #record: Buffer;
  /** Each entry of a list stands for an attribute in the table, and is not twice as long. */
  #listsLeft: Bytes;

  constructor(mft: MasterFileTable, table: TablePieces, surroundings: Surroundings) {
    this.#mft = mft;
    this.#table = table;
    this.#surroundings = surroundings;
    this.#raw = Buffer.alloc(table.recordSize);
    this.#record = Buffer.alloc(table.recordSize);
    this.#listsLeft = 2 * table.count * table.recordSize + MiB;
  }

  /** `raw` is the base record. Undefined: not understood. Throws FormatError if the lists of the volume cannot be true. */
  async read(raw: Buffer, number: number): Promise<SpreadFile | undefined> {
    const bytes = Buffer.from(raw);
    const found = await attempt(async () => {
      const base = parseFileRecord(bytes, number);
      const list = await readListBytes(this.#mft, base);
      return list && { base, list, entries: parseAttributeList(list, `MFT record ${number}, $ATTRIBUTE_LIST`) };
    });
    if (!found) return undefined;
    this.#listsLeft -= found.list.length;
    if (this.#listsLeft < 0) throw new FormatError('the attribute lists are longer than all attributes');
    const digest = new DigestStream();
    digest.add(raw);
    digest.add(found.list);
    const gathered = emptyGathered();
    if (!gather(bytes, gathered, this.#surroundings)) return undefined;
    const seen = new Set([number]);
    for (const { holder } of found.entries) {
      if (seen.has(holder.record)) continue;
      seen.add(holder.record);
      const extension = await this.#extension(holder, found.base);
      if (!extension || !gather(this.#record, gathered, this.#surroundings)) return undefined;
      digest.add(extension);
    }
    return { gathered, digest: digest.finish() };
  }

  /** The raw record; what it really says is in `#record` then. */
  async #extension(holder: RecordReference, base: FileRecord): Promise<Buffer | undefined> {
    const raw = await attempt(() => this.#table.record(holder.record, this.#raw));
    const isTheirs = raw && restore(raw, this.#record) && isPartOf(this.#record, base, holder.sequence);
    return isTheirs ? raw : undefined;
  }
}
