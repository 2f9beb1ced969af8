// From MFT record numbers to paths: by the names in the records themselves, or, for records that cannot be read, by what
// the directories call them.
// Invariant: memory grows with the records asked for, their directories and the damaged records, not with the table.

import { attempt, parsed } from '../best-effort.js';
import { type FolderPaths, folderPaths, type Name } from '../folder-paths.js';
import { wellFormed } from '../well-formed.js';
import { type FileName, parseFileName, properNames } from './file-name.js';
import { ATTRIBUTE, type FileRecord, parseFileRecord } from './file-record.js';
import { indexEntries } from './index-entries.js';
import { type MasterFileTable, RECORD, readAttributeList, readRecord } from './master-file-table.js';
import { recordPieces } from './surviving-table.js';

export interface Paths {
  /** All paths of a base record; empty if none can be found. */
  of(record: number): Promise<readonly string[]>;
}

export interface Damage {
  /** Records that are in use or were, and cannot be read. */
  readonly records: ReadonlySet<number>;
  /** Which pieces of the table have directories, by their first record. */
  readonly directories: ReadonlySet<number>;
}

export async function openPaths(mft: MasterFileTable, damage: Damage): Promise<Paths> {
  const indexed = await namesInDirectories(mft, damage);
  const namesOf = async (number: number): Promise<readonly Name[]> => {
    const own = await ownNames(mft, number);
    const names = own.length > 0 ? own : (indexed.get(number) ?? []);
    return properNames(names).map(({ parent, name }) => ({ parent: parent.record, name: wellFormed(name) }));
  };
  const folders: FolderPaths = folderPaths({
    root: RECORD.root,
    nameOf: async (number) => (await namesOf(number))[0],
    unnamed: (number) => `MFT record ${number}`,
  });
  return {
    async of(record) {
      if (record === RECORD.root) return ['/'];
      const paths: string[] = [];
      for (const { parent, name } of await namesOf(record)) paths.push(`${await folders.of(parent)}/${name}`);
      return paths;
    },
  };
}

/** Names in the record and in those that extend it. */
async function ownNames(mft: MasterFileTable, number: number): Promise<FileName[]> {
  const record = await attempt(() => readRecord(mft, number));
  if (!record) return [];
  const names = namesIn(record);
  const list = (await attempt(() => readAttributeList(mft, record))) ?? [];
  const holders = new Set<number>();
  for (const { type, holder } of list) {
    if (type === ATTRIBUTE.fileName && holder.record !== number) holders.add(holder.record);
  }
  for (const holder of holders) {
    const extension = await attempt(() => readRecord(mft, holder));
    if (extension?.base.record === number) names.push(...namesIn(extension));
  }
  return names;
}

function namesIn({ number, attributes }: FileRecord): FileName[] {
  return attributes.flatMap((attribute) => {
    if (attribute.type !== ATTRIBUTE.fileName || !attribute.resident) return [];
    return parsed(() => parseFileName(attribute.value, `MFT record ${number}, $FILE_NAME`)) ?? [];
  });
}

/** What directories say of damaged records. Reads no directory if no record is damaged. */
async function namesInDirectories(
  mft: MasterFileTable,
  { records, directories }: Damage,
): Promise<ReadonlyMap<number, readonly FileName[]>> {
  const found = new Map<number, FileName[]>();
  if (records.size === 0) return found;
  const { recordSize, span, indexBlockSize } = mft.boot;
  // Each block belongs to one directory, so more than the volume has room for is a loop.
  const bestEffort = { left: Math.ceil(span / indexBlockSize) };
  for await (const piece of recordPieces(mft, (first) => directories.has(first))) {
    for (let index = 0; index < piece.count; index += 1) {
      const bytes = piece.bytes.subarray(index * recordSize, (index + 1) * recordSize);
      const directory = parsed(() => parseFileRecord(bytes, piece.first + index));
      if (!directory?.isDirectory) continue;
      await attempt(async () => {
        for await (const { record, key, name } of indexEntries(mft, directory, { bestEffort })) {
          if (name === undefined || !records.has(record)) continue;
          const names = found.get(record) ?? [];
          names.push(parseFileName(key, 'index entry'));
          found.set(record, names);
        }
      });
    }
  }
  return found;
}
