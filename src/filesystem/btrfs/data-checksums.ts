// The checksum tree, read once in address order: the checksums of data, one a sector.
// Invariant: items come in ascending order and do not overlap; what is copied is what lies in the tree for that address.
// Source: btrfs on-disk format documentation (btrfs_csum_item); kernel fs/btrfs/file-item.c, tree-checker.c
// (check_csum_item).

import { FormatError } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import { KEY_OFFSET_AT } from './key.js';
import { itemAt, keyAt, keyOffset, type TreeNode } from './node.js';
import type { Range } from './striping.js';

/** Objectid -10, type EXTENT_CSUM: what all keys of the tree begin with. */
const KEY_START = Buffer.from('f6ffffffffffffff80', 'hex');

/** Sizes of one checksum, by type. */
const SIZES = [4, 8, 32, 32] as const;

/** Bytes of one checksum. Throws FormatError for types that are not known. */
export function checksumSize(checksumType: number): number {
  const size = SIZES[checksumType];
  if (size === undefined) throw new FormatError(`unknown checksum type ${checksumType}`);
  return size;
}

/** Stands at one item; goes forward only. */
export class ChecksumCursor {
  /** Bytes of one checksum. */
  readonly size: number;
  readonly #leaves: AsyncIterator<TreeNode>;
  readonly #sectorSize: Bytes;
  #leaf: TreeNode | undefined;
  #index = 0;
  /** Addresses of the item at hand, and where its checksums lie in the leaf. */
  #start: Bytes = 0;
  #end: Bytes = 0;
  #at = 0;
  #finished = false;

  constructor(
    leaves: AsyncIterable<TreeNode>,
    { sectorSize, checksumType }: { sectorSize: Bytes; checksumType: number },
  ) {
    this.size = checksumSize(checksumType);
    this.#leaves = leaves[Symbol.asyncIterator]();
    this.#sectorSize = sectorSize;
  }

  /**
   * Copies the checksums of `range`, whole sectors, to `at` of `into`. False if a sector has none. A promise only where a
   * leaf has to be read first. Each range begins where the one before ended, or behind it.
   */
  read(range: Range, into: Buffer, at: number): boolean | Promise<boolean> {
    const position = this.#copy(range, into, at);
    if (position === range.end) return true;
    return (
      this.#needsLeaf(position) &&
      this.#readOn({ start: position, end: range.end }, into, at + this.#lengthOf(position - range.start))
    );
  }

  async #readOn(range: Range, into: Buffer, at: number): Promise<boolean> {
    let position = range.start;
    while (position < range.end && this.#needsLeaf(position)) {
      const next = await this.#leaves.next();
      this.#finished = next.done === true;
      this.#leaf = next.done ? undefined : next.value;
      this.#index = 0;
      position = this.#copy({ start: position, end: range.end }, into, at + this.#lengthOf(position - range.start));
    }
    return position === range.end;
  }

  /** As much as the leaf at hand has. Returns the first address whose checksum is missing or lies in the next leaf. */
  #copy({ start, end }: Range, into: Buffer, at: number): Bytes {
    let position = start;
    while (position < end) {
      while (this.#end <= position) if (!this.#nextItem()) return position;
      const leaf = this.#leaf;
      if (!leaf || this.#start > position) return position;
      const until = Math.min(this.#end, end);
      const from = this.#at + this.#lengthOf(position - this.#start);
      copyBytes(
        { from: leaf.bytes, start: from, end: from + this.#lengthOf(until - position) },
        into,
        at + this.#lengthOf(position - start),
      );
      position = until;
    }
    return position;
  }

  #needsLeaf(address: Bytes): boolean {
    return !this.#finished && this.#end <= address;
  }

  #lengthOf(bytes: Bytes): number {
    return (bytes / this.#sectorSize) * this.size;
  }

  /** False at the end of the leaf. */
  #nextItem(): boolean {
    const leaf = this.#leaf;
    if (!leaf || this.#index >= leaf.count) return false;
    const key = keyAt(leaf, this.#index);
    if (KEY_START.compare(key.bytes, key.at, key.at + KEY_OFFSET_AT) !== 0) {
      throw new FormatError('the checksum tree has an item of an unknown type');
    }
    const start = keyOffset(key);
    const item = itemAt(leaf, this.#index);
    const end = start + (item.length / this.size) * this.#sectorSize;
    const whole = start % this.#sectorSize === 0 && item.length > 0 && item.length % this.size === 0;
    if (!whole || start < this.#end || !Number.isSafeInteger(end)) {
      throw new FormatError(`the checksums from address ${start} on are damaged`);
    }
    this.#index += 1;
    this.#start = start;
    this.#end = end;
    this.#at = item.start;
    return true;
  }
}

/** Most files are small, and so are the runs of their checksums: a loop is quicker than a call. */
const SHORT_RUN = 64;

function copyBytes({ from, start, end }: { from: Buffer; start: number; end: number }, into: Buffer, at: number): void {
  if (end - start > SHORT_RUN) from.copy(into, at, start, end);
  else for (let index = start; index < end; index += 1) into[at + index - start] = from[index] ?? 0;
}
