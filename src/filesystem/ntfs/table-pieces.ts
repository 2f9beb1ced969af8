// $MFT read in large pieces, and single records besides.
// Invariant: what is given out is never changed by a reader of it: records are copied before fixups are applied.

import { FormatError } from '../../base/u64.js';
import { type Bytes, MiB } from '../../base/units.js';
import { applyFixups } from './fixups.js';
import type { MasterFileTable } from './master-file-table.js';
import { readStream } from './stream.js';

/** Whole groups, whatever a record's size is. */
const PIECE: Bytes = MiB;

export class TablePieces {
  readonly count: number;
  readonly recordSize: Bytes;
  readonly #mft: MasterFileTable;
  readonly #piece: Buffer;
  /** Records in the piece: from `#first` to `#end`. */
  #first = 0;
  #end = 0;

  constructor(mft: MasterFileTable) {
    this.#mft = mft;
    this.recordSize = mft.boot.recordSize;
    this.count = Math.floor(mft.stream.initializedSize / this.recordSize);
    this.#piece = Buffer.alloc(Math.min(PIECE, this.count * this.recordSize));
  }

  /** The raw records [first, first + count), which lie in one piece; good until the next piece is read. */
  async records(first: number, count: number): Promise<Buffer> {
    if (first < this.#first || first + count > this.#end) {
      const end = Math.min(this.count, first + PIECE / this.recordSize);
      [this.#first, this.#end] = [first, first]; // nothing, if the read fails
      await readStream(this.#mft, this.#mft.stream, this.#part(first, end - first), first * this.recordSize);
      this.#end = end;
    }
    return this.#part(first, count);
  }

  /** One raw record, without moving on; `into` if it is not at hand. Throws FormatError if there is no such record. */
  async record(number: number, into: Buffer): Promise<Buffer> {
    if (number >= this.#first && number < this.#end) return this.#part(number, 1);
    if (number >= this.count) throw new FormatError(`MFT record ${number}: behind the end of the table`);
    await readStream(this.#mft, this.#mft.stream, into, number * this.recordSize);
    return into;
  }

  #part(first: number, count: number): Buffer {
    const at = (first - this.#first) * this.recordSize;
    return this.#piece.subarray(at, at + count * this.recordSize);
  }
}

/** Copies a raw record and puts its real bytes back in place. False: it was torn, or is no record. */
export function restore(raw: Buffer, into: Buffer): boolean {
  raw.copy(into);
  try {
    applyFixups(into, ['FILE'], 'MFT record');
    return true;
  } catch (error) {
    if (error instanceof FormatError) return false;
    throw error;
  }
}
