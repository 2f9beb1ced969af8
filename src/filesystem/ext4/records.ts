// What shows that a file of ext2/3/4 changed: its inode, and the tree blocks that map its data.
// Invariant: default-deny. What is in no record is always read: directories, journals, tables, extended attributes, blocks
// that were allocated and never written, small files that boot loaders write to.
// Source: kernel Documentation/filesystems/ext4/{inodes,ifork}.rst.

import { DigestStream, digestOf } from '../../base/digest.js';
import { FormatError } from '../../base/u64.js';
import { type Bytes, MiB } from '../../base/units.js';
import type { Extent } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import type { FileRecord, GroupContent, RecordGroup } from '../plugin.js';
import { demandTrustworthy } from './allocation-map.js';
import { type BootFiles, findBootFiles } from './boot-files.js';
import { Incompat, RoCompat } from './features.js';
import { readFileExtents } from './file-extents.js';
import { type FileInode, FileInodes } from './file-inode.js';
import { rootExtents } from './root-extents.js';
import { hasErrors } from './state.js';
import type { Superblock } from './superblock.js';
import { type TableUnit, tableUnits } from './table-units.js';

/** Raise it when other records are made of the same bytes: groups that were saved before are parsed again then. */
const RULES = 1;
/** Boot loaders write to their settings and to themselves; kernels are longer. */
const LARGEST_BOOT_FILE: Bytes = MiB;

/** Throws FormatError if the metadata cannot be relied on as it lies there. */
export async function* ext4Records(volume: Source, superblock: Superblock): AsyncGenerator<RecordGroup> {
  demandTrustworthy(volume, superblock);
  demandSettled(superblock);
  const boot = await findBootFiles(volume, superblock);
  const reader = new UnitReader(volume, superblock, boot);
  for await (const unit of tableUnits(volume, superblock)) {
    yield { id: unit.id, digest: reader.digestOf(unit), read: () => reader.read(unit) };
  }
}

/** Throws FormatError where inodes do not tell everything that happens to the blocks of a file. */
function demandSettled(superblock: Superblock): void {
  if ((superblock.incompat & Incompat.RECOVER) !== 0) throw new FormatError('its journal was not replayed');
  if (hasErrors(superblock)) throw new FormatError('the kernel found errors in it and marked it');
  if ((superblock.roCompat & RoCompat.SHARED_BLOCKS) !== 0) throw new FormatError('its files share blocks');
}

class UnitReader {
  readonly #volume: Source;
  readonly #superblock: Superblock;
  readonly #inodes: FileInodes;
  readonly #boot: BootFiles;
  readonly #bootNumbers: readonly number[];
  /** Of all that records are made of besides the bytes of their unit. */
  readonly #salt: Buffer;

  constructor(volume: Source, superblock: Superblock, boot: BootFiles) {
    this.#volume = volume;
    this.#superblock = superblock;
    this.#inodes = new FileInodes(superblock);
    this.#boot = boot;
    this.#bootNumbers = [...boot.numbers].sort((a, b) => a - b);
    const { blockSize, blockCount, firstDataBlock, inodeSize } = superblock;
    const rules = [RULES, LARGEST_BOOT_FILE, boot.all, blockSize, blockCount, firstDataBlock, inodeSize];
    this.#salt = digestOf(Buffer.from(JSON.stringify([...rules, ...this.#inodes.circumstances])));
  }

  /** A folder that becomes /boot by a new name leaves the inodes of its files as they were. */
  digestOf({ first, count, bytes }: TableUnit): Buffer {
    const digest = digestOf(bytes);
    for (let at = 0; at < digest.length; at += 1) digest[at] = (digest[at] ?? 0) ^ (this.#salt[at] ?? 0);
    const numbers: number[] = [];
    for (
      let at = this.#firstBootNumber(first);
      (this.#bootNumbers[at] ?? Number.POSITIVE_INFINITY) < first + count;
      at += 1
    ) {
      numbers.push(this.#bootNumbers[at] ?? 0);
    }
    return numbers.length === 0 ? digest : digestOf(Buffer.from(`${digest.toString('hex')} ${numbers.join(' ')}`));
  }

  /** Index of the first one that is not below `number`. */
  #firstBootNumber(number: number): number {
    let low = 0;
    let high = this.#bootNumbers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#bootNumbers[middle] ?? 0) < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  async read({ first, count, bytes }: TableUnit): Promise<GroupContent> {
    const { inodeSize } = this.#superblock;
    const records: FileRecord[] = [];
    let complete = true;
    for (let index = 0; index < count; index += 1) {
      const inode = this.#inodes.parse(first + index, bytes.subarray(index * inodeSize, (index + 1) * inodeSize));
      if (!inode || this.#isWrittenByLoaders(inode)) continue;
      const extents = rootExtents(this.#superblock, inode);
      if (extents === 'deep') complete = false;
      const record = extents === 'deep' ? await this.#deepRecord(inode) : recordOf(inode, inode.digest, extents);
      if (record) records.push(record);
    }
    return { records, complete };
  }

  #isWrittenByLoaders({ number, size }: FileInode): boolean {
    return size <= LARGEST_BOOT_FILE && (this.#boot.all || this.#boot.numbers.has(number));
  }

  /** With blocks of the tree outside the inode. */
  async #deepRecord(inode: FileInode): Promise<FileRecord | undefined> {
    const stream = new DigestStream();
    stream.add(inode.digest);
    try {
      const extents = await readFileExtents(this.#volume, this.#superblock, inode, (bytes) => stream.add(bytes));
      const written = extents.flatMap(({ offset, length, unwritten }) => (unwritten ? [] : [{ offset, length }]));
      return recordOf(inode, stream.finish(), written);
    } catch (error) {
      if (error instanceof FormatError) return undefined;
      throw error;
    }
  }
}

/** Undefined if nothing of the file lies on the volume, or its map is impossible. */
function recordOf(
  { number, size, changedAt }: FileInode,
  digest: Buffer,
  extents: readonly Extent[] | undefined,
): FileRecord | undefined {
  return extents === undefined || extents.length === 0 ? undefined : { id: number, digest, extents, changedAt, size };
}
