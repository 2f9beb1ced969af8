// Which files of a volume are what they were when it was copied: their data need not be read.
// Invariant: default-deny. Bytes count as unchanged only if their record is known from the last commit and the same now,
// and if nothing that changed, is new or is gone claims them too.

import { FormatError } from '../base/u64.js';
import type { Bytes } from '../base/units.js';
import type { FileRecord, FilesystemInfo, FilesystemPlugin, RecordGroup } from '../filesystem/plugin.js';
import type { Grid } from '../map/block-map.js';
import type { Extent } from '../map/extent.js';
import { Proof } from '../map/proof.js';
import type { Source } from '../source/types.js';
import {
  type CataloguedGroup,
  type CataloguedRecord,
  type CatalogueReader,
  type CatalogueWriter,
  openCatalogue,
  UNKNOWN_DIGEST,
} from '../state/catalogue.js';
import { CatalogueDamaged } from '../state/catalogue-chunks.js';
import { looksLikeSwap } from './swap-content.js';

/** Another write may bear the same stamp as one of the last moments before reading began. */
const RACY_MS = 2000;

export interface ChangeOptions {
  readonly volume: Source;
  readonly plugin: FilesystemPlugin;
  readonly info: FilesystemInfo;
  readonly grid: Grid;
  /** The catalogue of the last commit; undefined: nothing is proved. */
  readonly base: string | undefined;
  /** Gets the records of now. Whoever made it abandons it if this throws. */
  readonly writer: CatalogueWriter;
  /** When reading began, ms since 1970. */
  readonly startedAt: number;
  /** Where the target gets something else than the source's bytes in this run. */
  readonly altered: readonly Extent[];
}

/** Throws FormatError if the file system contradicts itself, or the catalogue turns out to be damaged. */
export async function findUnchanged(options: ChangeOptions): Promise<Proof> {
  let reader: CatalogueReader | undefined;
  try {
    reader = options.base === undefined ? undefined : openCatalogue(options.base);
    return await new Comparison(options, reader).run();
  } catch (error) {
    if (error instanceof CatalogueDamaged) throw new FormatError(error.message, { cause: error });
    throw error;
  } finally {
    reader?.close();
  }
}

/**
 * What a catalogue proves of a source that is known to have the same records now; undefined if it is damaged. Bytes without
 * a record are read: they may have changed all the same.
 */
export function provedBy(
  path: string,
  { grid, unit, altered }: { grid: Grid; unit: Bytes; altered: readonly Extent[] },
): Proof | undefined {
  const proof = new Proof(grid, unit);
  for (const { offset, length } of altered) proof.spoil(offset, length);
  try {
    const reader = openCatalogue(path);
    try {
      for (let group = reader.next(); group; group = reader.next()) takeOver(group, proof);
    } finally {
      reader.close();
    }
  } catch (error) {
    if (error instanceof CatalogueDamaged) return undefined;
    throw error;
  }
  proof.settle();
  return proof;
}

/** The records of a group that is what it was: the known ones prove, the others may have changed. */
function takeOver(group: CataloguedGroup, proof: Proof): void {
  group.forEachExtent((isKnown, offset, length) => {
    if (isKnown) proof.prove(offset, length);
    else proof.spoil(offset, length);
  });
}

class Comparison {
  readonly #options: ChangeOptions;
  readonly #proof: Proof;
  readonly #base: Base | undefined;

  constructor(options: ChangeOptions, reader: CatalogueReader | undefined) {
    this.#options = options;
    this.#proof = new Proof(options.grid, options.info.blockSize);
    this.#base = reader && new Base(reader, this.#proof);
    for (const { offset, length } of options.altered) this.#proof.spoil(offset, length);
  }

  async run(): Promise<Proof> {
    const { volume, plugin, info, writer } = this.#options;
    if (!plugin.records) throw new FormatError(`${plugin.name} has no records`);
    for await (const group of plugin.records(volume, info)) {
      const former = this.#base?.take(group.id);
      if (former?.hasDigest(group.digest)) {
        writer.appendCopy(former);
        takeOver(former, this.#proof);
      } else {
        await this.#compare(group, former);
      }
    }
    this.#base?.spoilRest();
    this.#proof.settle();
    return this.#proof;
  }

  async #compare(group: RecordGroup, former: CataloguedGroup | undefined): Promise<void> {
    const { writer, startedAt } = this.#options;
    const { id } = group;
    const digest = Buffer.from(group.digest); // plugins may use their buffers again
    const { records, complete } = await group.read();
    const known = new FormerRecords(former, this.#proof);
    const saved: CataloguedRecord[] = [];
    let settled = complete;
    for (const record of records) {
      const isSame = known.has(record);
      for (const { offset, length } of record.extents) {
        if (isSame) this.#proof.prove(offset, length);
        else this.#proof.spoil(offset, length);
      }
      const isRacy = record.changedAt >= startedAt - RACY_MS;
      if (isRacy && Number.isFinite(record.changedAt)) settled = false;
      const isUnknown = !isSame && (isRacy || (await looksLikeSwap(this.#options.volume, record)));
      saved.push({ ...record, digest: isUnknown ? UNKNOWN_DIGEST : Buffer.from(record.digest) });
    }
    known.spoilRest();
    writer.append({ id, digest: settled ? digest : UNKNOWN_DIGEST, records: saved });
  }
}

/** The records that a group had, walked beside those of now; what is gone or differs is spoiled on the way. */
class FormerRecords {
  readonly #records: Iterator<CataloguedRecord>;
  readonly #proof: Proof;
  #next: CataloguedRecord | undefined;

  constructor(group: CataloguedGroup | undefined, proof: Proof) {
    this.#records = (group?.records() ?? [])[Symbol.iterator]();
    this.#proof = proof;
    this.#advance();
  }

  /** True if this very record was there. Asked in the order of ids. */
  has({ id, digest }: FileRecord): boolean {
    while (this.#next && this.#next.id < id) this.#spoilNext();
    if (this.#next?.id !== id || !this.#next.digest.equals(digest)) return false;
    this.#advance();
    return true;
  }

  spoilRest(): void {
    while (this.#next) this.#spoilNext();
  }

  #spoilNext(): void {
    for (const { offset, length } of this.#next?.extents ?? []) this.#proof.spoil(offset, length);
    this.#advance();
  }

  #advance(): void {
    const { value, done } = this.#records.next();
    this.#next = done ? undefined : value;
  }
}

/** The records of the last commit, walked in the order of ids beside those of now. */
class Base {
  readonly #reader: CatalogueReader;
  readonly #proof: Proof;
  #next: CataloguedGroup | undefined;

  constructor(reader: CatalogueReader, proof: Proof) {
    this.#reader = reader;
    this.#proof = proof;
    this.#next = reader.next();
    for (const { offset, length } of reader.altered) proof.spoil(offset, length);
  }

  /** The group of that id, if there was one. The groups before it are gone: what was theirs is read. */
  take(id: number): CataloguedGroup | undefined {
    while (this.#next && this.#next.id < id) this.#spoilNext();
    if (this.#next?.id !== id) return undefined;
    const found = this.#next;
    this.#next = this.#reader.next();
    return found;
  }

  spoilRest(): void {
    while (this.#next) this.#spoilNext();
  }

  #spoilNext(): void {
    this.#next?.forEachExtent((_, offset, length) => this.#proof.spoil(offset, length));
    this.#next = this.#reader.next();
  }
}
